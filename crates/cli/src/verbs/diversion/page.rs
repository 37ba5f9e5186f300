//! The findings as a page.

use super::{Findings, Rises, nothing};
use crate::failure::Result;
use crate::quickstart::{Verdict, swaps};
use crate::verbs::quality;
use learngene_eval::Report;
use learngene_eval::metrics::Rise;
use learngene_eval::report::{Block, Figure, HeatMap, Section, Table};
use learngene_nn::term::SITES;
use learngene_train::Evaluation;
use learngene_transfer::{Anatomy, Matrix};

/// The whole page.
pub fn page(found: &Findings, count: usize) -> Result<Report> {
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
        Block::HeatMap(HeatMap {
            full: SHARE,
            ..by_matrix(a, 1, caption, |m| 100.0 * of(m))
        })
    };
    let mut shares = vec![energy("Share of a tailor, %.", |m| m.share)];
    if !a.superclasses.is_empty() {
        let caption = "Share of a superclass's tailors, %.";
        shares.push(energy(caption, |m| m.superclass_share.unwrap_or(f64::NAN)));
    }
    let drift = |caption: &str, of: &dyn Fn(&Matrix) -> f64| {
        Block::HeatMap(HeatMap {
            full: COSINE,
            ..by_matrix(a, 3, caption, of)
        })
    };
    let table = by_class(found);
    let part = |columns: &[usize]| Table {
        columns: columns.iter().map(|&c| table.columns[c].clone()).collect(),
        rows: (table.rows.iter())
            .map(|row| columns.iter().map(|&c| row[c].clone()).collect())
            .collect(),
        ..Table::default()
    };
    let losses = Table {
        caption: "Validation v loss of each class.".into(),
        ..part(&[0, 1, 2, 3])
    };
    let rates = Table {
        caption: format!(
            "Share of {count} images of each class, drawn at guidance {}, that the probe takes for their label, or, in the last column, \
             for the class of this row when they are drawn with its tailor under another label.",
            swaps::STRIP
        ),
        ..part(&[0, 4, 5, 6, 7])
    };
    let caption = "How far the probe can be believed: the share taken for their class, of real test images and of drawn ones with the \
                   right tailor (95 % in brackets).";
    let mut probed = vec![Block::Table(rates)];
    probed.extend(swaps::probe(
        caption,
        &a.classes,
        &found.real,
        &found.verdicts,
        "right tailor",
    ));
    Ok(Report {
        title: "What learngene and tailors hold".into(),
        summary: vec![
            "Each class of this model has a tailor, and all share the learngene. This page shows what happens to images and losses when \
             the tailor is taken away or exchanged, and how much of each matrix the tailors make up."
                .into(),
            swaps::sentence(&found.verdicts),
        ],
        top: vec![Block::Gallery(swaps::gallery(&a.classes, &found.images, &found.verdicts)?)],
        figures: vec![
            figure(
                format!("{:.4}", found.right.velocity),
                "validation v loss with the right tailor",
                format!("a model that knows nothing is at 1 or above; n = {} draws", found.right.draws),
            ),
            rise(none, "without a tailor", ""),
            rise(wrong, "with a wrong tailor", "cycling through all others"),
        ],
        sections: vec![
            Section {
                heading: "Losses".into(),
                paragraphs: nothing(found.rises).into_iter().collect(),
                blocks: vec![Block::Table(losses), Block::HeatMap(rises(found))],
            },
            Section {
                heading: "What the probe sees".into(),
                blocks: probed,
                ..Section::default()
            },
            Section {
                heading: "Which classes share".into(),
                paragraphs: vec![
                    "Cosine between what the tailors of two classes or superclasses add to the weights: 1 is the same change, 0 \
                     nothing in common, below 0 changes that oppose each other. It does not depend on the order or signs of components."
                        .into(),
                    shared(a),
                ],
                blocks: vec![Block::HeatMap(similarity(a, &a.similarity, "All matrices together."))],
            },
            Section {
                heading: "The same by kind of matrix".into(),
                blocks: SITES
                    .iter()
                    .zip(&a.similarity_by_matrix)
                    .map(|(name, values)| Block::HeatMap(similarity(a, values, &format!("{name}."))))
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
                    drift("Learngene, u.", &|m| base_drift(m, 0)),
                    drift("Learngene, v.", &|m| base_drift(m, 1)),
                    drift("Tailors, u, mean over all.", &|m| m.tailor_drift[0]),
                    drift("Tailors, v, mean over all.", &|m| m.tailor_drift[1]),
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
    })
}

/// Cosines this large have full colour, and per cent of energy; smaller ones that are no more than chance stay pale.
const COSINE: f64 = 0.5;
const SHARE: f64 = 20.0;
/// Cosines below which two tailors have nothing in common worth the name.
const NOTHING: f64 = 0.1;

/// What the map of similarities comes to.
fn shared(a: &Anatomy) -> String {
    let names: Vec<&String> = a.classes.iter().chain(&a.superclasses).collect();
    let pairs = (0..names.len()).flat_map(|i| (0..i).map(move |j| (j, i)));
    let most = pairs.max_by(|x, y| {
        let [x, y] = [x, y].map(|&(i, j)| a.similarity[i][j].abs());
        x.total_cmp(&y)
    });
    match most {
        None => String::new(),
        Some((i, j)) => {
            let cosine = a.similarity[i][j];
            let pair = format!("{} and {} ({cosine:.3})", names[i], names[j]);
            match cosine.abs() < NOTHING {
                true => format!(
                    "No two have more in common than {pair}, which is next to nothing: each tailor changes the weights in its own way."
                ),
                false => format!(
                    "The two that have most in common, or oppose each other most, are {pair}."
                ),
            }
        }
    }
}

/// Losses and rates, a row for each class.
pub fn by_class(found: &Findings) -> Table {
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
        caption: format!(
            "By how many per cent the loss of a class rises without its tailor and with a wrong one. The colours reach at least to \
             three times what chance makes of one class, {:.1} % here.",
            noise(found)
        ),
        columns: ["no tailor", "wrong tailor"].map(String::from).to_vec(),
        rows: found.anatomy.classes.iter().enumerate().map(row).collect(),
        full: LEAST_RISE.max(3.0 * noise(found)),
        digits: 1,
        ..HeatMap::default()
    }
}

/// Per cent of loss that have full colour, at least.
const LEAST_RISE: f64 = 5.0;

/// How far chance moves the rise of one class: half the interval of all, times the root of the number of classes.
fn noise(found: &Findings) -> f64 {
    let half = |rise: Rise| rise.interval.map_or(0.0, |i| (i.high - i.low) / 2.0);
    let widest = half(found.rises.none).max(half(found.rises.wrong));
    widest * (found.anatomy.classes.len() as f64).sqrt()
}

/// Blank where a class meets itself, which is 1.
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
        full: COSINE,
        digits: 2,
        ..HeatMap::default()
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
        digits,
        ..HeatMap::default()
    }
}

fn base_drift(matrix: &Matrix, side: usize) -> f64 {
    matrix.base_drift.map_or(f64::NAN, |drift| drift[side])
}

fn share(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".into(), |rate| format!("{rate:.2}"))
}
