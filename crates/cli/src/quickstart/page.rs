//! The findings as a page.

use super::results::{above, share};
use super::swaps::{self, STRIP};
use super::transferred::Transferred;
use super::{Control, DRAWING, Findings, Verdict};
use crate::failure::Result;
use crate::page::{curve, figure, section, settings_of, strings};
use learngene_compare::Course;
use learngene_data::Image;
use learngene_eval::report::{Block, Gallery, Section, Table};
use learngene_eval::{Rate, Rates, Report};
use learngene_train::{Evaluation, Event};

/// The whole page.
pub fn report(f: &Findings) -> Result<Report> {
    let classes = &f.base.config.classes;
    let (d, novel) = (&f.diversion, &f.novel);
    let [right, none, _] = &d.gates;
    let [before, after] = &novel.losses;
    let seconds: f64 = f.stages.iter().map(|s| s.1).sum();
    let mut drawn = vec![Block::Gallery(beside(
        classes,
        &d.images,
        swaps::of(&d.verdicts, "right tailor", STRIP),
        &d.nearest,
    )?)];
    drawn.extend(swaps::probe(
        "What the probe says: the share taken for their class, of real test images and of drawn ones with their own tailor (95 % in \
         brackets).",
        classes,
        &d.real,
        &d.verdicts,
        "right tailor",
    ));
    let mut sections = vec![
        section("Drawn beside real", drawn),
        new_classes(novel)?,
        section(
            "What the tailors do, in numbers",
            vec![
                Block::Table(gates(f)),
                Block::Table(overall(&d.verdicts)),
                Block::Table(swapped(classes, &d.verdicts, 1.0)),
                Block::Table(swapped(classes, &d.verdicts, STRIP)),
            ],
        ),
        section("Sizes", vec![Block::Table(sizes(f))]),
        section(
            "Training",
            vec![Block::Curve(curve(&course(&f.base.events)))],
        ),
    ];
    if let Some(control) = &f.control {
        let mut strips = beside(
            &novel.classes,
            &control.novel.images,
            swaps::of(&control.novel.verdicts, "as trained", STRIP),
            &control.novel.nearest,
        )?;
        strips.caption = "New classes drawn by the control: class-gated tailors on the dense model; same noise as above.".into();
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
            format!("A small image generator learned {} classes of emoji pictures in {} steps. Most of it, the learngene, is for all classes; each class has a small part of its own, its tailor.", classes.len(), f.base.config.train.steps),
            swaps::sentence(&d.verdicts),
        ],
        top: vec![Block::Gallery(swaps::gallery(classes, &d.images, &d.verdicts)?)],
        figures: vec![
            figure(format!("{:.4}", right.velocity), "validation v loss", format!("a model that knows nothing is at 1 or above; n = {} draws", right.draws)),
            figure(format!("{:+.1} %", above(none, right)), "loss without tailor", "against the right tailor".into()),
            figure(format!("{:.4}", after.velocity), "v loss on new classes", format!("{:.4} before their tailors", before.velocity)),
        ],
        sections,
        how_to_read: vec![
            "All numbers are from this run. The pictures are 32 pixels wide and the training took minutes: look for the class, not for beauty. The seams in them are those of the patches that the model draws.".into(),
            "With guidance above 1 the null branch is the model without tailor, so guidance amplifies the whole tailor; numbers at guidance 1 are printed beside those at 2. One seed; differences of a few per cent between runs are noise.".into(),
        ],
        settings: settings_of(&f.base.config),
        machine: format!("learngene {}, {} on {}, {} threads, {seconds:.0} s in all", env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH, rayon::current_num_threads()),
    })
}

fn new_classes(novel: &Transferred) -> Result<Section> {
    let after = swaps::of(&novel.verdicts, "as trained", STRIP);
    let mut gallery = beside(&novel.classes, &novel.images, after, &novel.nearest)?;
    let columns = gallery.columns.iter().filter(|head| *head == DRAWN).count();
    // Before, tailors add nothing and label rows are all the same, so that one row stands for every class.
    let first = novel.before.first();
    let alike = novel.before.iter().all(|row| Some(row) == first);
    let shown = if alike { 1 } else { novel.before.len() };
    for (number, row) in novel.before.iter().take(shown).enumerate() {
        let name = match alike {
            true => "before, every class".to_owned(),
            false => format!("{}, before", novel.classes[number]),
        };
        let mut pictures = swaps::aligned([&[][..]], REAL)?;
        pictures.extend(swaps::aligned([&row[..]], columns)?);
        gallery.rows.insert(number, (name, pictures));
    }
    gallery.caption = format!(
        "The model has never seen these classes; only tailors and label rows were trained for them. The first {}: what it draws before \
         that. The other rows start from the same noise. {NEAREST}",
        match (alike, shown) {
            (true, _) => "row, which is the same for every class".to_owned(),
            (false, n) => format!("{n} rows"),
        }
    );
    let mut blocks = vec![Block::Gallery(gallery)];
    blocks.extend(swaps::probe(
        "What a probe of the new classes says: the share taken for their class (95 % in brackets).",
        &novel.classes,
        &novel.real,
        &novel.verdicts,
        "as trained",
    ));
    blocks.push(Block::Curve(curve(&course(&novel.events))));
    Ok(section("New classes", blocks))
}

/// Pictures in a row of [`beside`]: real ones and drawn ones.
const REAL: usize = 2;
const DRAWN_ABREAST: usize = 5;
const DRAWN: &str = "drawn";
const NEAREST: &str = "Last, the training image that is nearest to the first drawn one in what the probe sees of both: a drawn image \
                       that equals it would be remembered, not drawn.";

/// Real images of each class, drawn ones, and the training image nearest to the first of these.
fn beside(
    classes: &[String],
    real: &[Vec<Image>],
    drawn: Option<&Verdict>,
    nearest: &[Image],
) -> Result<Gallery> {
    let drawn = drawn.map_or(&[][..], |v| &v.shown[..]);
    let count = drawn
        .iter()
        .map(Vec::len)
        .max()
        .unwrap_or(0)
        .min(DRAWN_ABREAST);
    let row = |(class, name): (usize, &String)| {
        let of = |set: &'_ [Vec<Image>]| set.get(class).cloned().unwrap_or_default();
        let mut pictures = swaps::aligned([&of(real)[..]], REAL)?;
        pictures.extend(swaps::aligned([&of(drawn)[..]], count)?);
        pictures.extend(nearest.get(class).map(swaps::png).transpose()?);
        Ok((name.clone(), pictures))
    };
    let heads = [
        ("real images", REAL),
        (DRAWN, count),
        ("nearest training image", 1),
    ];
    Ok(Gallery {
        caption: format!(
            "Class label and own tailor, guidance {STRIP}, {DRAWING} DDPM steps. {NEAREST}"
        ),
        columns: heads
            .iter()
            .flat_map(|(head, n)| vec![(*head).to_owned(); *n])
            .collect(),
        rows: classes.iter().enumerate().map(row).collect::<Result<_>>()?,
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
        ..Table::default()
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
        ..Table::default()
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
        ..Table::default()
    }
}

/// Class by class: drawn under that label, or for the last column with that tailor.
fn swapped(classes: &[String], verdicts: &[Verdict], guidance: f64) -> Table {
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
        let cells = sets.iter().map(|(_, rates)| {
            of(rates)
                .rate
                .map_or("\u{2013}".into(), |rate| format!("{rate:.2}"))
        });
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
        ..Table::default()
    }
}

fn control_table(f: &Findings, control: &Control) -> Table {
    let row =
        |name: &str, base: &Evaluation, probe: &[Verdict], gate: &str, moved: &Transferred| {
            let rates = |verdicts: &[Verdict], gate: &str| {
                let shown = verdicts.iter().filter(|v| v.gate == gate);
                let each = shown.map(|v| {
                    v.label
                        .overall
                        .rate
                        .map_or("\u{2013}".into(), |rate| format!("{rate:.3}"))
                });
                each.collect::<Vec<String>>().join(" / ")
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
        ..Table::default()
    }
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
