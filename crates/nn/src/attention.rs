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
    heads: usize,
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

    /// - x: `[b, t, d]`
    /// - output: `[b, t, d]`
    pub fn forward(&self, x_btd: Tensor<3>, plan: &GatePlan) -> Tensor<3> {
        let [b, t, d] = x_btd.dims();
        let x = x_btd.reshape([b * t, d]);
        let project = |p: &Projection, x| p.forward(x, plan).reshape([b, t, d]);
        let q = project(&self.q, x.clone());
        let k = project(&self.k, x.clone());
        let v = project(&self.v, x);
        let mixed = learngene_kernels::attention(q, k, v, self.heads);
        project(&self.o, mixed.reshape([b * t, d]))
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
