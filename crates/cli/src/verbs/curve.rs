//! `curve`: quality against size, from one pre-trained model.

use crate::failure::{Failure, Result};
use crate::verbs::quality;
use crate::{args, model, output};
use learngene_eval::Report;
use learngene_eval::report::{self, Block, Section, Series, Table};
use learngene_train::{Gating, RunConfig};
use learngene_transfer::{Size, assemble, rungs};
use serde::Serialize;
use std::path::Path;

/// One size of the model.
#[derive(Serialize)]
struct Point {
    components: usize,
    #[serde(flatten)]
    size: Size,
    velocity: f64,
    epsilon: f64,
    draws: usize,
    /// Per cent by which the v loss is above the whole's.
    above_whole: f64,
}

/// `curve`.
pub fn curve(args: &args::Curve, device: &str) -> Result<()> {
    let (config, whole) = model::load(&args.model, &model::device(device)?)?;
    let Some(rank) = config.model.learngene_rank() else {
        return Err(Failure::Usage(
            "curve: found a dense model, expected a factorised one, from which components can be left out; pre-train with --rank-split".into(),
        ));
    };
    let classes = match args.classes.is_empty() {
        true => config.classes.clone(),
        false => args.classes.clone(),
    };
    let (config, whole) = assemble(&config, &whole, &classes, None)?;
    let data = quality::load(&config, &args.data, args.class_map.as_deref())?;
    let base = quality::losses(&config, &whole, &data, Gating::Right)?;
    let rungs = rungs(rank, args.points.get());
    let bar = output::bar(rungs.len() as u64, "measuring");
    let mut points = Vec::new();
    for components in rungs {
        let (smaller, part) = assemble(&config, &whole, &classes, Some(components))?;
        let found = match components == rank {
            true => base.clone(),
            false => quality::losses(&smaller, &part, &data, Gating::Right)?,
        };
        points.push(Point {
            components,
            size: Size::of(&smaller)?,
            velocity: found.velocity,
            epsilon: found.epsilon,
            draws: found.draws,
            above_whole: quality::above(base.velocity, found.velocity),
        });
        bar.inc(1);
    }
    bar.finish_and_clear();
    if let Some(out) = &args.out {
        let page = page(&config, &args.model, &points);
        output::write(out, page.to_html().as_bytes())?;
    }
    if args.json {
        output::json(&serde_json::json!({ "classes": classes, "points": points }));
        return Ok(());
    }
    output::table(&COLUMNS, &rows(&points));
    if let Some(out) = &args.out {
        output::say(&format!("report: {}", out.display()));
    }
    Ok(())
}

const COLUMNS: [&str; 6] = [
    "components of each matrix",
    "parameters",
    "MACs an image",
    "bytes of the file",
    "validation v loss",
    "against the whole",
];

fn rows(points: &[Point]) -> Vec<Vec<String>> {
    let row = |p: &Point| {
        vec![
            p.components.to_string(),
            p.size.parameters.to_string(),
            p.size.macs.to_string(),
            p.size.bytes.to_string(),
            format!("{:.4}", p.velocity),
            format!("{:+.1} %", p.above_whole),
        ]
    };
    points.iter().map(row).collect()
}

fn page(config: &RunConfig, model: &Path, points: &[Point]) -> Report {
    let curve = |x: fn(&Point) -> f64, label: &str| {
        Block::Curve(report::Curve {
            caption: format!(
                "Validation v loss against {label}; the last point is the whole model."
            ),
            x_label: label.into(),
            y_label: "validation v loss".into(),
            series: vec![Series {
                name: "assembled, not trained again".into(),
                points: points.iter().map(|p| (x(p), p.velocity)).collect(),
                smooth: false,
            }],
            ..report::Curve::default()
        })
    };
    let table = Table {
        columns: COLUMNS.map(String::from).to_vec(),
        rows: rows(points),
        ..Table::default()
    };
    let draws = points.first().map_or(0, |p| p.draws);
    Report {
        title: "Quality against size".into(),
        summary: vec![format!(
            "One pre-trained model of {} classes, assembled with fewer and fewer learngene components and not trained again. \
             Every size is measured on the same {draws} draws of validation images, times and noise.",
            config.classes.len()
        )],
        sections: vec![Section {
            heading: "Validation loss".into(),
            blocks: vec![
                curve(|p| p.size.parameters as f64 / 1e6, "million parameters"),
                curve(|p| p.size.macs as f64 / 1e6, "million MACs an image"),
                Block::Table(table),
            ],
            ..Section::default()
        }],
        how_to_read: vec![
            "Within each matrix the components of most energy are kept, equally many in all: the energy of a component is the \
             squared norm of what it adds to the matrix. If the model was trained with train.thin_learngene, they stand in \
             the order of their use, and the first are kept. Tailors stay whole."
                .into(),
            "The loss is one number of one model: how sizes compare after training on, or in other seeds, it does not say.".into(),
        ],
        settings: vec![
            ("model".into(), model.display().to_string()),
            ("classes".into(), config.classes.join(", ")),
        ],
        machine: quality::machine(),
        ..Report::default()
    }
}
