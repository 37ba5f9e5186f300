//! `curve`: quality against size, from one pre-trained model.

use crate::failure::{Failure, Result};
use crate::progress::Progress;
use crate::verbs::quality;
use crate::{args, model, output};
use learngene_data::class_list;
use learngene_eval::Report;
use learngene_eval::metrics::Rise;
use learngene_eval::report::{self, Block, Section, Series, Table};
use learngene_train::{Evaluation, Gating, RunConfig};
use learngene_transfer::{Size, assemble, rungs};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// One model.
#[derive(Serialize)]
struct Point {
    /// Learngene components of each matrix, of the assembled ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    components: Option<usize>,
    /// Where it lies, of those beside.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<PathBuf>,
    #[serde(flatten)]
    size: Size,
    velocity: f64,
    epsilon: f64,
    draws: usize,
    /// By how much the v loss is above the whole's.
    above_whole: Rise,
}

impl Point {
    fn new(config: &RunConfig, found: &Evaluation, whole: &Evaluation) -> Result<Self> {
        Ok(Self {
            components: None,
            model: None,
            size: Size::of(config)?,
            velocity: found.velocity,
            epsilon: found.epsilon,
            draws: found.draws,
            above_whole: quality::rise(whole, found)?,
        })
    }
}

/// `curve`.
pub fn curve(args: &args::Curve, device: &str) -> Result<()> {
    if let Some(out) = &args.out {
        output::require_ending("--out", out, &["html", "htm"])?;
    }
    let device = model::device(device)?;
    let (config, whole) = model::load(&args.model, &device)?;
    let Some(rank) = config.model.learngene_rank() else {
        return Err(Failure::Usage(
            "curve: found a dense model, expected a factorised one, from which components can be left out; pre-train with --rank-split".into(),
        ));
    };
    let classes = match args.classes.is_empty() {
        true => config.classes.clone(),
        false => class_list::names_in_all(&args.classes, &config.classes)?,
    };
    let (config, whole) = assemble(&config, &whole, &classes, None)?;
    // Opened before anything is measured, so that a misfit costs no time.
    let others = args.beside.iter().map(|path| {
        let (other, model) = model::load(path, &device)?;
        let (found, expected) = (other.task(), config.task());
        if found != expected {
            return Err(Failure::Usage(format!(
                "curve: {} takes {found}, {} takes {expected}: losses of such models differ in meaning; put models beside \
                 each other that are alike in this",
                path.display(),
                args.model.display(),
            )));
        }
        Ok((path, assemble(&other, &model, &classes, None)?))
    });
    let others = others.collect::<Result<Vec<_>>>()?;
    let data = quality::load(&config, &args.data, args.class_map.as_deref())?;
    let base = quality::losses(&config, &whole, &data, Gating::Right)?;
    let rungs = rungs(rank, args.points.get());
    let models = (rungs.len() + others.len()) as u64;
    let measured = Progress::new("measuring", models, "models");
    let mut points = Vec::new();
    for components in rungs {
        let (smaller, part) = assemble(&config, &whole, &classes, Some(components))?;
        let found = match components == rank {
            true => base.clone(),
            false => quality::losses(&smaller, &part, &data, Gating::Right)?,
        };
        points.push(Point {
            components: Some(components),
            ..Point::new(&smaller, &found, &base)?
        });
        measured.add();
    }
    let mut beside = Vec::new();
    for (path, (other, model)) in others {
        let found = quality::losses(&other, &model, &data, Gating::Right)?;
        beside.push(Point {
            model: Some(path.clone()),
            ..Point::new(&other, &found, &base)?
        });
        measured.add();
    }
    drop(measured);
    if let Some(out) = &args.out {
        let page = page(&config, &args.model, &points, &beside);
        output::write(out, page.to_html().as_bytes())?;
    }
    output::json(&serde_json::json!({ "classes": classes, "points": points, "beside": beside }));
    output::table(&COLUMNS, &rows(points.iter().chain(&beside)));
    output::say(&format!(
        "\nn = {} draws of the same images, times and noise; 95 % over images",
        base.draws
    ));
    if let Some(out) = &args.out {
        output::wrote_as("report", out);
    }
    Ok(())
}

const COLUMNS: [&str; 6] = [
    "components of each matrix, or model",
    "parameters",
    "MACs an image",
    "bytes of the file",
    "validation v loss",
    "against the whole",
];

/// Lines with every digit, for a terminal: they are what budgets are written with.
fn rows<'a>(points: impl Iterator<Item = &'a Point>) -> Vec<Vec<String>> {
    let row = |p: &Point| {
        let Size {
            parameters,
            macs,
            bytes,
        } = p.size;
        line(p, [parameters, macs, bytes].map(|n| n.to_string()))
    };
    points.map(row).collect()
}

/// The same in millions, for a page.
fn short_rows<'a>(points: impl Iterator<Item = &'a Point>) -> Vec<Vec<String>> {
    let row = |p: &Point| {
        let millions = [p.size.parameters, p.size.macs, p.size.bytes].map(|n| n as f64 / 1e6);
        let [parameters, macs, bytes] = millions;
        line(
            p,
            [
                format!("{parameters:.2} M"),
                format!("{macs:.0} M"),
                format!("{bytes:.1} MB"),
            ],
        )
    };
    points.map(row).collect()
}

fn line(p: &Point, [parameters, macs, bytes]: [String; 3]) -> Vec<String> {
    let path = p.model.as_ref().map(|path| path.display().to_string());
    let components = p.components.map(|count| count.to_string());
    vec![
        path.or(components).unwrap_or_default(),
        parameters,
        macs,
        bytes,
        format!("{:.4}", p.velocity),
        p.above_whole.to_string(),
    ]
}

fn page(config: &RunConfig, model: &Path, points: &[Point], beside: &[Point]) -> Report {
    let curve = |x: fn(&Point) -> f64, label: &str| {
        let series = |name: &str, of: &[Point]| {
            let mut points: Vec<(f64, f64)> = of.iter().map(|p| (x(p), p.velocity)).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            Series {
                name: name.into(),
                points,
                smooth: false,
            }
        };
        let mut all = vec![series("assembled, not trained again", points)];
        if !beside.is_empty() {
            all.push(series("beside it, each trained by itself", beside));
        }
        Block::Curve(report::Curve {
            caption: format!(
                "Validation v loss against {label}; of what is assembled, the last point is the whole model."
            ),
            x_label: label.into(),
            y_label: "validation v loss".into(),
            series: all,
            ..report::Curve::default()
        })
    };
    let table = Table {
        columns: [
            "components or model",
            "parameters",
            "MACs",
            "file",
            "v loss",
            "against the whole",
        ]
        .map(String::from)
        .to_vec(),
        rows: short_rows(points.iter().chain(beside)),
        ..Table::default()
    };
    let draws = points.first().map_or(0, |p| p.draws);
    Report {
        title: "Quality against size".into(),
        summary: vec![format!(
            "One pre-trained model of {} classes, assembled with fewer and fewer learngene components and not trained again. \
             Every model is measured on the same {draws} draws of validation images, times and noise; intervals hold 95 % over \
             draws of the images.",
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
