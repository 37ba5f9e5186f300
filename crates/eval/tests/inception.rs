//! InceptionV3 against pytorch-fid with the same made-up weights (`reference/inception.py`), and wrong weight files.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::collections::BTreeMap;

use learngene_eval::metrics::{Layer, Network};
use learngene_eval::{EvalError, ImageView, Inception, RowMatrix};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::Value;

/// Bytes and shape by name.
type Tensors = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

fn reference() -> Value {
    serde_json::from_str(include_str!("reference/inception.json")).unwrap()
}

/// As `uniform` of the script.
fn uniform(name: &str, count: usize) -> impl Iterator<Item = f32> {
    let seed = name.bytes().fold(2_166_136_261_u32, |h, byte| {
        (h ^ u32::from(byte)).wrapping_mul(16_777_619)
    });
    (0..count as u32).map(move |index| {
        let mut h = index.wrapping_mul(2_654_435_761).wrapping_add(seed);
        h = (h ^ (h >> 15)).wrapping_mul(2_246_822_519);
        h = (h ^ (h >> 13)).wrapping_mul(3_266_489_917);
        ((h ^ (h >> 16)) >> 16) as f32 / 65_536.0
    })
}

/// As `made` of the script.
fn weights() -> Tensors {
    let mut tensors = Tensors::new();
    let mut insert = |name: String, shape: Vec<usize>| {
        let values = uniform(&name, shape.iter().product());
        let inputs: usize = shape[1..].iter().product();
        let change: Box<dyn Fn(f32) -> f32> = match shape.len() {
            1 if name.ends_with("bn.weight") || name.ends_with("running_var") => {
                Box::new(|u| u + 0.5)
            }
            1 => Box::new(|u| (u - 0.5) * 0.25),
            _ => Box::new(move |u| (u - 0.5) * (24.0 / inputs as f64).sqrt() as f32),
        };
        let bytes = values.flat_map(|u| change(u).to_le_bytes()).collect();
        tensors.insert(name, (shape, bytes));
    };
    for (name, shape) in reference()["filters"].as_object().unwrap() {
        let shape: Vec<usize> = serde_json::from_value(shape.clone()).unwrap();
        for part in ["weight", "bias", "running_mean", "running_var"] {
            insert(format!("{name}.bn.{part}"), shape[..1].to_vec());
        }
        insert(format!("{name}.conv.weight"), shape);
    }
    insert("fc.weight".to_owned(), vec![1008, 2048]);
    insert("fc.bias".to_owned(), vec![1008]);
    tensors
}

fn file(tensors: &Tensors) -> Vec<u8> {
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        let dtype = if name.ends_with("num_batches_tracked") {
            Dtype::I64
        } else {
            Dtype::F32
        };
        (name, TensorView::new(dtype, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

/// As `picture` of the script.
fn picture(width: i32, height: i32) -> Vec<u8> {
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let colour = |(x, y): (i32, i32)| {
        let disc = (x - 15).pow(2) + (y - 20).pow(2) < 100;
        let ramps = [x * 5 % 256, y * 6 % 256, x * y / 4 % 256];
        (if disc { [250, 200, 30] } else { ramps }).map(|value| value as u8)
    };
    places.flat_map(colour).collect()
}

/// Every `step`-th value against the reference: `|found - expected| / |expected|`.
fn check(kind: &str, image: usize, found: &[f32], step: usize) {
    let expected: Vec<f32> = serde_json::from_value(reference()[kind][image].clone()).unwrap();
    let found: Vec<f32> = found.iter().copied().step_by(step).collect();
    assert_eq!(found.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
    let difference = norm(&mut found.iter().zip(&expected).map(|(a, b)| a - b));
    let relative = difference / norm(&mut expected.iter().copied());
    assert!(relative < 1e-5, "{kind} of image {image}: {relative}");
}

#[test]
fn features_and_logits_agree_with_pytorch_fid() {
    let mut tensors = weights();
    // Files of some versions of PyTorch have these as well.
    tensors.insert(
        "Mixed_5b.branch1x1.bn.num_batches_tracked".to_owned(),
        (Vec::new(), vec![0; 8]),
    );
    let inception = Inception::from_safetensors(&file(&tensors)).unwrap();
    // One that is enlarged and one that is made smaller.
    let sizes = [(40, 48), (350, 330)];
    let pictures = sizes.map(|(width, height)| picture(width, height));
    let views: Vec<ImageView<'_>> = sizes
        .iter()
        .zip(&pictures)
        .map(|(&(width, height), pixels)| ImageView {
            width: width as usize,
            height: height as usize,
            channels: 3,
            pixels,
        })
        .collect();
    let found = inception.features(&views, |_, _| ()).unwrap();
    let logits = inception.logits(&found.pooled).unwrap();
    for image in 0..2 {
        let row = |rows: &RowMatrix| rows.select(&[image]).values().to_vec();
        check("pooled", image, &row(&found.pooled), 16);
        check("spatial", image, &row(&found.spatial), 16);
        check("logits", image, &row(&logits), 8);
    }
    let origin = inception.origin(Layer::Spatial);
    assert_eq!(origin.network, Network::InceptionV3);
    assert_eq!(origin.weights.len(), 64);
    let broken = ImageView {
        height: 49,
        ..views[0]
    };
    assert!(matches!(
        inception.features(&[views[1], broken], |_, _| ()),
        Err(EvalError::ImageSize { index: 1, .. })
    ));
    assert!(matches!(
        inception.logits(&found.spatial),
        Err(EvalError::Width { expected: 2048, .. })
    ));
}

#[test]
fn weights_of_another_network_are_listed() {
    let refused = |tensors: &Tensors| {
        let error = Inception::from_safetensors(&file(tensors)).map(drop);
        error.unwrap_err().to_string()
    };
    let mut tensors = weights();
    let (shape, bytes) = tensors.remove("Mixed_7c.branch_pool.conv.weight").unwrap();
    tensors.insert("AuxLogits.fc.bias".to_owned(), (vec![1], vec![0; 4]));
    tensors.insert(
        "Mixed_6b.branch7x7_2.conv.weight".to_owned(),
        (vec![128, 128, 7, 1], vec![0; 128 * 128 * 7 * 4]),
    );
    let variance = tensors.get_mut("Conv2d_1a_3x3.bn.running_var").unwrap();
    variance.1[..4].copy_from_slice(&(-1.0_f32).to_le_bytes());
    let text = refused(&tensors);
    for part in [
        "'Mixed_7c.branch_pool.conv.weight' missing",
        "'AuxLogits.fc.bias' unexpected",
        "'Mixed_6b.branch7x7_2.conv.weight' has shape [128, 128, 7, 1] instead of [128, 128, 1, 7]",
        "'Conv2d_1a_3x3.bn.running_var' holds a value below 0",
        "not InceptionV3 under the names of pytorch-fid",
    ] {
        assert!(text.contains(part), "{text} does not say {part}");
    }
    // Another network altogether: hundreds of problems, of which the first are shown.
    let other = Tensors::from([("x".to_owned(), (shape, bytes))]);
    let text = refused(&other);
    assert!(text.contains(" more;") && text.len() < 2_000, "{text}");
    assert!(matches!(
        Inception::from_safetensors(b"not safetensors at all"),
        Err(EvalError::WeightsUnreadable { .. })
    ));
}
