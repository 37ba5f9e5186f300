//! Stands in for products in bf16 on processors that have none.

use super::{Target, View, ViewMut};

pub(super) fn is_available() -> bool {
    false
}

pub(super) fn gemm(_: ViewMut<'_>, _: Target<'_>, _: View<'_>, _: View<'_>) {
    unreachable!("not available")
}

#[derive(Default)]
pub(crate) struct Panels(());

impl Panels {
    pub(crate) fn pack(&mut self, _: View<'_>) {
        unreachable!("not available")
    }

    pub(super) fn pieces<'a>(&'a mut self, _: View<'a>) -> impl Iterator<Item = Piece<'a>> {
        std::iter::empty()
    }

    pub(crate) fn gemm(&self, _: ViewMut<'_>, _: Target<'_>, _: View<'_>) {
        unreachable!("not available")
    }

    pub(crate) fn gemm_columns(&self, _: usize, _: ViewMut<'_>, _: Target<'_>, _: View<'_>) {
        unreachable!("not available")
    }
}

pub(super) struct Piece<'a>(std::marker::PhantomData<&'a ()>);

impl Piece<'_> {
    pub(super) fn pack(self) {}
}
