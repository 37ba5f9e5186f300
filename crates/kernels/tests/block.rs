//! The transformer block against the composition and finite differences, dense and factorised, under any gate.

mod common;

use burn::tensor::{DType, Device, Tensor};
use common::{agree, any_threads, differences, numbers, outcome};
use learngene_kernels::{
    Base, BlockSettings, BlockWeights, Factors, GatePlan, Mode, Precision, Projection, reference,
    transformer_block,
};

type Lists = Vec<Vec<(usize, f32)>>;

/// Place of the keys among the projections.
const KEYS: usize = 1;

/// What the projections of attention and perceptron are made of.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Dense,
    Factorised,
}

use Form::{Dense, Factorised};

#[derive(Clone, Debug)]
struct Case {
    tokens: usize,
    heads: usize,
    /// Features per head.
    width: usize,
    hidden: usize,
    /// `N_G`, `N_T`, groups; no tailors if `N_T` is 0.
    ranks: [usize; 3],
    forms: [Form; 2],
    lists: Lists,
    mode: Mode,
}

fn one_hot(labels: &[Option<usize>]) -> Lists {
    let list = |l: &Option<usize>| l.map(|g| (g, 1.0)).into_iter().collect();
    labels.iter().map(list).collect()
}

fn cases() -> Vec<Case> {
    let case = |[tokens, heads, width, hidden]: [usize; 4], ranks, forms, lists| Case {
        tokens,
        heads,
        width,
        hidden,
        ranks,
        forms,
        lists,
        mode: Mode::default(),
    };
    let stratified: Vec<Option<usize>> = (0..9).map(|i| (i < 6).then_some(i / 2)).collect();
    vec![
        case(
            [1, 1, 2, 3],
            [1, 1, 1],
            [Factorised; 2],
            one_hot(&[Some(0)]),
        ),
        // one token a sample, an unused group, nothing switched on in between
        case(
            [1, 2, 5, 7],
            [3, 2, 4],
            [Factorised; 2],
            one_hot(&[Some(2), None, Some(0), Some(2)]),
        ),
        // batches grouped by class
        case(
            [16, 2, 9, 24],
            [6, 3, 3],
            [Factorised; 2],
            one_hot(&stratified),
        ),
        // more samples of a class than a task takes, the last of them in finer tasks
        case(
            [70, 2, 9, 24],
            [6, 3, 2],
            [Factorised; 2],
            one_hot(&[[Some(1); 5].as_slice(), &[Some(0); 3]].concat()),
        ),
        case(
            [5, 1, 17, 33],
            [4, 2, 2],
            [Factorised, Dense],
            one_hot(&[Some(0), None]),
        ),
        // several groups in a sample, fractions, a negative weight, a group twice
        case(
            [6, 3, 7, 40],
            [7, 2, 4],
            [Factorised; 2],
            vec![
                vec![(1, 0.25), (3, 0.75)],
                vec![],
                vec![(0, -0.5)],
                vec![(2, 1.0), (2, 0.5), (1, 1.0)],
            ],
        ),
        // tailors on dense matrices, and on either kind
        case(
            [5, 2, 8, 20],
            [0, 3, 2],
            [Dense; 2],
            one_hot(&[Some(1), Some(0), None]),
        ),
        case(
            [5, 1, 17, 33],
            [4, 2, 2],
            [Dense, Factorised],
            one_hot(&[Some(1), Some(1)]),
        ),
        // no tailors; more columns than a task of the weights takes
        case(
            [8, 1, 100, 210],
            [5, 0, 0],
            [Dense; 2],
            one_hot(&[None, None]),
        ),
        case(
            [8, 2, 100, 30],
            [9, 0, 0],
            [Factorised; 2],
            one_hot(&[None, None]),
        ),
        case(
            [4, 2, 3, 12],
            [3, 0, 0],
            [Factorised, Dense],
            one_hot(&[None]),
        ),
        case(
            [4, 2, 3, 12],
            [3, 0, 0],
            [Dense, Factorised],
            one_hot(&[None]),
        ),
    ]
}

impl Case {
    fn d(&self) -> usize {
        self.heads * self.width
    }

    /// Columns in and out of each projection, and what its base is.
    fn projections(&self) -> [([usize; 2], Form); 6] {
        let d = self.d();
        let [attention, mlp] = self.forms;
        let square = ([d, d], attention);
        let mlps = [([d, self.hidden], mlp), ([self.hidden, d], mlp)];
        [square, square, square, square, mlps[0], mlps[1]]
    }

    /// x, the modulation, then base, bias and tailors of each projection.
    fn inputs(&self) -> Vec<Vec<f64>> {
        let (b, d) = (self.lists.len(), self.d());
        let [learngene, tailor, groups] = self.ranks;
        let mut lengths = vec![b * self.tokens * d, b * 6 * d];
        for (i, ([n, m], form)) in self.projections().into_iter().enumerate() {
            match form {
                Dense => lengths.push(m * n),
                Factorised => lengths.extend([learngene * m, learngene, learngene * n]),
            }
            // The softmax does not see the bias of the keys: its gradient is nothing but rounding.
            if i != KEYS {
                lengths.push(m);
            }
            let rank = tailor * groups;
            if rank > 0 {
                lengths.extend([rank * m, rank, rank * n]);
            }
        }
        let numbers = |(i, len): (usize, usize)| numbers(i as u64 + 1, len, 0.5);
        lengths.into_iter().enumerate().map(numbers).collect()
    }

    fn operator(
        &self,
        of: fn(Tensor<3>, Tensor<2>, BlockWeights, &GatePlan, BlockSettings) -> Tensor<3>,
    ) -> impl Fn(&[Tensor<1>]) -> Tensor<1> + Sync {
        let case = self.clone();
        move |inputs| {
            let (b, t, d) = (case.lists.len(), case.tokens, case.d());
            let [learngene, tailor, groups] = case.ranks;
            let mut inputs = inputs.iter().cloned();
            let mut next = || inputs.next().expect("an input for each tensor");
            let x = next().reshape([b, t, d]);
            let modulation = next().reshape([b, 6 * d]);
            let fixed = Tensor::<1>::from_data([0.25f32], &x.device()).cast(x.dtype());
            let mut place = 0..6;
            let [q, k, v, o, input, output] = case.projections().map(|([n, m], form)| {
                let mut factors = |rank: usize| Factors {
                    u: next().reshape([rank, m]),
                    s: next(),
                    v: next().reshape([rank, n]),
                };
                let base = match form {
                    Factorised => Base::Factorised(factors(learngene)),
                    Dense => Base::Dense(next().reshape([m, n])),
                };
                let bias = if place.next() == Some(KEYS) {
                    fixed.clone().repeat_dim(0, m)
                } else {
                    next()
                };
                let rank = tailor * groups;
                let mut factors = |rank: usize| Factors {
                    u: next().reshape([rank, m]),
                    s: next(),
                    v: next().reshape([rank, n]),
                };
                let tailors = (rank > 0).then(|| factors(rank));
                Projection {
                    base,
                    tailors,
                    bias,
                }
            });
            let weights = BlockWeights {
                q,
                k,
                v,
                o,
                input,
                output,
            };
            let plan = GatePlan::new(&case.lists, groups);
            let settings = BlockSettings {
                heads: case.heads,
                eps: [1e-6, 1e-3],
                mode: case.mode,
            };
            of(x, modulation, weights, &plan, settings).reshape([b * t * d])
        }
    }
}

#[test]
fn agrees_with_the_composition() {
    for case in cases() {
        let fused = case.operator(transformer_block);
        let composed = case.operator(reference::transformer_block);
        agree(
            &fused,
            &composed,
            &case.inputs(),
            BOUND,
            &format!("{case:?}"),
        );
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    for case in [1, 6].map(|i| cases().swap_remove(i)) {
        let fused = case.operator(transformer_block);
        let composed = case.operator(reference::transformer_block);
        differences(&fused, &composed, &case.inputs(), 1e-4);
    }
}

#[test]
fn computing_again_changes_no_bit() {
    for case in cases() {
        let inputs = case.inputs();
        let tracked = vec![true; inputs.len()];
        let of = |recompute| {
            let mode = Mode {
                recompute,
                ..case.mode
            };
            let case = Case {
                mode,
                ..case.clone()
            };
            let operator = case.operator(transformer_block);
            outcome(&operator, &inputs, &tracked, DType::F32)
        };
        assert_eq!(of(true), of(false), "{case:?}");
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    for case in [3, 8].map(|i| cases().swap_remove(i)) {
        any_threads(&case.operator(transformer_block), &case.inputs());
    }
}

/// A number rounded to bf16 is off by `2^-9` of itself at most; on the longest way, to a gradient, it goes through nine
/// products of two rounded factors forward and as many back. The bound is what seven of them could do.
const BF16_BOUND: f64 = 28.0 / 512.0;

#[test]
fn products_in_bf16_agree_to_their_rounding() {
    if !Precision::Bf16.is_available(&Device::flex()) {
        eprintln!("skipped: no AVX512-BF16");
        return;
    }
    for case in cases() {
        let mode = Mode {
            precision: Precision::Bf16,
            ..case.mode
        };
        let case = Case { mode, ..case };
        let inputs = case.inputs();
        let tracked = vec![true; inputs.len()];
        let (fused, composed) = (
            case.operator(transformer_block),
            case.operator(reference::transformer_block),
        );
        let found = outcome(&fused, &inputs, &tracked, DType::F32);
        let expected = outcome(&composed, &inputs, &tracked, DType::F64);
        let d = common::distance(&found.value, &expected.value);
        assert!(d > 1e-6, "{case:?}: nothing was rounded");
        assert!(d < BF16_BOUND, "{case:?}: value differs by {d:e}");
        for (i, (found, expected)) in found.grads.iter().zip(&expected.grads).enumerate() {
            let of = |grad: &Option<Vec<f64>>| grad.clone().expect("tracked");
            let d = common::distance(&of(found), &of(expected));
            assert!(d < BF16_BOUND, "{case:?}: gradient {i} differs by {d:e}");
        }
        any_threads(&fused, &inputs);
    }
}

#[test]
fn tailors_that_nothing_switches_on_take_no_part() {
    let case = Case {
        lists: one_hot(&[None, None]),
        ..cases().swap_remove(4)
    };
    let inputs = case.inputs();
    let tracked = vec![true; inputs.len()];
    let found = outcome(
        &case.operator(transformer_block),
        &inputs,
        &tracked,
        DType::F32,
    );
    let composed = case.operator(reference::transformer_block);
    let expected = outcome(&composed, &inputs, &tracked, DType::F32);
    assert!(common::distance(&found.value, &expected.value) < BOUND);
    for (found, expected) in found.grads.iter().zip(&expected.grads) {
        assert_eq!(found.is_some(), expected.is_some());
    }
}

/// Samples that are tasks of their own in both batches, so that nothing of another task is left behind.
#[test]
fn a_sample_does_not_depend_on_its_batch() {
    let whole = cases().swap_remove(5);
    let inputs = whole.inputs();
    let tracked = vec![false; inputs.len()];
    let d = whole.d();
    let of = |case: &Case, inputs: &[Vec<f64>]| {
        let mut tracked = tracked.clone();
        tracked[0] = true;
        outcome(
            &case.operator(transformer_block),
            inputs,
            &tracked,
            DType::F32,
        )
        .value
    };
    let all = of(&whole, &inputs);
    let alone = Case {
        lists: vec![whole.lists[2].clone()],
        ..whole.clone()
    };
    let len = whole.tokens * d;
    let mut own = inputs.clone();
    own[0] = inputs[0][2 * len..3 * len].to_vec();
    own[1] = inputs[1][2 * 6 * d..3 * 6 * d].to_vec();
    assert_eq!(of(&alone, &own), all[2 * len..3 * len]);
}

/// Single precision through four norms, products and an exponential: rounding, relative to the largest magnitude.
const BOUND: f64 = 1e-5;
