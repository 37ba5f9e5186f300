//! Terms: the weights they make are PEFT's, and their gradients those of finite differences.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use burn::tensor::{Device, Tensor, TensorData};
use learngene_nn::{
    Dit, DitConfig, FactorInit, Form, Projection, Sharing,
    params::{self, Values},
    term::{Formula, TermConfig},
};
use std::collections::BTreeMap;

const SITE: &str = "blocks.0.mlp.input";

/// The values of parameter number `k`, as in `reference/peft_weights.py`.
fn values(k: usize, shape: &[usize]) -> Values {
    let value = |i: usize| (0.4 * (1.7 * k as f64 + 0.9 * i as f64 + 0.1).sin()) as f32;
    Values {
        shape: shape.to_vec(),
        values: (0..shape.iter().product()).map(value).collect(),
    }
}

/// A model whose `mlp.input` is `[16, 8]`.
fn config() -> DitConfig {
    DitConfig {
        hidden: 8,
        heads: 2,
        depth: 1,
        mlp_ratio: 2,
        ..DitConfig::from_size("dit-micro/4", [3, 8, 8], 2).unwrap()
    }
}

fn with(config: &DitConfig, new: &[(&str, Values)], device: &Device) -> Dit {
    let start = Dit::init(config, FactorInit::ZeroStart, 0, device).unwrap();
    let new = new.iter().map(|(n, v)| (format!("{SITE}.{n}"), v.clone()));
    params::replace(start, new.collect()).unwrap()
}

/// A model with that formula, and parameters of these numbers and shapes.
fn model(formula: &Formula, parameters: &[(&str, usize)], device: &Device) -> Dit {
    let mut config = config();
    config.terms = vec![TermConfig {
        sites: vec!["mlp.input".into()],
        formula: formula.clone(),
    }];
    config.validate().unwrap();
    let shapes: BTreeMap<_, _> = formula.shapes(16, 8).into_iter().collect();
    let mut new = vec![("weight".to_string(), values(0, &[16, 8]))];
    for (name, k) in parameters {
        new.push((format!("weight.term.{name}"), values(*k, &shapes[name])));
    }
    let new: Vec<_> = new.iter().map(|(n, v)| (&n[..], v.clone())).collect();
    with(&config, &new, device)
}

fn weight(model: &Dit) -> Tensor<2> {
    match &model.blocks[0].mlp.input {
        Projection::Dense(p) => p.weight.val(),
        Projection::Factorised(_) => unreachable!("the model is dense"),
    }
}

fn assert_close(name: &str, weight: Tensor<2>, expected: [f32; 8]) {
    let found = params::to_vec(weight);
    for (found, expected) in found.iter().step_by(17).zip(expected) {
        assert!(
            (found - expected).abs() < 1e-5,
            "{name}: {found} {expected}"
        );
    }
}

/// Every formula PEFT has, and numbers for its parameters.
fn formulas() -> Vec<(Formula, Vec<(&'static str, usize)>)> {
    let (rank, scale) = (2, 1.5);
    vec![
        (
            Formula::Renorm { rank, scale },
            vec![("a", 1), ("b", 2), ("g", 3)],
        ),
        (
            Formula::Hadamard { rank, scale },
            vec![("a1", 1), ("b1", 2), ("a2", 3), ("b2", 4)],
        ),
        (
            Formula::Kronecker {
                factor: 2,
                rank,
                scale,
            },
            vec![("c", 1), ("a", 2), ("b", 3)],
        ),
        (Formula::Rotation { block: 4 }, vec![("q", 1)]),
        (
            Formula::Butterfly {
                block: 4,
                factors: 2,
            },
            vec![("q", 1), ("l", 2)],
        ),
        (Formula::Rows, vec![("l", 1)]),
        (Formula::Columns, vec![("l", 1)]),
    ]
}

/// PEFT 0.21.2 with torch 2.15, by `reference/peft_weights.py`: every 17th number of the weight.
#[test]
fn weights_are_those_of_peft() {
    let expected = [
        [
            0.03999448,
            0.01479846,
            0.006624669,
            -0.05185342,
            0.03027073,
            0.1739189,
            0.01791444,
            0.01154527,
        ],
        [
            0.05899212, 0.1237147, -0.2008398, 0.4146895, -0.3892875, 0.3792027, -0.2582291,
            0.1717168,
        ],
        [
            0.05649129, 0.04407401, -0.2182786, 0.3947853, -0.4163173, 0.4505377, -0.3296282,
            0.1163398,
        ],
        [
            -0.3104526,
            -0.06285337,
            0.03333214,
            0.360874,
            -0.4492437,
            0.3035001,
            -0.1195556,
            0.4398726,
        ],
        [
            -0.006460534,
            -0.05454509,
            0.1219786,
            0.03833167,
            0.1176985,
            -0.01550086,
            0.09467719,
            -0.04337713,
        ],
        [
            0.01555561,
            -0.02146177,
            0.08114852,
            0.1145153,
            -0.06588896,
            -0.1463841,
            -0.003835889,
            0.05814752,
        ],
        [
            0.01555561,
            0.02072747,
            0.04646937,
            -0.141044,
            0.1235486,
            0.002509122,
            -0.09054568,
            0.05840235,
        ],
    ];
    for ((formula, parameters), expected) in formulas().into_iter().zip(expected) {
        let model = model(&formula, &parameters, &Device::flex());
        assert_close(&format!("{formula:?}"), weight(&model), expected);
        let merged = model.specialise(&[], Some(Form::Merged)).unwrap();
        assert!(merged.config().terms.is_empty());
        assert_close(&format!("{formula:?}, merged"), weight(&merged), expected);
    }
}

/// The same script: a tailor of all classes is LoRA, with B in `u`, A in `v` and the scale in `s`.
#[test]
fn a_shared_tailor_is_the_lora_of_peft() {
    let config = config().with_shared_tailor(2, Sharing::Every).unwrap();
    let b = values(2, &[16, 2]).values;
    let transposed = (0..2).flat_map(|r| (0..16).map(|i| b[i * 2 + r]).collect::<Vec<_>>());
    let u = Values {
        shape: vec![2, 16],
        values: transposed.collect(),
    };
    let s = Values {
        shape: vec![2],
        values: vec![1.5; 2],
    };
    let parameters = [
        ("weight", values(0, &[16, 8])),
        ("tailors.u", u),
        ("tailors.s", s),
        ("tailors.v", values(1, &[2, 8])),
    ];
    let model = with(&config, &parameters, &Device::flex());
    let merged = model.specialise(&[(0, 1.0)], Some(Form::Merged)).unwrap();
    let expected = [
        -0.1361744,
        0.08737849,
        0.03278679,
        0.04026082,
        -0.2492855,
        0.2982839,
        -0.1147193,
        -0.03795126,
    ];
    assert_close("lora", weight(&merged), expected);
}

struct Gradients<'a>(&'a burn::tensor::Gradients, BTreeMap<String, Vec<f32>>);
impl params::Visit for Gradients<'_> {
    fn visit<const D: usize>(&mut self, name: &str, value: &Tensor<D>) {
        if let Some(grad) = value.grad(self.0) {
            self.1.insert(name.into(), params::to_vec(grad));
        }
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let data = values(9, &[16, 8]).values;
    let loss = |model: &Dit| {
        let weights = Tensor::from_data(TensorData::new(data.clone(), [16, 8]), &model.device());
        (weight(model) * weights).sum()
    };
    // The same in 64 bits: in 32 the rounding of the sum alone is a good part of a small difference.
    let exact = |model: &Dit| -> f64 {
        let all = params::to_vec(weight(model));
        let products = all.iter().zip(&data);
        products.map(|(&w, &x)| f64::from(w) * f64::from(x)).sum()
    };
    let mut all = formulas();
    all.push((
        Formula::Spectrum,
        vec![("d", 1), ("fixed.u", 2), ("fixed.s", 5), ("fixed.v", 4)],
    ));
    all.push((
        Formula::Frozen { rank: 2, seed: 5 },
        vec![("b", 1), ("d", 2)],
    ));
    for (formula, parameters) in all {
        let model = model(&formula, &parameters, &Device::flex().autodiff());
        let grads = loss(&model).backward();
        let mut found = Gradients(&grads, BTreeMap::new());
        params::visit(&model, &mut found);
        let start = params::values(&model);
        for (name, _) in &parameters {
            // The length counts as a constant there.
            if name.starts_with("fixed")
                || (matches!(formula, Formula::Renorm { .. }) && *name != "g")
            {
                continue;
            }
            let name = format!("{SITE}.weight.term.{name}");
            let grad = &found.1[&name];
            let largest = grad.iter().fold(0f32, |m, g| m.max(g.abs()));
            assert!(largest > 0.0, "{formula:?}: {name}");
            for i in (0..grad.len()).step_by(3) {
                let at = |step: f32| {
                    let mut moved = start[&name].clone();
                    moved.values[i] += step;
                    let new = BTreeMap::from([(name.clone(), moved)]);
                    exact(&params::replace(model.clone(), new).unwrap())
                };
                let h = 1e-2f32;
                let difference = ((at(h) - at(-h)) / (2.0 * f64::from(h))) as f32;
                let error = (difference - grad[i]).abs();
                assert!(
                    error < 2e-3 * largest,
                    "{formula:?}: {name}[{i}]: {} {difference}",
                    grad[i]
                );
            }
        }
    }
}

/// `mask * W + scale B A + S` and the gradients of `sum X W'`, in f64 and entry by entry: those of S at its places alone,
/// that of W nowhere the mask is zero.
#[test]
fn a_sparse_sum_is_what_the_formula_says() {
    let (m, n, rank, scale) = (16, 8, 2, 1.5);
    // The first and the last place, one that the mask leaves out, in no order.
    let places = [(9, 4), (0, 0), (15, 7), (3, 1), (3, 6)];
    for sparsity in [0.0, 0.4] {
        let formula = Formula::Sparse {
            rank,
            scale,
            entries: places.len(),
            sparsity,
        };
        let threshold = 0.25;
        let row = |values: Vec<f32>| Values {
            shape: vec![values.len()],
            values,
        };
        let mut fixed = vec![
            ("rows", row(places.map(|(i, _)| i as f32).to_vec())),
            ("columns", row(places.map(|(_, j)| j as f32).to_vec())),
        ];
        fixed.extend((sparsity > 0.0).then(|| ("threshold", row(vec![threshold]))));
        let fixed = fixed
            .into_iter()
            .map(|(n, v)| (format!("{SITE}.weight.term.fixed.{n}"), v));
        let device = Device::flex().autodiff();
        let start = model(&formula, &[("a", 1), ("b", 2), ("s", 3)], &device);
        let model = params::replace(start, fixed.collect()).unwrap();
        let of = |k, shape: &[usize]| values(k, shape).values.into_iter().map(f64::from);
        let [w, a, b, s, x] = [
            of(0, &[m, n]),
            of(1, &[rank, n]),
            of(2, &[m, rank]),
            of(3, &[places.len()]),
            of(9, &[m, n]),
        ]
        .map(Iterator::collect::<Vec<_>>);
        let kept = |w: f64| sparsity == 0.0 || w.abs() > f64::from(threshold);
        assert_eq!(kept(w[3 * n + 1]), sparsity == 0.0, "left out");

        let mut expected: Vec<f64> = w.iter().map(|&w| if kept(w) { w } else { 0.0 }).collect();
        let (mut grad_a, mut grad_b) = (vec![0.0; rank * n], vec![0.0; m * rank]);
        for i in 0..m {
            for j in 0..n {
                for r in 0..rank {
                    expected[i * n + j] += scale * b[i * rank + r] * a[r * n + j];
                    grad_a[r * n + j] += scale * b[i * rank + r] * x[i * n + j];
                    grad_b[i * rank + r] += scale * x[i * n + j] * a[r * n + j];
                }
            }
        }
        for ((i, j), s) in places.iter().zip(&s) {
            expected[i * n + j] += s;
        }
        let grad_s = places.iter().map(|(i, j)| x[i * n + j]).collect();
        let grad_w = w
            .iter()
            .zip(&x)
            .map(|(&w, &x)| if kept(w) { x } else { 0.0 });

        let close = |what: &str, found: &[f32], expected: &[f64]| {
            assert_eq!(found.len(), expected.len(), "{what}");
            for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
                let error = (f64::from(*found) - expected).abs();
                assert!(error < 1e-6, "{what}[{i}]: {found} {expected}");
            }
        };
        close("weight", &params::to_vec(weight(&model)), &expected);
        let merged = model.specialise(&[], Some(Form::Merged)).unwrap();
        close("merged", &params::to_vec(weight(&merged)), &expected);

        let data = TensorData::new(values(9, &[m, n]).values, [m, n]);
        let loss = (weight(&model) * Tensor::from_data(data, &model.device())).sum();
        let grads = loss.backward();
        let mut found = Gradients(&grads, BTreeMap::new());
        params::visit(&model, &mut found);
        for (name, expected) in [
            ("weight.term.a", grad_a),
            ("weight.term.b", grad_b),
            ("weight.term.s", grad_s),
            ("weight", grad_w.collect()),
        ] {
            close(name, &found.1[&format!("{SITE}.{name}")], &expected);
        }
    }
}

/// What stands in a file leads nowhere else.
#[test]
fn places_outside_the_matrix_are_its_border() {
    let formula = Formula::Sparse {
        rank: 2,
        scale: 1.0,
        entries: 4,
        sparsity: 0.0,
    };
    let of = |rows: [f32; 4], columns: [f32; 4]| {
        let row = |values: [f32; 4]| Values {
            shape: vec![4],
            values: values.to_vec(),
        };
        let fixed = [("rows", rows), ("columns", columns)];
        let fixed = fixed.map(|(n, v)| (format!("{SITE}.weight.term.fixed.{n}"), row(v)));
        let start = model(&formula, &[("s", 3)], &Device::flex());
        let model = params::replace(start, BTreeMap::from(fixed)).unwrap();
        params::to_vec(weight(&model))
    };
    let found = of([1e30, -3.0, f32::INFINITY, 16.0], [0.0, 1.0, 8.0, -1e9]);
    assert_eq!(found, of([15.0, 0.0, 15.0, 15.0], [0.0, 1.0, 7.0, 0.0]));
    // No number is some place of the matrix.
    of([f32::NAN; 4], [f32::NAN; 4]);
}

/// With blocks of 2 in log2(n) factors every output of the rotation sees every input, as in a fast Fourier transform;
/// with a factor less, half of them. Rows keep their lengths.
#[test]
fn butterflies_reach_everything_in_log2_n_factors() {
    for (factors, reached) in [(1, 2), (2, 4), (3, 8)] {
        let formula = Formula::Butterfly { block: 2, factors };
        let mut model = model(&formula, &[("q", 1)], &Device::flex());
        let mut unit = values(0, &[16, 8]);
        unit.values = (0..128).map(|i| f32::from(i % 9 == 0)).collect();
        let name = format!("{SITE}.weight");
        model = params::replace(model, BTreeMap::from([(name, unit)])).unwrap();
        let rotation = params::to_vec(weight(&model));
        for row in rotation.chunks(8).take(8) {
            let seen = row.iter().filter(|v| v.abs() > 1e-4).count();
            assert_eq!(seen, reached, "{factors} factors: {row:?}");
            let length: f32 = row.iter().map(|v| v * v).sum();
            assert!((length - 1.0).abs() < 1e-5, "{length}");
        }
    }
}

#[test]
fn terms_that_fit_no_matrix_are_refused() {
    let refused = |sites: &[&str], formula: Formula| {
        let mut config = config();
        let sites = sites.iter().map(|site| (*site).into()).collect();
        config.terms = vec![TermConfig { sites, formula }];
        config.validate().unwrap_err().to_string()
    };
    let rank = |rank| Formula::Renorm { rank, scale: 1.0 };
    let butterfly = |block, factors| Formula::Butterfly { block, factors };
    let sparse = |rank, entries, sparsity| Formula::Sparse {
        rank,
        scale: 1.0,
        entries,
        sparsity,
    };
    for (text, part) in [
        (
            refused(&["mlp.hidden"], Formula::Rows),
            "`mlp.hidden`, expected one of attention.q",
        ),
        (
            refused(&["attention.q", "attention.q"], Formula::Rows),
            "`attention.q` twice",
        ),
        (refused(&["mlp.input"], rank(0)), "rank 0"),
        (refused(&["mlp.input"], rank(9)), "1 to 8"),
        (
            refused(&["mlp.input"], Formula::Rotation { block: 3 }),
            "divides [8]",
        ),
        (
            refused(&["mlp.input"], Formula::Rotation { block: 0 }),
            "block 0",
        ),
        (refused(&["mlp.input"], butterfly(3, 1)), "an even number"),
        (refused(&["mlp.input"], butterfly(0, 1)), "block 0"),
        (refused(&["mlp.input"], butterfly(4, 0)), "from 1 on"),
        (refused(&["mlp.input"], butterfly(4, 3)), "divides 8"),
        (refused(&["mlp.input"], butterfly(4, 70)), "divides 8"),
        (refused(&["mlp.input"], sparse(9, 1, 0.0)), "rank 9"),
        (refused(&["mlp.input"], sparse(1, 0, 0.0)), "entries 0"),
        (refused(&["mlp.input"], sparse(1, 129, 0.0)), "1 to 128"),
        (refused(&["mlp.input"], sparse(1, 1, 1.0)), "below 1"),
        (refused(&["mlp.input"], sparse(1, 1, -0.1)), "below 1"),
        (refused(&["mlp.input"], sparse(1, 1, f64::NAN)), "below 1"),
    ] {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }
    let mut factorised = config().with_rank_split("4,2".parse().unwrap()).unwrap();
    factorised.terms = vec![TermConfig {
        sites: vec!["mlp.input".into()],
        formula: Formula::Rows,
    }];
    let text = factorised.validate().unwrap_err().to_string();
    assert!(text.contains("which is factorised"), "{text}");
}
