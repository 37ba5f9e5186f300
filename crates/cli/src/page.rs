//! What pages of runs are made of.

use learngene_compare::Course;
use learngene_eval::report::{self, Block, Curve, Figure, Section, Series};
use learngene_nn::Precision;
use learngene_train::RunConfig;

/// The settings of a training that a reader asks for first.
pub fn settings_of(config: &RunConfig) -> Vec<(String, String)> {
    let (train, model) = (&config.train, &config.model);
    let split = match (model.learngene_rank(), model.tailor_rank) {
        (None, 0) => "dense".to_owned(),
        (learngene, tailor) => format!("{},{tailor}", learngene.unwrap_or(0)),
    };
    [
        (
            "width, depth, heads",
            format!("{}, {}, {}", model.hidden, model.depth, model.heads),
        ),
        ("rank split", split),
        ("steps", train.steps.to_string()),
        (
            "images per step",
            train.order().images(config.classes.len()).to_string(),
        ),
        ("learning rate", train.lr.to_string()),
        ("schedule", train.schedule.to_string()),
        ("precision of products", precision(train.precision).into()),
        ("seed", train.seed.to_string()),
    ]
    .map(|(k, v)| (k.to_owned(), v))
    .to_vec()
}

fn precision(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "f32",
        Precision::Bf16 => "bf16; losses in f32",
    }
}

/// The losses of a training.
pub fn curve(course: &Course) -> Curve {
    let line = |name: &str, points: &[(f64, f64)], smooth| Series {
        name: name.into(),
        points: points.to_vec(),
        smooth,
    };
    let mut series = vec![
        line("training", &course.training, true),
        line("validation", &course.validation, false),
    ];
    if !course.raw.is_empty() {
        series.push(line("validation, raw weights", &course.raw, false));
    }
    Curve {
        caption: "v loss of each logged step, and of the averaged weights on validation images"
            .into(),
        x_label: "step".into(),
        y_label: "v loss".into(),
        scale: report::Scale::Log,
        series,
    }
}

pub fn section(heading: &str, blocks: Vec<Block>) -> Section {
    Section {
        heading: heading.into(),
        paragraphs: Vec::new(),
        blocks,
    }
}

pub fn figure(value: String, label: &str, note: String) -> Figure {
    Figure {
        value,
        label: label.into(),
        note,
    }
}

pub fn strings<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(String::from).to_vec()
}
