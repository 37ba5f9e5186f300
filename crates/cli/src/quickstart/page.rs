//! The findings as a page.

use super::{ASSEMBLED, Findings, SHOWN};
use crate::failure::Result;
use learngene_data::{Image, image::encode_png};
use learngene_eval::Report;
use learngene_eval::report::{Block, Curve, Figure, Gallery, Png, Section, Series, Table};
use learngene_train::Event;

/// The few lines a terminal shows at the end.
pub fn summary(f: &Findings) -> Vec<String> {
    let [right, none, wrong] = &f.gates;
    let percent = |a: f64, b: f64| 100.0 * (a / b - 1.0);
    let mut lines = vec![
        format!(
            "base validation v loss: {:.4} (epsilon {:.4}, n = {})",
            right.velocity, right.epsilon, right.draws
        ),
        format!(
            "without tailor: {:.4} ({:+.1} %); wrong tailor: {:.4} ({:+.1} %)",
            none.velocity,
            percent(none.velocity, right.velocity),
            wrong.velocity,
            percent(wrong.velocity, right.velocity)
        ),
        format!(
            "class probe on real test images: {}",
            share(&f.real.overall)
        ),
    ];
    for v in &f.verdicts {
        let tailor = v
            .tailor
            .as_ref()
            .map(|t| format!("; as the tailor's class {}", share(&t.overall)));
        lines.push(format!(
            "guidance {}, {}: judged as the label {}{}",
            v.guidance,
            v.name,
            share(&v.label.overall),
            tailor.unwrap_or_default()
        ));
    }
    let [before, after] = &f.novel_losses;
    lines.push(format!(
        "novel validation v loss: {:.4} before, {:.4} after new tailors (n = {})",
        before.velocity, after.velocity, after.draws
    ));
    lines.push(format!(
        "learngene bit-identical after the transfer: {}",
        yes(f.learngene_kept)
    ));
    lines.push(format!(
        "assembly of {ASSEMBLED} classes draws the same images: {} ({} bytes)",
        yes(f.assembly_equal),
        f.assembly_bytes
    ));
    if let Some([dense, tailored]) = &f.control {
        lines.push(format!(
            "control: dense {:.4}, class-gated tailors on it {:.4} on the novel classes",
            dense.velocity, tailored.velocity
        ));
    }
    lines.push(format!("wall time {:.0} s", f.seconds));
    lines
}

/// The whole page.
pub fn report(f: &Findings) -> Result<Report> {
    let classes = &f.config.classes;
    let [right, none, _] = &f.gates;
    let shown = |v: &&super::Verdict| v.guidance == 2.0 && v.name == "right tailor";
    let judged = f.verdicts.iter().find(shown);
    let mut rates: Vec<(&str, &learngene_eval::Rates)> = vec![("real test images", &f.real)];
    rates.extend(judged.map(|v| ("generated, guidance 2", &v.label)));
    let rows = classes.iter().enumerate().map(|(c, name)| {
        let part = |s: &[Image]| s[c * SHOWN..][..2].to_vec();
        let all: Vec<Image> = f.strips.iter().flat_map(|s| part(s)).collect();
        Ok((name.clone(), pngs(&all)?))
    });
    let strip = Gallery {
        caption: "From left to right in pairs: the class's own tailor, no tailor, the tailor of the next class in the list. The label and the noise are the same in a row's matching columns.".into(),
        columns: ["own", "own", "none", "none", "other", "other"].map(String::from).to_vec(),
        rows: rows.collect::<Result<_>>()?,
    };
    Ok(Report {
        title: "learngene quickstart".into(),
        summary: vec![
            format!("A diffusion transformer was pre-trained on {} classes of small emoji pictures in a form that can be taken apart, then taken apart, assembled smaller and given tailors for {} classes it had never seen.", classes.len(), f.novel_classes.len()),
            "All numbers are from this run.".into(),
        ],
        figures: vec![
            figure(format!("{:.4}", right.velocity), "validation v loss", format!("n = {} draws", right.draws)),
            figure(format!("{:+.1} %", 100.0 * (none.velocity / right.velocity - 1.0)), "loss without tailor", "against the right tailor".into()),
            figure(format!("{:.4}", f.novel_losses[1].velocity), "v loss on new classes", format!("{:.4} before their tailors", f.novel_losses[0].velocity)),
        ],
        sections: vec![
            section("Loss", vec![Block::Curve(curve(&f.events))]),
            section("Samples of each class", vec![Block::Gallery(gallery(classes, &f.strips[0], "Class label and own tailor, guidance 2, 25 DDIM steps.")?)]),
            section("What the tailors do", vec![Block::Gallery(strip), Block::Table(verdicts(f)), Block::Table(gates(f))]),
            section("Class probe", vec![Block::Table(Table::of_rates("Share judged as the class, by a ridge classifier on EfficientNet-Lite0 features trained on real images", classes, &rates))]),
            section("New classes", vec![
                Block::Gallery(gallery(&f.novel_classes, &f.novel[0], "Before: the learngene alone draws what all classes share.")?),
                Block::Gallery(gallery(&f.novel_classes, &f.novel[1], "After training only tailors and label rows; same noise.")?),
                Block::Curve(curve(&f.novel_events)),
            ]),
            section("Sizes", vec![Block::Table(sizes(f))]),
        ],
        how_to_read: vec![
            "The v loss is the mean squared error of the velocity target on held-out drawings with fixed times and noise; lower is better. The probe is a small classifier, not a person: its rate on real images is its ceiling.".into(),
            "With guidance above 1 the null branch is the model without tailor, so guidance amplifies the whole tailor; numbers at guidance 1 are printed beside those at 2. One seed; differences of a few per cent between runs are noise.".into(),
        ],
        settings: settings(f),
        machine: format!("learngene {}, {} on {}, {} threads, {:.0} s in all", env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH, rayon::current_num_threads(), f.seconds),
    })
}

fn settings(f: &Findings) -> Vec<(String, String)> {
    let (train, model) = (&f.config.train, &f.config.model);
    [
        (
            "width, depth, heads",
            format!("{}, {}, {}", model.hidden, model.depth, model.heads),
        ),
        (
            "rank split",
            format!(
                "{},{}",
                model.learngene_rank().unwrap_or(0),
                model.tailor_rank
            ),
        ),
        ("steps", train.steps.to_string()),
        (
            "images per step",
            (train.per_class * f.config.classes.len() + train.null).to_string(),
        ),
        ("learning rate", train.lr.to_string()),
        ("schedule", train.schedule.to_string()),
        ("seed", train.seed.to_string()),
    ]
    .map(|(k, v)| (k.to_owned(), v))
    .to_vec()
}

fn sizes(f: &Findings) -> Table {
    let row = |name: String, p: &learngene_nn::cost::Plan| {
        vec![
            name,
            p.total.parameters.to_string(),
            p.total.macs.to_string(),
            p.total.bytes.to_string(),
        ]
    };
    let [full, part, alone] = &f.plans;
    let columns = ["model", "parameters", "MACs per image", "bytes"]
        .map(String::from)
        .to_vec();
    let rows = vec![
        row("full model".into(), full),
        row(format!("assembly: {}", f.assembled.join(", ")), part),
        row("learngene alone".into(), alone),
    ];
    let same = if f.assembly_equal {
        "bit for bit the same images"
    } else {
        "NOT the same images"
    };
    let caption = format!(
        "The assembly draws {same} for its classes; its file has {} bytes with the header.",
        f.assembly_bytes
    );
    Table {
        caption,
        columns,
        rows,
        total: false,
    }
}

fn gates(f: &Findings) -> Table {
    let columns = ["class", "right tailor", "no tailor", "wrong tailor"]
        .map(String::from)
        .to_vec();
    let number = |v: Option<f64>| v.map_or("none".into(), |v| format!("{v:.4}"));
    let mut rows: Vec<Vec<String>> = (0..f.config.classes.len())
        .map(|c| {
            let cells = f.gates.iter().map(|g| number(g.velocity_by_class[c]));
            std::iter::once(f.config.classes[c].clone())
                .chain(cells)
                .collect()
        })
        .collect();
    let cells = f.gates.iter().map(|g| number(Some(g.velocity)));
    rows.push(std::iter::once("all".to_string()).chain(cells).collect());
    Table {
        caption: "Validation v loss by gate; the label is always right".into(),
        columns,
        rows,
        total: true,
    }
}

fn verdicts(f: &Findings) -> Table {
    let row = |v: &super::Verdict| {
        let tailor = v.tailor.as_ref().map_or("".into(), |t| share(&t.overall));
        vec![
            v.name.to_owned(),
            v.guidance.to_string(),
            share(&v.label.overall),
            tailor,
        ]
    };
    Table {
        caption: "What the probe sees".into(),
        columns: ["gate", "guidance", "as the label", "as the tailor's class"]
            .map(String::from)
            .to_vec(),
        rows: f.verdicts.iter().map(row).collect(),
        total: false,
    }
}

fn curve(events: &[Event]) -> Curve {
    let (mut train, mut validation) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            Event::Step { step, velocity, .. } => train.push((*step as f64, *velocity)),
            Event::Validation { step, velocity, .. } => validation.push((*step as f64, *velocity)),
            _ => {}
        }
    }
    let series = |name: &str, points, smooth| Series {
        name: name.into(),
        points,
        smooth,
    };
    Curve {
        caption: "v loss of each logged step, and of the averaged weights on validation images"
            .into(),
        x_label: "step".into(),
        y_label: "v loss".into(),
        scale: learngene_eval::report::Scale::Log,
        series: vec![
            series("training", train, true),
            series("validation", validation, false),
        ],
    }
}

fn gallery(classes: &[String], images: &[Image], caption: &str) -> Result<Gallery> {
    let row = |(name, part): (&String, &[Image])| Ok((name.clone(), pngs(part)?));
    let rows = classes
        .iter()
        .zip(images.chunks(SHOWN))
        .map(row)
        .collect::<Result<_>>()?;
    Ok(Gallery {
        caption: caption.into(),
        columns: Vec::new(),
        rows,
    })
}

fn pngs(images: &[Image]) -> Result<Vec<Png>> {
    images
        .iter()
        .map(|i| Ok(Png::new(encode_png(i)?)?))
        .collect()
}

fn section(heading: &str, blocks: Vec<Block>) -> Section {
    Section {
        heading: heading.into(),
        paragraphs: Vec::new(),
        blocks,
    }
}

fn figure(value: String, label: &str, note: String) -> Figure {
    Figure {
        value,
        label: label.into(),
        note,
    }
}

fn share(rate: &learngene_eval::Rate) -> String {
    format!(
        "{:.3} ({} of {})",
        rate.rate.unwrap_or(0.0),
        rate.hits,
        rate.count
    )
}

fn yes(it_is: bool) -> &'static str {
    if it_is { "yes" } else { "NO" }
}
