//! From an operator on slices to one that Burn's automatic differentiation runs backwards.

use std::fmt::Debug;
use std::sync::Arc;

use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex, TensorMetadata};
use burn_flex::FlexTensor;

use crate::flex;

/// An operator with any number of inputs and one result.
pub(crate) trait Operator: Clone + Debug + Send + Sync + 'static {
    /// What the backward pass needs besides the inputs.
    type Kept: Debug + Send + Sync;

    /// The result, and what the backward pass needs if there will be one.
    fn forward(&self, inputs: &[FlexTensor], keep: bool) -> (FlexTensor, Self::Kept);

    /// The gradient of every input that is wanted, row-major.
    fn backward(
        &self,
        inputs: &[FlexTensor],
        kept: &Self::Kept,
        grad: FlexTensor,
        wanted: &[bool],
    ) -> Vec<Option<Vec<f32>>>;
}

/// Runs `operator` on exactly `N` tracked tensors.
fn run_n<O: Operator, C: CheckpointStrategy, const N: usize>(
    operator: O,
    tensors: Vec<FloatTensor<Autodiff<Flex, C>>>,
) -> FloatTensor<Autodiff<Flex, C>> {
    let nodes = std::array::from_fn(|i| tensors[i].node());
    let inputs: Vec<_> = tensors.into_iter().map(|t| t.into_primitive()).collect();
    match Step::<O, N>(operator.clone())
        .prepare::<C>(nodes)
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prep) => {
            let (y, kept) = operator.forward(&inputs, true);
            prep.finish((inputs, Arc::new(kept)), y)
        }
        OpsKind::UnTracked(prep) => prep.finish(operator.forward(&inputs, false).0),
    }
}

/// Runs `operator` on tracked tensors, as many as a projection or a block has.
pub(crate) fn run<O: Operator, C: CheckpointStrategy>(
    operator: O,
    tensors: Vec<FloatTensor<Autodiff<Flex, C>>>,
) -> FloatTensor<Autodiff<Flex, C>> {
    // A node of the graph has a fixed number of parents.
    match tensors.len() {
        // x and a projection: weight, bias, tailors; or learngene, bias, tailors. Three are also those of a loss.
        3 => run_n::<O, C, 3>(operator, tensors),
        5 => run_n::<O, C, 5>(operator, tensors),
        6 => run_n::<O, C, 6>(operator, tensors),
        8 => run_n::<O, C, 8>(operator, tensors),
        // x, modulation, and four projections of one kind and two of another.
        14 => run_n::<O, C, 14>(operator, tensors),
        18 => run_n::<O, C, 18>(operator, tensors),
        22 => run_n::<O, C, 22>(operator, tensors),
        26 => run_n::<O, C, 26>(operator, tensors),
        32 => run_n::<O, C, 32>(operator, tensors),
        36 => run_n::<O, C, 36>(operator, tensors),
        40 => run_n::<O, C, 40>(operator, tensors),
        44 => run_n::<O, C, 44>(operator, tensors),
        other => unreachable!("no operator has {other} inputs"),
    }
}

#[derive(Debug)]
struct Step<O, const N: usize>(O);

impl<O: Operator, const N: usize> Backward<Flex, N> for Step<O, N> {
    type State = (Vec<FlexTensor>, Arc<O::Kept>);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let (inputs, kept) = ops.state;
        let found = self.0.backward(&inputs, &kept, grad, &wanted);
        for ((parent, grad), input) in ops.parents.into_iter().zip(found).zip(&inputs) {
            if let (Some(parent), Some(grad)) = (parent, grad) {
                grads.register::<Flex>(parent.id, flex::tensor(grad, input.shape()));
            }
        }
    }
}
