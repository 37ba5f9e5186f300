//! A whole transformer block as one operator.
//!
//! ```text
//! x' = x  + gate_a * o(attention(q(n), k(n), v(n)))    n  = norm(x)  (1 + scale_a) + shift_a
//! y  = x' + gate_m * output(gelu(input(n')))           n' = norm(x') (1 + scale_m) + shift_m
//! ```
//!
//! Samples do not see each other inside a block, so a thread takes whole samples through all of it: what lies between
//! two steps stays in its cache, and threads meet once forward and twice backward instead of at every step. In the
//! backward pass the norms, the GELU and the attention weights are computed again instead of being kept.

mod backward;
mod forward;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use crate::flex::{self, Values};
use crate::gemm::{Factor, Precision};
use crate::linear::{Active, Direction, Kind, Linear, Task, Tensors, cut};
use crate::operator::{self, Operator};
use crate::plan::GatePlan;
use crate::projection::Projection;
use crate::reference;

/// The projections of a block, each for the rows of all tokens.
#[derive(Clone, Debug)]
pub struct BlockWeights {
    /// Queries, keys, values and output of the attention, `d -> d`.
    pub q: Projection,
    /// See `q`.
    pub k: Projection,
    /// See `q`.
    pub v: Projection,
    /// See `q`.
    pub o: Projection,
    /// `d -> hidden`.
    pub input: Projection,
    /// `hidden -> d`.
    pub output: Projection,
}

impl BlockWeights {
    fn map<T>(self, f: impl FnMut(Projection) -> T) -> [T; 6] {
        [self.q, self.k, self.v, self.o, self.input, self.output].map(f)
    }

    /// The same projections, each as `f` makes it.
    fn each(self, f: impl FnMut(Projection) -> Projection) -> Self {
        let [q, k, v, o, input, output] = self.map(f);
        Self {
            q,
            k,
            v,
            o,
            input,
            output,
        }
    }

    fn all(&self) -> [&Projection; 6] {
        [
            &self.q,
            &self.k,
            &self.v,
            &self.o,
            &self.input,
            &self.output,
        ]
    }
}

/// What a block has besides tensors.
#[derive(Clone, Copy, Debug)]
pub struct BlockSettings {
    /// Heads of the attention.
    pub heads: usize,
    /// Added to the variance by the norm before the attention, and by the one before the perceptron.
    pub eps: [f64; 2],
    /// How it computes.
    pub mode: Mode,
}

/// How the fused block computes, on the CPU only: compositions take no notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode {
    /// Whether the backward pass runs the forward pass again instead of keeping what it made, so that of all blocks but
    /// one only the input is kept: the same gradients to the bit, for more time.
    pub recompute: bool,
    /// Of the factors in the products of the projections and of the attention, forward and backward, where
    /// [`Precision::is_available`]; everything else is in 32 bits.
    pub precision: Precision,
}

/// A transformer block with adaptive layer norm (DiT's adaLN-Zero, Peebles and Xie, arXiv 2212.09748).
///
/// - x: `[b, t, d]`
/// - modulation: `[b, 6 d]`: shift, scale and gate of the attention, then of the perceptron
/// - output: `[b, t, d]`
///
/// # Panics
/// If the shapes do not fit together, the plan is for another batch, `heads` does not divide `d`, or the attention's
/// projections (or the perceptron's) are not all dense or all factorised, all with tailors or all without.
pub fn transformer_block(
    x_btd: Tensor<3>,
    modulation: Tensor<2>,
    weights: BlockWeights,
    plan: &GatePlan,
    settings: BlockSettings,
) -> Tensor<3> {
    let heads = settings.heads;
    let [b, _, d] = x_btd.dims();
    assert_eq!(modulation.dims(), [b, 6 * d], "six vectors per sample");
    assert_eq!(plan.batch, b, "a list of tailors per sample");
    assert!(
        heads > 0 && d.is_multiple_of(heads),
        "{heads} heads do not divide {d} features"
    );
    let weights = weights.each(|p| p.under(plan));
    let shapes = weights.all().map(|p| p.check(plan));
    let hidden = shapes[4][1];
    let expected = [[d, d], [d, d], [d, d], [d, d], [d, hidden], [hidden, d]];
    assert_eq!(shapes, expected, "columns in and out of the projections");
    let [q, k, v, o, input, output] = weights.all();
    assert!(
        [k, v, o].iter().all(|p| p.is_like(q)) && output.is_like(input),
        "the four projections of attention have tensors of the same kinds, and so have the two of the perceptron"
    );
    let fused = flex::is_fused(&x_btd)
        && flex::is_fused(&modulation)
        && weights.all().into_iter().all(Projection::is_fused);
    if !fused {
        return reference::transformer_block(x_btd, modulation, weights, plan, settings);
    }
    let (x, modulation) = (x_btd.into_dispatch(), modulation.into_dispatch());
    let [q, k, v, o, input, output] = weights.map(Projection::into_tensors);
    let gate = plan.clone();
    Tensor::from_dispatch(<Dispatch as Extension>::block(
        x, modulation, q, k, v, o, input, output, gate, settings,
    ))
}

#[backend_extension(Flex, Autodiff)]
#[allow(
    clippy::too_many_arguments,
    reason = "one argument per tensor of the formula"
)]
pub(crate) trait Extension: Backend {
    fn block(
        x: FloatTensor<Self>,
        modulation: FloatTensor<Self>,
        #[extension_type] q: Tensors<Self>,
        #[extension_type] k: Tensors<Self>,
        #[extension_type] v: Tensors<Self>,
        #[extension_type] o: Tensors<Self>,
        #[extension_type] input: Tensors<Self>,
        #[extension_type] output: Tensors<Self>,
        gate: GatePlan,
        settings: BlockSettings,
    ) -> FloatTensor<Self>;
}

/// A call and its tensors in a row.
fn call<B: Backend>(
    x: FloatTensor<B>,
    modulation: FloatTensor<B>,
    projections: [Tensors<B>; 6],
    gate: GatePlan,
    settings: BlockSettings,
) -> (Call, Vec<FloatTensor<B>>) {
    let mut tensors = vec![x, modulation];
    let kinds = projections.map(|p| p.flatten(&mut tensors));
    let call = Call {
        kinds,
        gate,
        settings,
    };
    (call, tensors)
}

impl Extension for Flex {
    fn block(
        x: FlexTensor,
        modulation: FlexTensor,
        q: Tensors<Self>,
        k: Tensors<Self>,
        v: Tensors<Self>,
        o: Tensors<Self>,
        input: Tensors<Self>,
        output: Tensors<Self>,
        gate: GatePlan,
        settings: BlockSettings,
    ) -> FlexTensor {
        let six = [q, k, v, o, input, output];
        let (call, tensors) = call::<Self>(x, modulation, six, gate, settings);
        call.forward(&tensors, false).0
    }
}

impl<C: CheckpointStrategy> Extension for Autodiff<Flex, C> {
    fn block(
        x: FloatTensor<Self>,
        modulation: FloatTensor<Self>,
        q: Tensors<Self>,
        k: Tensors<Self>,
        v: Tensors<Self>,
        o: Tensors<Self>,
        input: Tensors<Self>,
        output: Tensors<Self>,
        gate: GatePlan,
        settings: BlockSettings,
    ) -> FloatTensor<Self> {
        let six = [q, k, v, o, input, output];
        let (call, tensors) = call::<Self>(x, modulation, six, gate, settings);
        operator::run::<_, C>(call, tensors)
    }
}

/// What a call has besides tensors.
#[derive(Clone, Debug)]
struct Call {
    kinds: [Kind; 6],
    gate: GatePlan,
    settings: BlockSettings,
}

impl Operator for Call {
    /// Nothing if it is to be computed again.
    type Kept = Option<Vec<forward::Kept>>;

    fn forward(&self, inputs: &[FlexTensor], keep: bool) -> (FlexTensor, Self::Kept) {
        let keep = keep && !self.settings.mode.recompute;
        let (y, kept) = forward::forward(&Inputs::new(self, inputs), keep);
        (y, keep.then_some(kept))
    }

    fn backward(
        &self,
        inputs: &[FlexTensor],
        kept: &Self::Kept,
        grad: FlexTensor,
        wanted: &[bool],
    ) -> Vec<Option<Vec<f32>>> {
        let values = Inputs::new(self, inputs);
        let again = match kept {
            Some(_) => Vec::new(),
            None => forward::forward(&values, true).1,
        };
        let kept = kept.as_ref().unwrap_or(&again);
        backward::backward(&values, kept, grad, wanted)
    }
}

/// The values of a call.
struct Inputs<'a> {
    call: &'a Call,
    x: Values,
    modulation: Values,
    /// q, k, v, o, input, output.
    projections: [Linear; 6],
    tokens: usize,
    d: usize,
    hidden: usize,
}

impl<'a> Inputs<'a> {
    fn new(call: &'a Call, tensors: &[FlexTensor]) -> Self {
        let mut at = 2;
        let projections = call.kinds.map(|kind| {
            let first = at;
            at += kind.len();
            let precision = call.settings.mode.precision;
            Linear::new(kind, &tensors[first..at], call.gate.groups, precision)
        });
        let shape = tensors[0].shape();
        Self {
            call,
            x: Values::new(tensors[0].clone()),
            modulation: Values::new(tensors[1].clone()),
            hidden: projections[4].m,
            projections,
            tokens: shape[1],
            d: shape[2],
        }
    }

    /// Whole samples that share a list.
    fn tasks(&self) -> Vec<Task<'_>> {
        let runs = self.call.gate.runs.iter();
        cut(runs.map(|run| (run.samples, &run.list[..])), self.tokens)
    }

    /// What all threads read of the projections.
    fn bases(&self, direction: Direction) -> [Option<Factor<'_>>; 6] {
        Linear::bases(&self.projections, direction)
    }

    /// The projections in a thread's own memory.
    fn active<'b>(
        &'b self,
        bases: &'b [Option<Factor<'b>>; 6],
        direction: Direction,
    ) -> [Active<'b>; 6] {
        let longest = self.call.gate.longest();
        std::array::from_fn(|i| {
            let base = bases[i].as_ref();
            Active::new(&self.projections[i], base, direction, longest)
        })
    }

    /// The six vectors of each sample of a task: shift, scale, gate, shift, scale, gate.
    fn six(&self, task: &Task<'_>) -> impl Iterator<Item = [&[f32]; 6]> {
        let (d, t) = (self.d, self.tokens);
        let samples = task.rows.start / t..task.rows.end / t;
        samples.map(move |sample| {
            std::array::from_fn(|i| &self.modulation[(6 * sample + i) * d..][..d])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::Tensors;

    #[test]
    fn what_is_computed_again_is_not_kept() {
        let zeros = |shape: &[usize]| {
            let values = vec![0.0; shape.iter().product()];
            flex::tensor(values, burn::tensor::Shape::from(shape.to_vec()))
        };
        let projection = || Tensors::<Flex>::Dense {
            weight: zeros(&[2, 2]),
            bias: zeros(&[2]),
        };
        for recompute in [false, true] {
            let settings = BlockSettings {
                heads: 1,
                eps: [1e-6; 2],
                mode: Mode {
                    recompute,
                    ..Mode::default()
                },
            };
            let six = std::array::from_fn(|_| projection());
            let (x, modulation) = (zeros(&[1, 3, 2]), zeros(&[1, 12]));
            let (call, tensors) = call::<Flex>(x, modulation, six, GatePlan::closed(1), settings);
            let (_, kept) = call.forward(&tensors, true);
            assert_eq!(kept.is_none(), recompute);
        }
    }
}
