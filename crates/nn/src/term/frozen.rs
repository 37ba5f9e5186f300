//! `W + diag(b) B diag(d) A`: random factors that nobody trains or stores, and two vectors that scale them.

use crate::init::Init;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// What d starts at, as in the paper.
const START: f32 = 0.1;

/// See [`super::Formula::Frozen`].
#[derive(Module, Debug)]
pub struct Frozen {
    /// `[m]`, zero to start with.
    pub b: Param<Tensor<1>>,
    /// `[r]`.
    pub d: Param<Tensor<1>>,
    /// `[r, n]`, the first columns of one matrix for all layers; no parameter.
    down: Tensor<2>,
    /// `[m, r]`, the first rows of one matrix for all layers; no parameter.
    up: Tensor<2>,
}

pub(super) fn shapes(rank: usize, m: usize) -> Vec<(&'static str, Vec<usize>)> {
    vec![("b", vec![m]), ("d", vec![rank])]
}

impl Frozen {
    /// `random` draws the same for every layer; `widest` is the longest side of any matrix.
    pub(super) fn init(
        rank: usize,
        [m, n]: [usize; 2],
        widest: usize,
        random: &mut Init,
        init: &mut Init,
    ) -> Self {
        let down = random.kaiming([rank, widest], widest).val();
        let up = random.kaiming([widest, rank], rank).val();
        let [down, up] = [down, up].map(|t| t.set_require_grad(false));
        Self {
            b: init.zeros([m]),
            d: init.full([rank], START),
            down: down.slice([0..rank, 0..n]),
            up: up.slice([0..m, 0..rank]),
        }
    }

    pub(super) fn apply(&self, weight: Tensor<2>) -> Tensor<2> {
        let up = self.up.clone() * self.b.val().unsqueeze_dim::<2>(1);
        let down = self.down.clone() * self.d.val().unsqueeze_dim::<2>(1);
        weight + up.matmul(down)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params;
    use burn::tensor::{Device, TensorData};

    fn values<const D: usize>(k: usize, shape: [usize; D]) -> Tensor<D> {
        let value = |i: usize| (0.4 * (1.7 * k as f64 + 0.9 * i as f64 + 0.1).sin()) as f32;
        let values = (0..shape.iter().product()).map(value).collect::<Vec<_>>();
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    /// PEFT 0.21.2, by `tests/reference/peft_weights.py`.
    #[test]
    fn it_is_the_weight_of_peft() {
        let term = Frozen {
            b: Param::from_tensor(values(1, [16])),
            d: Param::from_tensor(values(2, [2])),
            down: values(3, [2, 8]),
            up: values(4, [16, 2]),
        };
        let found = params::to_vec(term.apply(values(0, [16, 8])));
        let expected = [
            0.04832544, 0.1152483, -0.245753, 0.3699401, -0.4016759, 0.3598847, -0.2859162,
            0.158841,
        ];
        for (found, expected) in found.iter().step_by(17).zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn all_layers_share_the_first_numbers_of_one_pair() {
        let device = Device::flex();
        let of = |seed, shape| {
            let [mut random, mut init] = [Init::fixed(seed, &device), Init::fixed(9, &device)];
            Frozen::init(3, shape, 12, &mut random, &mut init)
        };
        let (square, wide) = (of(1, [4, 4]), of(1, [4, 12]));
        assert_eq!(params::to_vec(square.up), params::to_vec(wide.up));
        let first = params::to_vec(wide.down.slice([0..3, 0..4]));
        assert_eq!(params::to_vec(square.down.clone()), first);
        assert_ne!(
            params::to_vec(of(2, [4, 4]).down),
            params::to_vec(square.down)
        );
    }
}
