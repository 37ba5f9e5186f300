//! The findings as one page.

use crate::drawn::REAL;
use crate::error::Result;
use crate::findings::{Findings, Show, Summary};
use crate::notes::{bases, caveats};
use crate::table::tables;
use learngene_data::Image;
use learngene_data::image::encode_png;
use learngene_eval::Report;
use learngene_eval::report::{Block, Curve, Gallery, Png, Scale, Section, Series, Table};

/// Pictures side by side in one gallery: as many as a page is wide.
const ABREAST: usize = 8;
/// Lines in one chart: as many as it has colours for.
const LINES: usize = 8;

/// The whole page.
///
/// # Errors
/// A picture that cannot be encoded.
pub fn report(f: &Findings) -> Result<Report> {
    let wanted = &f.comparison;
    let mut table: Vec<Block> = tables(f).into_iter().map(Block::Table).collect();
    table.extend(caveats(f).into_iter().map(Block::Text));
    let mut sections = vec![Section {
        heading: "Table".into(),
        paragraphs: Vec::new(),
        blocks: table,
    }];
    for &guidance in &wanted.judge.guidance {
        sections.push(Section {
            heading: format!("Samples, guidance {guidance}"),
            paragraphs: Vec::new(),
            blocks: galleries(f, guidance)?,
        });
    }
    // Guided images are what people look at; the first classes are enough to begin with.
    let guidance = wanted.judge.guidance.iter().copied().fold(1.0, f64::max);
    let top = galleries(f, guidance)?.into_iter().take(1).collect();
    sections.push(Section {
        heading: "Training".into(),
        paragraphs: Vec::new(),
        blocks: curves(f),
    });
    sections.push(Section {
        heading: "By class".into(),
        paragraphs: Vec::new(),
        blocks: by_class(f),
    });
    if wanted.seeds.len() > 1 {
        sections.push(Section {
            heading: "By seed".into(),
            paragraphs: vec![
                "Rows of one seed saw the same noise, and started from bases of that seed where {seed} stands in their paths: \
                 compare them column by column."
                    .into(),
            ],
            blocks: vec![Block::Table(by_seed(f)), Block::Table(rises(f))],
        });
    }
    if !f.sweep.is_empty() {
        sections.push(Section {
            heading: "Learning rates".into(),
            paragraphs: Vec::new(),
            blocks: vec![Block::Table(sweep(f))],
        });
    }
    Ok(Report {
        title: "learngene compare".into(),
        summary: vec![
            format!(
                "Rows: {}. Classes: {} ({}). Seeds: {}. Steps of each training: {}.",
                wanted.row.len(),
                f.classes.len(),
                f.classes.join(", "),
                wanted.seeds.len(),
                wanted.steps
            ),
            "Every row had the same steps, the same sweep of its learning rate on validation images, the same draws of time \
             and noise, and the same noise of samples. Test images were looked at by chosen cells alone."
                .into(),
        ],
        top,
        figures: Vec::new(),
        sections,
        how_to_read: vec![
            "Deviations are between seeds: of pre-training where each seed has a base of its own, of the transfer always. \
             Differences within them are not shown to be real."
                .into(),
            "With guidance above 1, samples are pushed away from what the model draws without a label. For class-gated \
             tailors that is the base without any tailor, for most other methods the adapted model; so compare rows at \
             guidance 1 too."
                .into(),
            "FD-Lite0 of few images is far above that of many: compare it within this page alone. Precision is the share of \
             drawn images that lie near training images, recall the share of training images near drawn ones, density and \
             coverage the same with wider neighbourhoods of training images alone. The last row of the table is of real images, the \
             bar where they are as many."
                .into(),
        ],
        settings: settings(f, bases(f)),
        machine: format!(
            "learngene {}, {} on {}",
            env!("CARGO_PKG_VERSION"),
            std::env::consts::OS,
            std::env::consts::ARCH
        ),
    })
}

fn settings(f: &Findings, bases: Vec<String>) -> Vec<(String, String)> {
    let wanted = &f.comparison;
    let judge = &wanted.judge;
    let numbers = |values: &[f64]| {
        let texts: Vec<String> = values.iter().map(f64::to_string).collect();
        texts.join(", ")
    };
    let mut settings = vec![
        ("source".to_owned(), wanted.data.source.clone()),
        ("steps".to_owned(), wanted.steps.to_string()),
        (
            "factors on rates".to_owned(),
            numbers(&wanted.sweep.factors),
        ),
        (
            "samples".to_owned(),
            format!(
                "{} of each class, {} steps of {}",
                judge.images, judge.steps, judge.sampler
            ),
        ),
    ];
    settings.extend(
        bases
            .into_iter()
            .map(|text| ("pre-training".to_owned(), text)),
    );
    settings
}

/// Rows that were trained, each with its pictures and curve.
fn trained(f: &Findings) -> impl Iterator<Item = (String, &Show)> {
    f.rows
        .iter()
        .zip(&f.shows)
        .map(|(row, show)| (title(f, row), show))
}

fn title(f: &Findings, row: &Summary) -> String {
    let budgets = f.comparison.images_per_class.len();
    match row.images_per_class {
        _ if budgets == 1 || row.method.is_none() => row.name.clone(),
        0 => format!("{}, all images", row.name),
        n => format!("{}, {n} a class", row.name),
    }
}

fn galleries(f: &Findings, guidance: f64) -> Result<Vec<Block>> {
    let classes: Vec<usize> = (0..f.classes.len()).collect();
    let gallery = |part: &[usize]| {
        let shown = f.comparison.judge.shown;
        let columns = part.iter().flat_map(|&c| vec![f.classes[c].clone(); shown]);
        let real = part.iter().flat_map(|&c| (0..shown).map(move |i| (c, i)));
        let real = real.map(|(c, i)| f.images.get(c)?.get(i));
        let real: Vec<Option<&Image>> = real.collect();
        let white = Image::filled(1, 1, &[255]);
        let mut rows = Vec::new();
        if real.iter().any(Option::is_some) {
            // A white one stands in where a class has too few, so that columns stay columns.
            let pngs = real
                .iter()
                .map(|i| Ok(Png::new(encode_png(i.unwrap_or(&white))?)?));
            rows.push((REAL.to_owned(), pngs.collect::<Result<Vec<Png>>>()?));
        }
        for (name, show) in trained(f) {
            let strips = show.strips.iter().find(|(g, _)| *g == guidance);
            let images = strips
                .into_iter()
                .flat_map(|(_, s)| part.iter().flat_map(|&c| &s[c]));
            let pngs: Result<Vec<Png>> = images.map(|i| Ok(Png::new(encode_png(i)?)?)).collect();
            rows.push((name, pngs?));
        }
        Ok(Block::Gallery(Gallery {
            caption: format!(
                "Guidance {guidance}, first seed. Each column is one class, and below the real images one noise under every method: look \
                 along a column for what a method changes."
            ),
            columns: columns.collect(),
            rows,
        }))
    };
    match f.comparison.judge.shown {
        0 => Ok(Vec::new()),
        shown => (classes.chunks((ABREAST / shown).max(1)))
            .map(gallery)
            .collect(),
    }
}

fn curves(f: &Findings) -> Vec<Block> {
    let all: Vec<(String, &Show)> = trained(f).collect();
    let chart = |part: &[(String, &Show)]| {
        let series = |(name, show): &(String, &Show)| Series {
            name: name.clone(),
            points: show.course.training.clone(),
            smooth: true,
        };
        Block::Curve(Curve {
            caption: "v loss of each logged step's batch, first seed".into(),
            x_label: "step".into(),
            y_label: "v loss".into(),
            scale: Scale::Log,
            series: part.iter().map(series).collect(),
        })
    };
    let steps = all.iter().map(|(_, show)| &show.course.validation);
    let steps: Vec<f64> = (steps.max_by_key(|v| v.len()).into_iter().flatten())
        .map(|&(step, _)| step)
        .collect();
    let validation = all.iter().map(|(name, show)| {
        let at = |step: &f64| {
            let found = show.course.validation.iter().find(|(s, _)| s == step);
            found.map_or("-".to_owned(), |(_, v)| format!("{v:.4}"))
        };
        std::iter::once(name.clone())
            .chain(steps.iter().map(at))
            .collect()
    });
    let mut blocks: Vec<Block> = all.chunks(LINES).map(chart).collect();
    blocks.push(Block::Table(Table {
        caption: "v loss on validation images, first seed".into(),
        columns: std::iter::once("row".to_owned())
            .chain(steps.iter().map(|step| format!("step {step}")))
            .collect(),
        rows: validation.collect(),
        ..Table::default()
    }));
    blocks
}

fn by_class(f: &Findings) -> Vec<Block> {
    type Of<'a> = &'a dyn Fn(&Summary) -> Option<&[Option<crate::Stat>]>;
    let table = |caption: String, digits: usize, of: Of<'_>, last: Option<Vec<String>>| {
        let line = |row: &Summary| {
            let stats = of(row)?;
            let texts = stats
                .iter()
                .map(|s| s.map_or("-".into(), |s| s.text(digits)));
            Some(std::iter::once(title(f, row)).chain(texts).collect())
        };
        let columns = std::iter::once("row".to_owned()).chain(f.classes.iter().cloned());
        let mut rows: Vec<Vec<String>> = f.rows.iter().filter_map(line).collect();
        rows.extend(last);
        let long = f.classes.len() > rows.len();
        let table = Table {
            caption,
            columns: columns.collect(),
            rows,
            ..Table::default()
        };
        // Read downwards, whichever there are more of.
        Block::Table(if long { table.turned() } else { table })
    };
    let mut blocks = vec![table(
        "v loss on test images".into(),
        4,
        &|row| Some(&row.velocity_by_class[..]),
        None,
    )];
    let real = f.real.probe.per_class.iter();
    let real = real.map(|rate| {
        rate.rate
            .map_or("-".into(), |share| format!("{share:.2} of {}", rate.count))
    });
    let real: Vec<String> = std::iter::once(REAL.to_owned()).chain(real).collect();
    for &guidance in &f.comparison.judge.guidance {
        let caption = format!(
            "Share that the class probe takes for their label, guidance {guidance}; last, of real test images: where that is low, \
             the probe knows too little of the class to judge drawn ones"
        );
        blocks.push(table(
            caption,
            2,
            &|row| {
                let drawn = row.drawn.iter().find(|d| d.guidance == guidance)?;
                Some(&drawn.probe_by_class[..])
            },
            Some(real.clone()),
        ));
    }
    blocks
}

fn by_seed(f: &Findings) -> Table {
    let seeds = &f.comparison.seeds;
    let line = |row: &Summary| {
        let of = |seed: &u64| {
            let found = row.by_seed.iter().find(|s| s.seed == *seed);
            found.map_or("-".to_owned(), |s| format!("{:.4}", s.velocity))
        };
        let title = std::iter::once(title(f, row));
        title.chain(seeds.iter().map(of)).collect()
    };
    let head = std::iter::once("row".to_owned());
    Table {
        caption: "v loss on test images".into(),
        columns: head
            .chain(seeds.iter().map(|seed| format!("seed {seed}")))
            .collect(),
        rows: f.rows.iter().map(line).collect(),
        ..Table::default()
    }
}

fn rises(f: &Findings) -> Table {
    let seeds = &f.comparison.seeds;
    let line = |row: &Summary| {
        let against = row.against.as_ref()?;
        let of = |seed: &u64| {
            let found = against.by_seed.iter().find(|s| s.seed == *seed);
            found.map_or("-".to_owned(), |s| s.rise.to_string())
        };
        let title = std::iter::once(title(f, row));
        Some(title.chain(seeds.iter().map(of)).collect())
    };
    let head = std::iter::once("row".to_owned());
    Table {
        caption: format!(
            "By how much the v loss on test images is above that of {}, with 95 % over the images: another training of either is \
             not in it",
            f.comparison.reference()
        ),
        columns: head
            .chain(seeds.iter().map(|seed| format!("seed {seed}")))
            .collect(),
        rows: f.rows.iter().filter_map(line).collect(),
        ..Table::default()
    }
}

fn sweep(f: &Findings) -> Table {
    let line = |point: &crate::SweepPoint| {
        let loss = match (point.validation, point.diverged) {
            (Some(stat), 0) => stat.text(4),
            (Some(stat), n) => format!("{}, {n} diverged", stat.text(4)),
            (None, _) => "diverged".into(),
        };
        let images = match point.images_per_class {
            0 => "all".to_owned(),
            n => n.to_string(),
        };
        let chosen = if point.chosen { "chosen" } else { "" };
        vec![
            point.row.clone(),
            images,
            point.factor.to_string(),
            loss,
            chosen.into(),
        ]
    };
    Table {
        caption: "v loss on validation images by factor on the method's own rate".into(),
        columns: ["row", "images a class", "factor", "v loss", ""]
            .map(String::from)
            .to_vec(),
        rows: f.sweep.iter().map(line).collect(),
        ..Table::default()
    }
}
