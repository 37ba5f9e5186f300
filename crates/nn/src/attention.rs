//! Multi-head self-attention over the tokens of an image.

use crate::{
    config::DitConfig,
    error::Result,
    init::Init,
    projection::{Form, Projection},
};
use burn::module::Module;

/// Self-attention whose four matrices are projections.
#[derive(Module, Debug)]
pub struct Attention {
    /// Queries, `d -> d`.
    pub q: Projection,
    /// Keys, `d -> d`.
    pub k: Projection,
    /// Values, `d -> d`.
    pub v: Projection,
    /// Output, `d -> d`.
    pub o: Projection,
    #[module(skip)]
    pub(crate) heads: usize,
}

impl Attention {
    pub(crate) fn init(config: &DitConfig, init: &mut Init) -> Result<Self> {
        let shape = config.projection(config.hidden, config.hidden);
        Ok(Self {
            q: Projection::init(&shape, init)?,
            k: Projection::init(&shape, init)?,
            v: Projection::init(&shape, init)?,
            o: Projection::init(&shape, init)?,
            heads: config.heads,
        })
    }

    pub(crate) fn specialise(
        &self,
        list: &[(usize, f32)],
        groups: usize,
        form: Option<Form>,
    ) -> Self {
        let of = |p: &Projection| p.specialise(list, groups, form);
        Self {
            q: of(&self.q),
            k: of(&self.k),
            v: of(&self.v),
            o: of(&self.o),
            heads: self.heads,
        }
    }
}
