//! The metrics against pytorch-fid, torch-fidelity, prdc and SciPy on the same rows (`reference/metrics.py`), and
//! what they refuse.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use learngene_eval::metrics::{
    Bootstrap, Caveat, Features, Layer, Measure, Network, Origin, Pair, frechet_distance,
    inception_score, kernel_distance, kernel_distance_over_subsets, manifold,
};
use learngene_eval::{EvalError, RowMatrix};
use serde_json::Value;

const BOOTSTRAP: Bootstrap = Bootstrap {
    seed: 1,
    resamples: 200,
};
const NONE: Bootstrap = Bootstrap {
    seed: 1,
    resamples: 0,
};

fn reference() -> Value {
    serde_json::from_str(include_str!("reference/metrics.json")).unwrap()
}

/// As `uniform` of the script.
fn uniform(rows: usize, columns: usize, first: usize) -> Vec<f32> {
    let places = (first..first + rows).flat_map(|r| (0..columns).map(move |c| (r, c)));
    let hashed = places.map(|(row, column)| {
        let mut h = (row as u32).wrapping_mul(2_654_435_761);
        h = h.wrapping_add((column as u32).wrapping_mul(40_503).wrapping_add(97));
        h = (h ^ (h >> 15)).wrapping_mul(2_246_822_519);
        h = (h ^ (h >> 13)).wrapping_mul(3_266_489_917);
        ((h ^ (h >> 16)) >> 16) as f32 / 65_536.0
    });
    hashed.collect()
}

fn origin() -> Origin {
    Origin {
        network: Network::Lite0,
        layer: Layer::Pooled,
        weights: "0123456789abcdef".to_owned(),
        resize: "bicubic 224".to_owned(),
    }
}

fn features(columns: usize, values: Vec<f32>) -> Features {
    Features::new(origin(), RowMatrix::new(columns, values).unwrap()).unwrap()
}

fn real(rows: usize, columns: usize) -> Features {
    features(columns, uniform(rows, columns, 0))
}

fn generated(rows: usize, columns: usize) -> Features {
    let values = uniform(rows, columns, 5_000).into_iter().enumerate();
    let moved = values.map(|(i, v)| v * 0.75 + 0.125 + (i % columns % 3) as f32 * 0.0625);
    features(columns, moved.collect())
}

fn close(found: f64, name: &str, tolerance: f64) {
    let expected = reference()[name].as_f64().unwrap();
    assert!(
        (found - expected).abs() <= tolerance * expected.abs(),
        "{name}: {found} {expected}"
    );
}

fn frechet(real: &Features, generated: &Features, bootstrap: &Bootstrap) -> Measure {
    frechet_distance(&Pair::new(real, generated).unwrap(), bootstrap, || ()).unwrap()
}

#[test]
fn frechet_distance_agrees_with_pytorch_fid() {
    let found = frechet(&real(200, 24), &generated(150, 24), &NONE);
    close(found.value, "frechet", 1e-9);
    assert_eq!((found.real, found.generated), (200, 150));
    assert_eq!((found.name.as_str(), found.interval), ("FD-Lite0", None));
    assert!(found.caveats.is_empty());
    // More features than one tile has.
    let wide = frechet(&real(500, 300), &generated(700, 300), &NONE);
    close(wide.value, "frechet_wide", 1e-9);
}

#[test]
fn frechet_distance_of_few_images_agrees_with_singular_values_and_says_what_it_is() {
    let few = frechet(&real(40, 64), &generated(30, 64), &NONE);
    close(few.value, "frechet_singular", 1e-6);
    let caveat = Caveat::FewerImagesThanFeatures {
        images: 30,
        features: 64,
    };
    assert_eq!(few.caveats, [caveat]);
    let more = frechet(&real(40, 64), &generated(90, 64), &NONE);
    close(more.value, "frechet_singular_real", 1e-6);
    assert_eq!(more.caveats.len(), 1);
    let same = frechet(&real(40, 64), &real(40, 64), &NONE);
    assert!(same.value.abs() < 1e-6, "{}", same.value);
}

#[test]
fn kernel_distance_agrees_with_torch_fidelity() {
    let (x, y) = (real(150, 24), generated(150, 24));
    let pair = Pair::new(&x, &y).unwrap();
    let found = kernel_distance(&pair, &BOOTSTRAP).unwrap();
    close(found.value, "kernel", 1e-9);
    assert_eq!(found.name, "KID-Lite0");
    let interval = found.interval.unwrap();
    assert!(interval.low < found.value && found.value < interval.high);
    let all = kernel_distance_over_subsets(&pair, 2, 150, 7).unwrap();
    close(all.mean, "kernel", 1e-9);
    assert!(all.deviation < 1e-12);
    // Other subsets than theirs: the means differ by some deviations of a mean of 2,000, the deviations by 2 %.
    let x = real(200, 24);
    let pair = Pair::new(&x, &y).unwrap();
    let subsets = kernel_distance_over_subsets(&pair, 2_000, 50, 7).unwrap();
    let expected = &reference()["kernel_subsets"];
    let [mean, deviation] = [0, 1].map(|i| expected[i].as_f64().unwrap());
    assert!((subsets.mean - mean).abs() < 5.0 * deviation / 2_000_f64.sqrt());
    assert!((subsets.deviation / deviation - 1.0).abs() < 0.08);
}

#[test]
fn precision_recall_density_and_coverage_agree_with_torch_fidelity_and_prdc() {
    let (x, y) = (real(200, 6), generated(150, 6));
    let found = manifold(&Pair::new(&x, &y).unwrap(), &BOOTSTRAP).unwrap();
    close(found.precision.value, "precision", 1e-6);
    close(found.recall.value, "recall", 1e-6);
    close(found.density.value, "density", 1e-12);
    close(found.coverage.value, "coverage", 1e-12);
    for measure in [found.precision, found.recall, found.density, found.coverage] {
        let interval = measure.interval.unwrap();
        assert!(interval.low < measure.value && measure.value < interval.high);
    }
}

/// The interval must be as wide as the value's own spread over sets that are drawn anew.
#[test]
fn frechet_interval_is_as_wide_as_the_spread_over_new_draws() {
    let x = real(400, 6);
    let sets = uniform(100 * 40, 6, 20_000);
    let values: Vec<f64> = sets
        .chunks(100 * 6)
        .map(|set| {
            frechet(
                &x,
                &features(6, set.iter().map(|v| v * 0.5).collect()),
                &NONE,
            )
            .value
        })
        .collect();
    let mean = values.iter().sum::<f64>() / 40.0;
    let spread = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 39.0).sqrt();
    let set = sets[..600].iter().map(|v| v * 0.5).collect();
    let found = frechet(&x, &features(6, set), &BOOTSTRAP);
    let interval = found.interval.unwrap();
    let half = (interval.high - interval.low) / 2.0;
    assert!(
        (half / (1.96 * spread) - 1.0).abs() < 0.4,
        "{half} {spread}"
    );
    assert!(interval.low < found.value && found.value < interval.high);
    let again = frechet(
        &x,
        &features(6, sets[..600].iter().map(|v| v * 0.5).collect()),
        &BOOTSTRAP,
    );
    assert_eq!(found, again);
}

#[test]
fn features_of_other_origin_are_refused() {
    let x = real(10, 4);
    let rows = x.rows().clone();
    let changes: [fn(&mut Origin); 4] = [
        |o| o.weights = "f".repeat(64),
        |o| o.network = Network::InceptionV3,
        |o| o.layer = Layer::Spatial,
        |o| o.resize = "bicubic 96".to_owned(),
    ];
    for change in changes {
        let mut other = origin();
        change(&mut other);
        let other = Features::new(other, rows.clone()).unwrap();
        let refused = Pair::new(&x, &other).unwrap_err();
        assert!(matches!(refused, EvalError::Origins { .. }), "{refused}");
    }
    assert!(matches!(
        Pair::new(&x, &real(10, 5)),
        Err(EvalError::Origins { .. })
    ));
    let mut values = uniform(3, 4, 0);
    values[5] = f32::NAN;
    let broken = Features::new(origin(), RowMatrix::new(4, values).unwrap());
    assert!(matches!(broken, Err(EvalError::NotFinite { row: 1 })));
}

#[test]
fn too_few_images_are_refused_and_names_follow_the_network() {
    let none = Features::new(origin(), RowMatrix::new(4, Vec::new()).unwrap()).unwrap();
    let (one, five, ten) = (real(1, 4), real(5, 4), real(10, 4));
    for few in [&none, &one] {
        for (a, b) in [(few, &ten), (&ten, few)] {
            let pair = Pair::new(a, b).unwrap();
            let too_few = |e: EvalError| matches!(e, EvalError::TooFewImages { least: 2, .. });
            assert!(too_few(frechet_distance(&pair, &NONE, || ()).unwrap_err()));
            assert!(too_few(kernel_distance(&pair, &NONE).unwrap_err()));
        }
    }
    let pair = Pair::new(&ten, &five).unwrap();
    assert!(matches!(
        manifold(&pair, &NONE),
        Err(EvalError::TooFewImages {
            set: "generated",
            found: 5,
            least: 6
        })
    ));
    assert!(kernel_distance_over_subsets(&pair, 3, 6, 0).is_err());
    assert!(kernel_distance_over_subsets(&pair, 0, 3, 0).is_err());
    assert!(kernel_distance_over_subsets(&pair, 3, 1, 0).is_err());
    assert!(matches!(
        inception_score(&ten, &NONE),
        Err(EvalError::NotLogits)
    ));
    let inception = |layer| {
        let origin = Origin {
            network: Network::InceptionV3,
            layer,
            ..origin()
        };
        Features::new(origin, ten.rows().clone()).unwrap()
    };
    for (layer, name) in [(Layer::Pooled, "FID"), (Layer::Spatial, "sFID")] {
        assert_eq!(
            frechet(&inception(layer), &inception(layer), &NONE).name,
            name
        );
    }
    let score = inception_score(&inception(Layer::Logits), &BOOTSTRAP).unwrap();
    assert!(score.value > 1.0 && score.interval.is_some());
    assert_eq!(score.caveats, [Caveat::FewerSplits { splits: 1 }]);
}
