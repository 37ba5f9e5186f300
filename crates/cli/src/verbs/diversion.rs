//! `inspect --diversion`: what learngene and tailors each hold, as numbers and as a page of heat maps.

use crate::failure::{Failure, Result};
use crate::quickstart::{self, Judge, Verdict};
use crate::verbs::quality;
use crate::{args, model, output, progress};
use learngene_compare::Lab;
use learngene_eval::metrics::Rise;
use learngene_eval::report::{Block, Figure, HeatMap, Section, Table};
use learngene_eval::{Rates, Report};
use learngene_nn::term::SITES;
use learngene_train::{Evaluation, Gating, memory};
use learngene_transfer::{Anatomy, Matrix};
use serde::Serialize;

/// Everything that is measured.
#[derive(Serialize)]
struct Findings {
    /// Losses with the right tailor, none and a wrong one.
    right: Evaluation,
    none: Evaluation,
    wrong: Evaluation,
    /// By how much the last two are above the first.
    rises: Rises,
    /// The probe on real test images.
    real: Rates,
    verdicts: Vec<Verdict>,
    anatomy: Anatomy,
}

/// Of the v loss, above that with the right tailor.
#[derive(Clone, Copy, Serialize)]
struct Rises {
    none: Rise,
    wrong: Rise,
}

/// `inspect --diversion`. Everything is read and checked before the first image is drawn.
pub fn report(args: &args::Inspect, source: &str, device: &str) -> Result<()> {
    if let Some(out) = &args.out {
        output::require_ending("--out", out, &["html", "htm"])?;
    }
    if args.count == 0 {
        return Err(Failure::Usage("--count is 0, expected at least 1".into()));
    }
    let (config, model) = model::load(&args.model, &model::device(device)?)?;
    let anatomy = Anatomy::of(&config, &model)?;
    let data = quality::load(&config, source, args.class_map.as_deref())?;
    let classes = config.classes.len();
    memory::require_for_images(
        args.count as u128 * classes as u128,
        config.model.input,
        &format!(
            "{} images of each of {classes} classes (--count)",
            args.count
        ),
    )?;
    let judge = Judge::train(&data)?;
    let lab = Lab {
        watch: progress::watch(),
        ..Lab::of(&config, quickstart::sampling(), args.seed, quality::REPEATS)?
    };
    let losses = |gating| quality::losses(&config, &model, &data, gating);
    let right = losses(Gating::Right)?;
    let (none, wrong) = (losses(Gating::None)?, losses(Gating::Wrong)?);
    let found = Findings {
        rises: Rises {
            none: quality::rise(&right, &none)?,
            wrong: quality::rise(&right, &wrong)?,
        },
        right,
        none,
        wrong,
        verdicts: judge.swaps(&lab, args.count, &model, classes)?,
        real: judge.real().clone(),
        anatomy,
    };
    if let Some(out) = &args.out {
        let mut page = page(&found, args.count);
        page.settings = vec![
            ("model".into(), args.model.display().to_string()),
            ("data".into(), source.into()),
            ("seed".into(), args.seed.to_string()),
        ];
        output::write(out, page.to_html().as_bytes())?;
    }
    output::json(&found);
    let table = by_class(&found);
    let columns: Vec<&str> = table.columns.iter().map(String::as_str).collect();
    output::table(&columns, &table.rows);
    let Rises { none, wrong } = found.rises;
    output::say(&format!(
        "\nv loss without a tailor {none}, with a wrong one {wrong}; n = {} draws, 95 % over images",
        found.right.draws
    ));
    if let Some(out) = &args.out {
        output::wrote_as("report", out);
    }
    Ok(())
}

fn page(found: &Findings, count: usize) -> Report {
    let a = &found.anatomy;
    let figure = |value: String, label: &str, note: String| Figure {
        value,
        label: label.into(),
        note,
    };
    let Rises { none, wrong } = found.rises;
    let rise = |rise: Rise, label: &str, note: &str| {
        let interval = rise.interval.map_or_else(String::new, |i| {
            format!("{:+.1} to {:+.1} over images (95 %)", i.low, i.high)
        });
        let notes = [note, &interval];
        let notes: Vec<&str> = notes.into_iter().filter(|n| !n.is_empty()).collect();
        figure(format!("{:+.1} %", rise.percent), label, notes.join("; "))
    };
    let energy = |caption: &str, of: fn(&Matrix) -> f64| {
        Block::HeatMap(by_matrix(a, 1, caption, |m| 100.0 * of(m)))
    };
    let mut shares = vec![energy("Share of a tailor, %.", |m| m.share)];
    if !a.superclasses.is_empty() {
        let caption = "Share of a superclass's tailors, %.";
        shares.push(energy(caption, |m| m.superclass_share.unwrap_or(f64::NAN)));
    }
    Report {
        title: "What learngene and tailors hold".into(),
        summary: vec![
            "Each class of this model has a tailor, and all share the learngene. This page shows what happens to losses and images \
             when the tailor is taken away or exchanged, and how much of each matrix the tailors make up."
                .into(),
        ],
        figures: vec![
            figure(
                format!("{:.4}", found.right.velocity),
                "validation v loss with the right tailor",
                format!("{} draws", found.right.draws),
            ),
            rise(none, "without a tailor", ""),
            rise(wrong, "with a wrong tailor", "cycling through all others"),
        ],
        sections: vec![
            Section {
                heading: "Class by class".into(),
                paragraphs: vec![format!(
                    "Validation v loss, and the share of {count} images of each class drawn at guidance 2 that a probe trained on real \
                     images takes for their label, or for the class of the wrong tailor."
                )],
                blocks: vec![Block::Table(by_class(found)), Block::HeatMap(rises(found))],
            },
            Section {
                heading: "Which classes share".into(),
                paragraphs: vec![
                    "Cosine between what the tailors of two classes or superclasses add to the weights: 1 is the same change, 0 \
                     nothing in common. It does not depend on the order or signs of components. Below 0, changes that oppose each \
                     other are as light as 0."
                        .into(),
                ],
                blocks: vec![Block::HeatMap(similarity(a, &a.similarity, "All matrices together."))],
            },
            Section {
                heading: "The same by kind of matrix".into(),
                blocks: SITES
                    .iter()
                    .zip(&a.similarity_by_matrix)
                    .map(|(name, values)| Block::HeatMap(similarity(a, values, name)))
                    .collect(),
                ..Section::default()
            },
            Section {
                heading: "Energy of tailors against the learngene".into(),
                paragraphs: vec![
                    "Squared norm of what the tailors of one class add to a matrix, mean over the classes, as a share of that and the \
                     learngene's (or dense weight's) together, in per cent; for superclasses likewise."
                        .into(),
                ],
                blocks: shares,
            },
            Section {
                heading: "Drift from orthogonality".into(),
                paragraphs: vec![
                    "Root mean square cosine between two different components of one set: 0 is orthogonal, 1 all parallel. Random \
                     directions in n dimensions give one over the root of n."
                        .into(),
                ],
                blocks: vec![
                    Block::HeatMap(by_matrix(a, 3, "Learngene, u.", |m| base_drift(m, 0))),
                    Block::HeatMap(by_matrix(a, 3, "Learngene, v.", |m| base_drift(m, 1))),
                    Block::HeatMap(by_matrix(a, 3, "Tailors, u, mean over all.", |m| m.tailor_drift[0])),
                    Block::HeatMap(by_matrix(a, 3, "Tailors, v, mean over all.", |m| m.tailor_drift[1])),
                ],
            },
        ],
        how_to_read: vec![
            format!(
                "The probe is right on {} of the real test images (n = {}). With few images a class its shares are rough.",
                share(found.real.overall.rate),
                found.real.overall.count
            ),
            "A wrong tailor is another class's: in losses every other class in turn, in images the next one.".into(),
        ],
        machine: quality::machine(),
        ..Report::default()
    }
}

fn by_class(found: &Findings) -> Table {
    let losses = [&found.right, &found.none, &found.wrong];
    let verdict = |gate| {
        let at = |v: &&Verdict| v.guidance == 2.0 && v.gate == gate;
        found.verdicts.iter().find(at)
    };
    let label = |gate, class: usize| {
        let rates = verdict(gate).map(|v| &v.label);
        share(rates.and_then(|r| r.per_class.get(class)?.rate))
    };
    let row = |(class, name): (usize, &String)| {
        let loss = |e: &&Evaluation| match e.velocity_by_class[class] {
            Some(loss) => format!("{loss:.4}"),
            None => "-".into(),
        };
        // The rates of tailors are by the tailor's class: the one that took the place of this class's own.
        let wrong = verdict("wrong tailor").and_then(|v| v.tailor.as_ref());
        let as_tailor = wrong.and_then(|r| r.per_class.get(class)?.rate);
        let mut cells = vec![name.clone()];
        cells.extend(losses.iter().map(loss));
        cells.extend(["right tailor", "no tailor", "wrong tailor"].map(|gate| label(gate, class)));
        cells.push(share(as_tailor));
        cells
    };
    Table {
        columns: [
            "class",
            "loss, right",
            "loss, none",
            "loss, wrong",
            "label, right",
            "label, none",
            "label, wrong",
            "its tailor under another label",
        ]
        .map(String::from)
        .to_vec(),
        rows: found.anatomy.classes.iter().enumerate().map(row).collect(),
        ..Table::default()
    }
}

/// By how much the loss of each class rises without its tailor and with a wrong one.
fn rises(found: &Findings) -> HeatMap {
    let row = |(class, name): (usize, &String)| {
        let rise = |e: &Evaluation| match (
            found.right.velocity_by_class[class],
            e.velocity_by_class[class],
        ) {
            (Some(right), Some(other)) => quality::above(right, other),
            _ => f64::NAN,
        };
        (name.clone(), vec![rise(&found.none), rise(&found.wrong)])
    };
    HeatMap {
        caption: "By how many per cent the loss of a class rises without its tailor and with a wrong one.".into(),
        columns: ["no tailor", "wrong tailor"].map(String::from).to_vec(),
        rows: found.anatomy.classes.iter().enumerate().map(row).collect(),
        range: None,
        digits: 1,
    }
}

/// Blank where a class meets itself: there it is 1, beside which all others look alike.
fn similarity(a: &Anatomy, values: &[Vec<f64>], caption: &str) -> HeatMap {
    let others = values.iter().enumerate().map(|(i, row)| {
        let mut row = row.clone();
        row[i] = f64::NAN;
        row
    });
    let names: Vec<String> = a.classes.iter().chain(&a.superclasses).cloned().collect();
    HeatMap {
        caption: caption.into(),
        rows: names.iter().cloned().zip(others).collect(),
        columns: names,
        range: None,
        digits: 3,
    }
}

fn by_matrix(a: &Anatomy, digits: usize, caption: &str, of: impl Fn(&Matrix) -> f64) -> HeatMap {
    let row = |block: &[Matrix]| {
        let label = block.first().map_or(0, |m| m.block);
        (format!("block {label}"), block.iter().map(&of).collect())
    };
    HeatMap {
        caption: caption.into(),
        columns: SITES.map(String::from).to_vec(),
        rows: a.matrices.chunks(SITES.len()).map(row).collect(),
        range: None,
        digits,
    }
}

fn base_drift(matrix: &Matrix, side: usize) -> f64 {
    matrix.base_drift.map_or(f64::NAN, |drift| drift[side])
}

fn share(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".into(), |rate| format!("{rate:.2}"))
}
