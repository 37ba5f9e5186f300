//! The findings as a page.

use super::results::{above, share};
use super::transferred::Transferred;
use super::{Control, DRAWING, Findings, STRIP, Verdict};
use crate::failure::Result;
use crate::page::{curve, figure, gallery, pngs, section, settings_of, strings};
use learngene_compare::Course;
use learngene_data::Image;
use learngene_eval::report::{Block, Gallery, Table};
use learngene_eval::{Rate, Rates, Report};
use learngene_train::{Evaluation, Event};

/// The whole page.
pub fn report(f: &Findings) -> Result<Report> {
    let classes = &f.base.config.classes;
    let (d, novel, shown) = (&f.diversion, &f.novel, f.effort.shown);
    let [right, none, _] = &d.gates;
    let [before, after] = &novel.losses;
    let seconds: f64 = f.stages.iter().map(|s| s.1).sum();
    let mut sections = vec![
        section("Loss", vec![Block::Curve(curve(&course(&f.base.events)))]),
        section(
            "Samples of each class",
            vec![
                Block::Gallery(gallery(
                    classes,
                    &d.strips[0],
                    shown,
                    &format!("Class label and own tailor, guidance {STRIP}, {DRAWING} DDPM steps."),
                )?),
                Block::Table(probe_of(
                    "Class probe: share judged as the class, real test images beside generated ones",
                    classes,
                    &d.real,
                    &d.verdicts,
                    "right tailor",
                )),
            ],
        ),
        section(
            "What the tailors do",
            vec![
                Block::Gallery(swap_gallery(classes, &d.strips, shown)?),
                Block::Table(gates(f)),
                Block::Table(overall(&d.verdicts)),
                Block::Table(swaps(classes, &d.verdicts, 1.0)),
                Block::Table(swaps(classes, &d.verdicts, 2.0)),
            ],
        ),
        section(
            "New classes",
            vec![
                Block::Gallery(gallery(
                    &novel.classes,
                    &novel.strips[0],
                    shown,
                    "Before: the learngene alone draws what all classes share.",
                )?),
                Block::Gallery(gallery(
                    &novel.classes,
                    &novel.strips[1],
                    shown,
                    "After training only tailors and label rows; same noise.",
                )?),
                Block::Table(probe_of(
                    "Class probe of the new classes: share judged as the class",
                    &novel.classes,
                    &novel.real,
                    &novel.verdicts,
                    "as trained",
                )),
                Block::Curve(curve(&course(&novel.events))),
            ],
        ),
        section("Sizes", vec![Block::Table(sizes(f))]),
    ];
    if let Some(control) = &f.control {
        let strips = gallery(
            &novel.classes,
            &control.novel.strips[1],
            shown,
            "New classes drawn by the control: class-gated tailors on the dense model; same noise as above.",
        )?;
        sections.push(section(
            "Control",
            vec![
                Block::Table(control_table(f, control)),
                Block::Gallery(strips),
            ],
        ));
    }
    Ok(Report {
        title: "learngene quickstart".into(),
        summary: vec![
            format!("A diffusion transformer was pre-trained on {} classes of small emoji pictures in a form that can be taken apart, then taken apart, assembled smaller and given tailors for {} classes it had never seen.", classes.len(), novel.classes.len()),
            "All numbers are from this run.".into(),
        ],
        figures: vec![
            figure(format!("{:.4}", right.velocity), "validation v loss", format!("n = {} draws", right.draws)),
            figure(format!("{:+.1} %", above(none, right)), "loss without tailor", "against the right tailor".into()),
            figure(format!("{:.4}", after.velocity), "v loss on new classes", format!("{:.4} before their tailors", before.velocity)),
        ],
        sections,
        how_to_read: vec![
            "The v loss is the mean squared error of the velocity target on held-out drawings with fixed times and noise; lower is better. The probe is a small classifier (ridge regression on EfficientNet-Lite0 features, trained on real images), not a person: its rate on real images is its ceiling.".into(),
            "With guidance above 1 the null branch is the model without tailor, so guidance amplifies the whole tailor; numbers at guidance 1 are printed beside those at 2. One seed; differences of a few per cent between runs are noise.".into(),
        ],
        settings: settings_of(&f.base.config),
        machine: format!("learngene {}, {} on {}, {} threads, {seconds:.0} s in all", env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH, rayon::current_num_threads()),
    })
}

fn sizes(f: &Findings) -> Table {
    let row = |name: String, p: &learngene_nn::cost::Plan| {
        let total = &p.total;
        let numbers = [total.parameters, total.macs, total.bytes];
        std::iter::once(name)
            .chain(numbers.map(|n| n.to_string()))
            .collect()
    };
    let a = &f.assembly;
    let [full, part, alone] = &a.plans;
    let same = if a.equal {
        "bit for bit the same images"
    } else {
        "NOT the same images"
    };
    Table {
        caption: format!(
            "The assembly draws {same} for its classes. Its file has {} bytes: {} of tensors and the header.",
            a.file_bytes, a.tensor_bytes
        ),
        columns: strings(["model", "parameters", "MACs per image", "bytes"]),
        rows: vec![
            row("full model".into(), full),
            row(format!("assembly: {}", a.classes.join(", ")), part),
            row("learngene alone".into(), alone),
        ],
        total: false,
    }
}

fn gates(f: &Findings) -> Table {
    let gates = &f.diversion.gates;
    let number = |v: Option<f64>| v.map_or("none".into(), |v| format!("{v:.4}"));
    let line = |name: &str, of: &dyn Fn(&Evaluation) -> Option<f64>| -> Vec<String> {
        let cells = gates.iter().map(|g| number(of(g)));
        std::iter::once(name.to_owned()).chain(cells).collect()
    };
    let names = f.base.config.classes.iter().enumerate();
    let mut rows: Vec<_> = names
        .map(|(c, name)| line(name, &|g| g.velocity_by_class[c]))
        .collect();
    rows.push(line("all", &|g| Some(g.velocity)));
    Table {
        caption: "Validation v loss by gate; the label is always right".into(),
        columns: strings(["class", "right tailor", "no tailor", "wrong tailor"]),
        rows,
        total: true,
    }
}

fn overall(verdicts: &[Verdict]) -> Table {
    let row = |v: &Verdict| {
        let tailor = v
            .tailor
            .as_ref()
            .map_or(String::new(), |t| share(&t.overall));
        vec![
            v.gate.to_owned(),
            v.guidance.to_string(),
            share(&v.label.overall),
            tailor,
        ]
    };
    Table {
        caption: "What the probe sees".into(),
        columns: strings(["gate", "guidance", "as the label", "as the tailor's class"]),
        rows: verdicts.iter().map(row).collect(),
        total: false,
    }
}

/// Class by class: drawn under that label, or for the last column with that tailor.
fn swaps(classes: &[String], verdicts: &[Verdict], guidance: f64) -> Table {
    let verdicts: Vec<_> = verdicts.iter().filter(|v| v.guidance == guidance).collect();
    let sets: Vec<(String, &Rates)> = verdicts
        .iter()
        .flat_map(|v| match &v.tailor {
            None => vec![(v.gate.to_owned(), &v.label)],
            Some(tailor) => vec![
                (format!("{}, label", v.gate), &v.label),
                (format!("{}, tailor", v.gate), tailor),
            ],
        })
        .collect();
    let line = |name: &str, of: &dyn Fn(&Rates) -> Rate| -> Vec<String> {
        let cells = sets
            .iter()
            .map(|(_, rates)| format!("{:.2}", of(rates).rate.unwrap_or(0.0)));
        std::iter::once(name.to_owned()).chain(cells).collect()
    };
    let names = classes.iter().enumerate();
    let mut rows: Vec<_> = names
        .map(|(c, name)| line(name, &|r| r.per_class[c]))
        .collect();
    rows.push(line("all", &|r| r.overall));
    let count = verdicts.first().map_or(0, |v| v.label.per_class[0].count);
    Table {
        caption: format!(
            "Share judged as the class, guidance {guidance} ({count} images of each). Each row counts the images drawn under that label; in the last column those drawn with that tailor under another label."
        ),
        columns: std::iter::once("class".to_owned())
            .chain(sets.iter().map(|s| s.0.clone()))
            .collect(),
        rows,
        total: true,
    }
}

fn probe_of(
    caption: &str,
    classes: &[String],
    real: &Rates,
    verdicts: &[Verdict],
    gate: &str,
) -> Table {
    let names: Vec<_> = verdicts
        .iter()
        .filter(|v| v.gate == gate)
        .map(|v| (format!("guidance {}", v.guidance), &v.label))
        .collect();
    let sets: Vec<_> = std::iter::once(("real", real))
        .chain(names.iter().map(|(name, rates)| (name.as_str(), *rates)))
        .collect();
    Table::of_rates(caption, classes, &sets)
}

fn control_table(f: &Findings, control: &Control) -> Table {
    let row =
        |name: &str, base: &Evaluation, probe: &[Verdict], gate: &str, moved: &Transferred| {
            let rates = |verdicts: &[Verdict], gate: &str| {
                let shown = verdicts.iter().filter(|v| v.gate == gate);
                let each = shown.map(|v| format!("{:.3}", v.label.overall.rate.unwrap_or(0.0)));
                each.collect::<Vec<_>>().join(" / ")
            };
            vec![
                name.to_owned(),
                format!("{:.4}", base.velocity),
                rates(probe, gate),
                format!("{:.4}", moved.losses[1].velocity),
                rates(&moved.verdicts, "as trained"),
                moved.trained.to_string(),
            ]
        };
    let d = &f.diversion;
    Table {
        caption: "A dense model of the same size, steps and data, and class-gated tailors of the same rank on it. Probe rates at guidance 1 / 2.".into(),
        columns: strings(["model", "base v loss", "base probe", "new classes v loss", "new classes probe", "parameters trained for them"]),
        rows: vec![
            row("KIND", &d.gates[0], &d.verdicts, "right tailor", &f.novel),
            row("control", &control.base, &control.verdicts, "as trained", &control.novel),
        ],
        total: false,
    }
}

fn swap_gallery(classes: &[String], strips: &[Vec<Image>; 3], shown: usize) -> Result<Gallery> {
    let rows = classes.iter().enumerate().map(|(c, name)| {
        let pairs: Vec<Image> = strips
            .iter()
            .flat_map(|s| s[c * shown..][..2].to_vec())
            .collect();
        Ok((name.clone(), pngs(&pairs)?))
    });
    Ok(Gallery {
        caption: "From left to right in pairs: the class's own tailor, no tailor, the tailor of the next class in the list. The label and the noise are the same in a row's matching columns.".into(),
        columns: strings(["own", "own", "none", "none", "other", "other"]),
        rows: rows.collect::<Result<_>>()?,
    })
}

fn course(events: &[Event]) -> Course {
    let mut course = Course::default();
    for event in events {
        match event {
            Event::Step { step, velocity, .. } => course.training.push((*step as f64, *velocity)),
            Event::Validation { step, velocity, .. } => {
                course.validation.push((*step as f64, *velocity));
            }
            _ => {}
        }
    }
    course
}
