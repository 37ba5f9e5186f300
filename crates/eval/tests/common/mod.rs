//! A report with every kind of block and made-up, realistic content.

pub mod browser;

use image::{Rgb, RgbImage};
use learngene_eval::report::{
    Block, Curve, Figure, Gallery, HeatMap, Picture, Png, Report, Scale, Section, Series, Table,
};
use learngene_eval::{Rates, report};

/// Colour that occurs in the pictures and nowhere else on the page.
pub const MARK: [u8; 3] = [235, 20, 235];

fn png(width: u32, height: u32, colour: impl Fn(u32, u32) -> [u8; 3]) -> Png {
    let picture = RgbImage::from_fn(width, height, |x, y| Rgb(colour(x, y)));
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    Png::new(bytes.into_inner()).unwrap()
}

/// A disc in `colour` on white, with a square of [`MARK`] in the middle.
fn tile(size: u32, colour: [u8; 3]) -> Png {
    png(size, size, |x, y| tile_pixel(size, colour, x, y))
}

fn tile_pixel(size: u32, colour: [u8; 3], x: u32, y: u32) -> [u8; 3] {
    let from_centre = |v: u32| (v as f32 + 0.5) / size as f32 - 0.5;
    let (dx, dy) = (from_centre(x), from_centre(y));
    match (dx.abs().max(dy.abs()) < 0.125, dx.hypot(dy) < 0.42) {
        (true, _) => MARK,
        (_, true) => colour,
        _ => [255; 3],
    }
}

fn colour(index: u32) -> [u8; 3] {
    let phase = |shift: f32| ((index as f32 * 0.9 + shift).sin() * 90.0 + 140.0) as u8;
    [phase(0.0), phase(2.1), phase(4.2)]
}

fn strings<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

fn losses() -> Curve {
    let train = (1..=1000).map(|step| {
        let x = f64::from(step);
        let noise = (x * 12.9898).sin() * 43_758.545_3 % 1.0;
        (
            x,
            0.125 + 0.9 * (-x / 60.0).exp() + 0.11 * (-x / 500.0).exp() + 0.02 * noise,
        )
    });
    let validation = (0..=10).map(|step| {
        let x = f64::from(step) * 100.0;
        (
            x,
            0.131 + 0.7 * (-x / 70.0).exp() + 0.11 * (-x / 480.0).exp(),
        )
    });
    let series = |name: &str, points, smooth| Series {
        name: name.to_owned(),
        points,
        smooth,
    };
    Curve {
        caption:
            "Loss of the v target over training. The faint line is every batch, the strong one its \
                  moving average over 33 steps; validation is measured on 222 held-out drawings."
                .to_owned(),
        x_label: "step".to_owned(),
        y_label: "v loss".to_owned(),
        scale: Scale::Log,
        series: vec![
            series("training", train.collect(), true),
            series("validation", validation.collect(), false),
        ],
    }
}

fn rates() -> Table {
    let classes = strings([
        "face",
        "portrait",
        "hand",
        "flag",
        "<script>alert('class')</script>",
    ]);
    let labels: Vec<usize> = (0..146).map(|i| i * 7 % 5).collect();
    let real: Vec<usize> = labels
        .iter()
        .enumerate()
        .map(|(i, &l)| if i % 6 == 0 { (l + 1) % 5 } else { l })
        .collect();
    let made: Vec<usize> = labels
        .iter()
        .enumerate()
        .map(|(i, &l)| if i % 9 < 5 { (l + i) % 5 } else { l })
        .collect();
    let real = Rates::new(&labels, &real, 5).unwrap();
    let made = Rates::new(&labels, &made, 5).unwrap();
    let caption = "How often the class probe recognises the class, on real held-out images and on samples. \
                   Chance is 0.20.";
    report::Table::of_rates(caption, &classes, &[("real", &real), ("samples", &made)])
}

/// The example page.
pub fn example() -> Report {
    let gates = strings(["learngene only", "right tailor", "wrong tailor"]);
    let strip = ["face", "flag", "hand", "building"]
        .iter()
        .enumerate()
        .map(|(row, name)| {
            let pictures = (0..3).map(|column| tile(32, colour(5 * row as u32 + column)));
            ((*name).to_owned(), pictures.collect())
        });
    let cost = Table {
        caption: "What each part costs.".to_owned(),
        columns: strings(["model", "parameters", "MMAC per image", "file"]),
        rows: vec![
            strings(["full, 12 classes", "3,071,232", "138", "12.3 MB"]),
            strings(["assembled, 4 classes", "1,742,848", "138", "7.0 MB"]),
            strings(["learngene alone", "1,078,656", "127", "4.3 MB"]),
            strings(["dense, same size", "3,104,640", "170", "12.4 MB"]),
        ],
        total: false,
        ..Table::default()
    };
    let sheet = png(640, 256, |x, y| {
        tile_pixel(64, colour(x / 64 + 10 * (y / 64)), x % 64, y % 64)
    });
    let section = |heading: &str, text: &str, blocks| Section {
        heading: heading.to_owned(),
        paragraphs: vec![text.to_owned()],
        blocks,
    };
    Report {
        title: "One model, taken apart: a learngene and twelve tailors".to_owned(),
        summary: strings(["A diffusion transformer was trained for 1,000 steps on 1,514 emoji of 12 classes in 4 minutes. \
             Switching a class's tailor on changes what it draws; the learngene alone draws no class in particular."]),
        top: Vec::new(),
        figures: vec![
            Figure { value: "0.1359".into(), label: "validation v loss".into(), note: "bar: at most 0.145".into() },
            Figure { value: "+7.3 %".into(), label: "loss without the tailor".into(), note: "bar: at least +5 %".into() },
            Figure { value: "0.42".into(), label: "samples recognised".into(), note: "0.85 on real images, chance 0.08".into() },
            Figure { value: "1.1 MB".into(), label: "smallest assembly".into(), note: "full model: 12.3 MB".into() },
        ],
        sections: vec![
            section("Training", "Both parts learn together from the first step.", vec![Block::Curve(losses())]),
            section("What the learngene and the tailors do", "Each row starts from the same noise. Only the gate differs.", vec![
                Block::Gallery(Gallery {
                    caption: "The same noise under three gates. With a wrong tailor the picture follows the tailor, not the label.".into(),
                    columns: gates,
                    rows: strip.collect(),
                }),
                Block::Picture(Picture {
                    png: sheet,
                    alt: "forty samples in four rows of ten".into(),
                    caption: "Samples of ten classes, four each, guidance 2, 50 steps of DPM-Solver++(2M), seed 1.".into(),
                }),
            ]),
            section("How many are recognised", "The probe is a linear classifier on EfficientNet-Lite0 features, trained on real images.", vec![
                Block::Table(rates()),
                Block::Text("Intervals are 95 % Wilson intervals; with about 30 images a class they are wide.".into()),
            ]),
            section("Size and cost", "Assembling chooses components; nothing is trained.", vec![
                Block::Table(cost),
                Block::Picture(Picture { png: tile(32, colour(3)), alt: "one sample, enlarged".into(), caption: "One sample at 8 times its size.".into() }),
            ]),
        ],
        how_to_read: strings([
            "The samples come from a small model after minutes of training on drawings of 32 x 32 pixels: look for the \
             class, not for beauty.",
            "The probe was trained on the same collection, so its rates compare runs of this page with each other and \
             with real images; they are no absolute measure of quality.",
        ]),
        settings: [("size", "dit-nano/4"), ("rank split", "40, 8"), ("steps", "1000"), ("batch", "36"), ("learning rate", "1e-3"),
            ("schedule", "cosine"), ("target", "v"), ("seed", "1"), ("data", "builtin:emoji")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        machine: "learngene 0.1.0, 2 threads of an AMD EPYC, burn 0.22.1 flex, seed 1".to_owned(),
    }
}

/// Blocks wider than any page: more classes, seeds, steps and larger pictures than fit beside each other.
pub fn wide() -> Report {
    let classes: Vec<String> = (0..20).map(|i| format!("television-set {i}")).collect();
    let table = |columns: usize, cell: &str, keys| {
        let heads = (0..columns).map(|i| format!("its tailor under another label {i}"));
        Block::Table(Table {
            caption: "A table.".to_owned(),
            columns: heads.collect(),
            rows: vec![
                (0..columns)
                    .map(|i| if i == 0 {
                        "LoRA, rank 8, all images".to_owned()
                    } else {
                        cell.to_owned()
                    })
                    .collect();
                3
            ],
            keys,
            ..Table::default()
        })
    };
    let map = |columns: usize| {
        Block::HeatMap(HeatMap {
            caption: "A heat map.".to_owned(),
            columns: classes.iter().cycle().take(columns).cloned().collect(),
            rows: classes
                .iter()
                .map(|name| (name.clone(), vec![-0.125; columns]))
                .collect(),
            digits: 2,
            ..HeatMap::default()
        })
    };
    let gallery = Gallery {
        caption: "Large pictures.".to_owned(),
        columns: ["real images", "own tailor", "no tailor", "another's tailor"]
            .iter()
            .flat_map(|head| [(*head).to_owned(), (*head).to_owned()])
            .collect(),
        rows: vec![(classes[0].clone(), vec![tile(256, colour(1)); 8])],
    };
    Report {
        title: "Wide".to_owned(),
        top: vec![Block::Gallery(gallery)],
        sections: vec![Section {
            blocks: vec![
                table(8, "0.1234", 0),
                table(22, "0.1234 \u{b1} 0.0012", 2),
                table(12, "0.453 (0.412 to 0.498)", 3),
                map(6),
                map(20),
                map(60),
            ],
            ..Section::default()
        }],
        ..Report::default()
    }
}
