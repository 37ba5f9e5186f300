//! The probe on real images: classes of the built-in emoji pack, judged on drawings it was not fitted to.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use learngene_eval::{ImageView, Labelled, Lite0, Probe, Rates};

/// Tiles per row of the sheet, and the side of a tile.
const COLUMNS: usize = 64;
const TILE: usize = 32;

/// Pixels and labels of `part` of the pack, limited to `classes` and to `most` tiles of each.
fn tiles(part: &str, classes: &[&str], most: usize) -> (Vec<Vec<u8>>, Vec<usize>) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/emoji/emoji-flat");
    let index = std::fs::read(format!("{folder}.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let sheet = image::open(format!("{folder}.png")).unwrap().to_rgb8();
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    let split = index["split"].as_array().unwrap();
    for (tile, label) in index["labels"].as_array().unwrap().iter().enumerate() {
        let name = index["classes"][label.as_u64().unwrap() as usize]
            .as_str()
            .unwrap();
        let Some(class) = classes.iter().position(|class| *class == name) else {
            continue;
        };
        if split[tile] == part && labels.iter().filter(|&&label| label == class).count() < most {
            let corner = [tile % COLUMNS * TILE, tile / COLUMNS * TILE].map(|at| at as u32);
            let tile =
                image::imageops::crop_imm(&sheet, corner[0], corner[1], TILE as u32, TILE as u32);
            pixels.push(tile.to_image().into_raw());
            labels.push(class);
        }
    }
    (pixels, labels)
}

#[test]
fn held_out_drawings_are_recognised() {
    let classes = ["face", "hand", "flag", "vehicle", "clock"];
    let lite0 = Lite0::load().unwrap();
    let features = |tiles: &[Vec<u8>]| {
        let view = |tile| ImageView {
            width: TILE,
            height: TILE,
            channels: 3,
            pixels: tile,
        };
        let views: Vec<_> = tiles.iter().map(|tile| view(tile.as_slice())).collect();
        lite0.features(&views, 96, |_, _| ()).unwrap()
    };
    let (train, train_labels) = tiles("train", &classes, 50);
    let (validation, validation_labels) = tiles("val", &classes, 20);
    let (test, test_labels) = tiles("test", &classes, 20);
    let train = features(&train);
    let validation = features(&validation);
    let found = Probe::select(
        Labelled {
            features: &train,
            labels: &train_labels,
        },
        Labelled {
            features: &validation,
            labels: &validation_labels,
        },
        classes.len(),
        &Probe::LAMBDAS,
    )
    .unwrap();
    let predicted = found.probe.predict(&features(&test)).unwrap();
    let rates = Rates::new(&test_labels, &predicted, classes.len()).unwrap();
    println!("{:?}, lambda {}", rates.overall, found.probe.lambda());
    assert!(rates.overall.low > 0.7, "{rates:?}");
}
