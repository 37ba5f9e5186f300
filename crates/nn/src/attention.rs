//! Multi-head self-attention over the tokens of an image.

use crate::{
    config::DitConfig,
    error::Result,
    init::Init,
    projection::{Form, Projection},
};
use burn::module::Module;
use burn::tensor::Tensor;
use learngene_kernels::GatePlan;

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

    /// Attention by operators of its own; a block that nobody reaches into does all of it in one.
    ///
    /// - x: `[b, t, d]`; `keys_values` makes of the keys and values, `[b, t, d]`, those that count, `[b, s, d]`
    /// - output: `[b, t, d]`
    pub fn forward(
        &self,
        x_btd: Tensor<3>,
        plan: &GatePlan,
        keys_values: impl FnOnce(Tensor<3>, Tensor<3>) -> (Tensor<3>, Tensor<3>),
    ) -> Tensor<3> {
        let [q, k, v] = [&self.q, &self.k, &self.v].map(|p| p.forward(x_btd.clone(), plan));
        let (k, v) = keys_values(k, v);
        let mixed = learngene_kernels::attention(q, k, v, self.heads);
        self.o.forward(mixed, plan)
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
