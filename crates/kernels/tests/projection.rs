//! The gated and the dense projection against their compositions, finite differences and the formula written out.

mod common;

use burn::tensor::Tensor;
use common::{agree, any_threads, differences, numbers};
use learngene_kernels::{
    Base, Factors, GatePlan, Projection, dense_projection, projection, reference,
};

type Lists = Vec<Vec<(usize, f32)>>;

/// Sizes of a call: tokens, columns in and out, `N_G`, `N_T`, groups.
#[derive(Clone, Debug)]
struct Case {
    tokens: usize,
    n: usize,
    m: usize,
    learngene: usize,
    tailor: usize,
    groups: usize,
    lists: Lists,
}

fn one_hot(labels: &[Option<usize>]) -> Lists {
    let list = |l: &Option<usize>| l.map(|g| (g, 1.0)).into_iter().collect();
    labels.iter().map(list).collect()
}

fn cases() -> Vec<Case> {
    let case = |[tokens, n, m, learngene, tailor, groups]: [usize; 6], lists: Lists| Case {
        tokens,
        n,
        m,
        learngene,
        tailor,
        groups,
        lists,
    };
    let stratified: Vec<Option<usize>> = (0..15).map(|i| (i < 12).then_some(i / 3)).collect();
    vec![
        case([1, 1, 1, 1, 1, 1], one_hot(&[Some(0)])),
        case([1, 5, 3, 2, 1, 3], one_hot(&[Some(2), None, Some(0)])),
        // a run of more rows than a task takes, with a remainder
        case(
            [70, 9, 17, 4, 3, 2],
            one_hot(&[Some(1), Some(1), Some(1), Some(1), Some(0)]),
        ),
        // batches grouped by class, a group that no sample uses, null labels at the end
        case([16, 24, 40, 10, 2, 5], one_hot(&stratified)),
        // mixed, with nothing switched on in between
        case(
            [7, 33, 12, 5, 4, 3],
            one_hot(&[None, Some(2), Some(0), None, Some(2)]),
        ),
        // several groups in a sample, fractions, a negative weight, a group twice
        case(
            [6, 20, 31, 7, 2, 4],
            vec![
                vec![(1, 0.25), (3, 0.75)],
                vec![],
                vec![(0, -0.5)],
                vec![(2, 1.0), (2, 0.5), (1, 1.0)],
            ],
        ),
        case([5, 8, 8, 3, 2, 2], one_hot(&[None, None])),
    ]
}

impl Case {
    fn rows(&self) -> usize {
        self.lists.len() * self.tokens
    }

    /// x, then u, s, v of the learngene, the bias, and u, s, v of the tailors.
    fn inputs(&self) -> Vec<Vec<f64>> {
        let (g, t) = (self.learngene, self.tailor * self.groups);
        let lengths = [
            self.rows() * self.n,
            g * self.m,
            g,
            g * self.n,
            self.m,
            t * self.m,
            t,
            t * self.n,
        ];
        let numbers = |(i, &len): (usize, &usize)| numbers(i as u64 + 1, len, 1.0);
        lengths.iter().enumerate().map(numbers).collect()
    }

    fn operator<'a>(
        &'a self,
        of: fn(Tensor<2>, Projection, &GatePlan) -> Tensor<2>,
        with_tailors: bool,
    ) -> impl Fn(&[Tensor<1>]) -> Tensor<1> + Sync + 'a {
        move |x| {
            let factors = |at: usize, rank: usize| Factors {
                u: x[at].clone().reshape([rank, self.m]),
                s: x[at + 1].clone(),
                v: x[at + 2].clone().reshape([rank, self.n]),
            };
            let groups = if with_tailors { self.groups } else { 0 };
            let lists = if with_tailors {
                self.lists.clone()
            } else {
                vec![Vec::new(); self.lists.len()]
            };
            let tailors = with_tailors.then(|| factors(5, self.tailor * self.groups));
            let plan = GatePlan::new(&lists, groups);
            of(
                x[0].clone().reshape([self.rows(), self.n]),
                Projection {
                    base: Base::Factorised(factors(1, self.learngene)),
                    tailors,
                    bias: x[4].clone(),
                },
                &plan,
            )
            .reshape([self.rows() * self.m])
        }
    }

    /// Whether the tailors take part, so that their gradients exist.
    fn is_open(&self) -> bool {
        self.lists.iter().any(|l| !l.is_empty())
    }
}

#[test]
fn agrees_with_the_composition() {
    for case in cases() {
        let (inputs, name) = (case.inputs(), format!("{case:?}"));
        if case.is_open() {
            let fused = case.operator(projection, true);
            let composed = case.operator(reference::projection, true);
            // What a call leaves in memory must not show in the next one.
            let device = Default::default();
            let nan = |v: &Vec<f64>| Tensor::full([v.len()], f32::NAN, &device);
            fused(&inputs.iter().map(nan).collect::<Vec<_>>());
            agree(&fused, &composed, &inputs, 2e-6, &name);
        }
        let fused = case.operator(projection, false);
        let composed = case.operator(reference::projection, false);
        agree(&fused, &composed, &inputs[..5], 2e-6, &name);
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    for case in [1, 5].map(|i| cases().swap_remove(i)) {
        let fused = case.operator(projection, true);
        let composed = case.operator(reference::projection, true);
        differences(&fused, &composed, &case.inputs(), 1e-5);
    }
}

#[test]
fn a_closed_plan_needs_no_groups() {
    let x = Tensor::<2>::ones([4, 3], &Default::default());
    let ones = |rank: usize| Factors {
        u: Tensor::ones([rank, 2], &x.device()),
        s: Tensor::ones([rank], &x.device()),
        v: Tensor::ones([rank, 3], &x.device()),
    };
    let weights = |tailors| Projection {
        base: Base::Factorised(ones(2)),
        tailors,
        bias: Tensor::ones([2], &x.device()),
    };
    let with = |tailors| {
        let y = projection(x.clone(), weights(tailors), &GatePlan::closed(4));
        common::plain(y.reshape([8]))
    };
    assert_eq!(with(Some(ones(6))), with(None));
    assert_eq!(with(None), [7.0; 8]);
}

#[test]
#[should_panic(expected = "the same number of rows")]
fn rows_without_a_sample_are_refused() {
    let weights = Projection {
        base: Base::Dense(Tensor::ones([2, 3], &Default::default())),
        tailors: None,
        bias: Tensor::ones([2], &Default::default()),
    };
    let x = Tensor::<2>::ones([5, 3], &Default::default());
    projection(x, weights, &GatePlan::new(&[], 0));
}

#[test]
fn is_the_formula() {
    for case in cases() {
        let x = case.inputs();
        let fused = case.operator(projection, case.is_open());
        let found = common::outcome(&fused, &x, &[true; 8], burn::tensor::DType::F32).value;
        let Case { n, m, tokens, .. } = case;
        for (at, found) in found.iter().enumerate() {
            let (row, column) = (at / m, at % m);
            let term = |set: usize, i: usize| -> f64 {
                let inner: f64 = (0..n)
                    .map(|j| x[0][row * n + j] * x[set + 2][i * n + j])
                    .sum();
                x[set + 1][i] * inner * x[set][i * m + column]
            };
            let base: f64 = (0..case.learngene).map(|i| term(1, i)).sum();
            let list = &case.lists[row / tokens];
            let tailors = list.iter().map(|&(g, a)| {
                let components = g * case.tailor..(g + 1) * case.tailor;
                f64::from(a) * components.map(|i| term(5, i)).sum::<f64>()
            });
            let expected = x[4][column] + base + tailors.sum::<f64>();
            assert!(
                (found - expected).abs() < 1e-5,
                "{case:?} at {at}: {found}, {expected}"
            );
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let case = cases().swap_remove(3);
    any_threads(&case.operator(projection, true), &case.inputs());
}

/// Rows and columns that are no multiples of a task, of a vector, or of anything.
const DENSE: [[usize; 3]; 5] = [
    [1, 1, 1],
    [3, 5, 7],
    [300, 33, 20],
    [64, 17, 205],
    [600, 24, 96],
];

fn dense<'a>(
    [rows, n, m]: [usize; 3],
    of: fn(Tensor<2>, Tensor<2>, Tensor<1>) -> Tensor<2>,
) -> impl Fn(&[Tensor<1>]) -> Tensor<1> + Sync + 'a {
    move |x| {
        let weight = x[1].clone().reshape([m, n]);
        of(x[0].clone().reshape([rows, n]), weight, x[2].clone()).reshape([rows * m])
    }
}

fn dense_inputs([rows, n, m]: [usize; 3]) -> Vec<Vec<f64>> {
    let lengths = [rows * n, m * n, m].into_iter().enumerate();
    lengths
        .map(|(i, len)| numbers(i as u64, len, 1.0))
        .collect()
}

#[test]
fn the_dense_one_agrees_with_the_composition() {
    for shape in DENSE {
        let (fused, composed) = (
            dense(shape, dense_projection),
            dense(shape, reference::dense_projection),
        );
        agree(
            &fused,
            &composed,
            &dense_inputs(shape),
            2e-6,
            &format!("{shape:?}"),
        );
    }
    let shape = DENSE[1];
    let (fused, composed) = (
        dense(shape, dense_projection),
        dense(shape, reference::dense_projection),
    );
    differences(&fused, &composed, &dense_inputs(shape), 1e-5);
    any_threads(&dense(DENSE[4], dense_projection), &dense_inputs(DENSE[4]));
}
