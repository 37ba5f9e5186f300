//! The feature extractor against PyTorch and Pillow (`reference/make.py`) and against hostile input.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use learngene_eval::{EvalError, ImageView, Lite0, RowMatrix};
use serde_json::Value;

const WEIGHTS: &[u8] = include_bytes!("../../../assets/lite0/efficientnet-lite0-f16.safetensors");

fn reference(kind: &str, size: usize) -> Vec<f32> {
    let all: Value = serde_json::from_str(include_str!("reference/lite0.json")).unwrap();
    let list = all[kind][size.to_string()].as_array().unwrap();
    list.iter()
        .map(|value| value.as_f64().unwrap() as f32)
        .collect()
}

/// The same bytes as `synthetic` in `reference/make.py`: 40 x 48 colour ramps with a disc.
fn synthetic() -> Vec<u8> {
    let mut pixels = Vec::new();
    for y in 0..48_i32 {
        for x in 0..40_i32 {
            let disc = (x - 15).pow(2) + (y - 20).pow(2) < 100;
            let ramps = [x * 5 % 256, y * 6 % 256, x * y / 4 % 256];
            let colour = if disc { [250, 200, 30] } else { ramps };
            pixels.extend(colour.map(|value| value as u8));
        }
    }
    pixels
}

fn view(pixels: &[u8]) -> ImageView<'_> {
    ImageView {
        width: 40,
        height: 48,
        channels: 3,
        pixels,
    }
}

/// `|found - expected| / |expected|` in the Euclidean norm.
fn relative(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
    let difference = norm(&mut found.iter().zip(expected).map(|(a, b)| a - b));
    difference / norm(&mut expected.iter().copied())
}

#[test]
fn features_and_logits_agree_with_pytorch() {
    let lite0 = Lite0::load().unwrap();
    let pixels = synthetic();
    // 97 has odd sizes on the way down, where a wrong side for the odd padded pixel shows.
    for size in [224, 97] {
        let features = lite0.features(&[view(&pixels)], size, |_, _| ()).unwrap();
        let difference = relative(features.values(), &reference("features", size));
        println!("features at {size}: relative difference {difference:.1e}");
        assert!(difference < 1e-4, "{size}: {difference}");
        let logits = lite0.logits(&features).unwrap();
        let difference = relative(&logits.values()[..20], &reference("logits", size));
        assert!(difference < 1e-4, "{size}: {difference}");
    }
}

#[test]
fn a_row_does_not_depend_on_its_batch_and_progress_ends_at_the_total() {
    let lite0 = Lite0::load().unwrap();
    let pixels = synthetic();
    let grey: Vec<u8> = pixels.iter().copied().step_by(3).collect();
    let grey = ImageView {
        channels: 1,
        ..view(&grey)
    };
    let mut images = vec![view(&pixels); 19];
    images[10] = grey;
    let most = std::sync::atomic::AtomicUsize::new(0);
    let together = lite0
        .features(&images, 32, |done, total| {
            assert_eq!(total, 19);
            most.fetch_max(done, std::sync::atomic::Ordering::Relaxed);
        })
        .unwrap();
    assert_eq!(most.into_inner(), 19);
    let alone = |image| lite0.features(&[image], 32, |_, _| ()).unwrap();
    assert!(
        relative(
            together.select(&[18]).values(),
            alone(view(&pixels)).values()
        ) < 1e-5
    );
    assert!(relative(together.select(&[10]).values(), alone(grey).values()) < 1e-5);
    assert_eq!(lite0.features(&[], 32, |_, _| ()).unwrap().rows(), 0);
}

#[test]
fn bad_images_are_refused() {
    let lite0 = Lite0::load().unwrap();
    let pixels = synthetic();
    let refused = |image, size| {
        lite0
            .features(&[view(&pixels), image], size, |_, _| ())
            .unwrap_err()
    };
    let short = refused(view(&pixels[1..]), 32);
    assert!(matches!(
        short,
        EvalError::ImageSize {
            index: 1,
            expected: 5760,
            found: 5759,
            ..
        }
    ));
    for broken in [
        ImageView {
            width: usize::MAX,
            ..view(&pixels)
        },
        ImageView {
            width: 0,
            height: 0,
            ..view(&[])
        },
        ImageView {
            channels: 4,
            ..view(&pixels)
        },
    ] {
        assert!(matches!(
            refused(broken, 32),
            EvalError::ImageSize {
                index: 1,
                expected: 0 | 1..,
                ..
            }
        ));
    }
    assert!(matches!(
        refused(view(&pixels), 16),
        EvalError::InputSize { found: 16, .. }
    ));
    assert!(matches!(
        refused(view(&pixels), 1 << 40),
        EvalError::InputSize { .. }
    ));
    let narrow = RowMatrix::new(3, vec![0.0; 3]).unwrap();
    assert!(matches!(
        lite0.logits(&narrow),
        Err(EvalError::Width {
            expected: 1280,
            found: 3
        })
    ));
}

#[test]
fn damaged_weights_are_refused() {
    let load = |bytes: &[u8]| Lite0::from_safetensors(bytes).map(drop).unwrap_err();
    for length in [0, 7, 8, 4_000, WEIGHTS.len() / 2, WEIGHTS.len() - 1] {
        assert!(
            matches!(
                load(&WEIGHTS[..length]),
                EvalError::WeightsUnreadable { .. }
            ),
            "{length}"
        );
    }
    let mut endless = WEIGHTS.to_vec();
    endless[..8].fill(0xff);
    assert!(matches!(
        load(&endless),
        EvalError::WeightsUnreadable { .. }
    ));
}

#[test]
fn weights_of_another_network_are_listed() {
    let load = |bytes: &[u8]| Lite0::from_safetensors(bytes).map(drop).unwrap_err();
    // Same length on both sides, so the header's own length stays right.
    let mut renamed = rewrite(
        WEIGHTS,
        br#""blocks.3.expand.bias""#,
        br#""blocks.3.expand.BIAS""#,
    );
    let text = load(&renamed).to_string();
    assert!(text.contains("'blocks.3.expand.bias' missing"), "{text}");
    assert!(text.contains("'blocks.3.expand.BIAS' unexpected"), "{text}");
    renamed = rewrite(WEIGHTS, b"[32,3,3,3]", b"[3,32,3,3]");
    let text = load(&renamed).to_string();
    assert!(
        text.contains("'stem.weight' has shape [3, 32, 3, 3] instead of [32, 3, 3, 3]"),
        "{text}"
    );
    let mut infinite = WEIGHTS.to_vec();
    let end = infinite.len();
    infinite[end - 2..].copy_from_slice(&[0x00, 0x7c]);
    let text = load(&infinite).to_string();
    assert!(text.contains("not finite"), "{text}");
}

fn rewrite(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = bytes
        .windows(from.len())
        .position(|window| window == from)
        .unwrap();
    let mut copy = bytes.to_vec();
    copy[at..at + to.len()].copy_from_slice(to);
    copy
}
