//! `diag(l) W R_1 R_2 ...`: rotations block by block, of blocks that interleave like the butterflies of a fast Fourier
//! transform, so that few of them mix inputs that are far apart.

use super::rotation;
use crate::init::Init;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// See [`super::Formula::Butterfly`].
#[derive(Module, Debug)]
pub struct Butterfly {
    /// `[f n / b, b (b - 1) / 2]`: factor after factor, the skew-symmetric Q of each block as in
    /// [`super::Formula::Rotation`]; zero to start with.
    pub q: Param<Tensor<2>>,
    /// `[m]`, one to start with.
    pub l: Param<Tensor<1>>,
    block: usize,
    factors: usize,
}

pub(super) fn shapes(
    block: usize,
    factors: usize,
    m: usize,
    n: usize,
) -> Vec<(&'static str, Vec<usize>)> {
    let pairs = block * (block - 1) / 2;
    vec![("q", vec![factors * (n / block), pairs]), ("l", vec![m])]
}

pub(super) fn macs(block: usize, factors: usize, m: usize, n: usize) -> usize {
    factors * rotation::macs(block, m, n)
}

/// What is wrong with it for a weight of `n` columns, and what would be right.
pub(super) fn fault(block: usize, factors: usize, n: usize) -> Option<(String, String)> {
    if block < 2 || !block.is_multiple_of(2) {
        return Some((format!("block {block}"), "an even number".into()));
    }
    let widest = u32::try_from(factors).ok().and_then(|f| {
        let doublings = 1usize.checked_shl(f.checked_sub(1)?)?;
        block.checked_mul(doublings)
    });
    match widest.filter(|&w| w > 0 && n.is_multiple_of(w)) {
        Some(_) => None,
        None => Some((
            format!("block {block} in {factors} factors"),
            format!("factors from 1 on, with block x 2^(factors - 1) a number that divides {n}"),
        )),
    }
}

impl Butterfly {
    pub(super) fn init(block: usize, factors: usize, [m, n]: [usize; 2], init: &mut Init) -> Self {
        Self {
            q: init.zeros([factors * (n / block), block * (block - 1) / 2]),
            l: init.full([m], 1.0),
            block,
            factors,
        }
    }

    /// Factor `i` takes columns in pieces of `b / 2`; a block of it is two pieces that lie `2^i` pieces apart.
    pub(super) fn apply(&self, weight: Tensor<2>) -> Tensor<2> {
        let [m, n] = weight.dims();
        let (blocks, piece) = (n / self.block, self.block / 2);
        let q = self.q.val();
        let rotated = (0..self.factors).fold(weight, |weight, i| {
            let apart = 1 << i;
            let spans = n / (2 * apart * piece);
            let paired = weight
                .reshape([m, spans, 2, apart, piece])
                .swap_dims(2, 3)
                .reshape([m, n]);
            let q = q.clone().narrow(0, i * blocks, blocks);
            rotation::rotate(paired, q, self.block)
                .reshape([m, spans, apart, 2, piece])
                .swap_dims(2, 3)
                .reshape([m, n])
        });
        rotated * self.l.val().unsqueeze_dim::<2>(1)
    }
}
