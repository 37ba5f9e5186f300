//! `inspect --diversion`: what learngene and tailors each hold, as numbers and as a page of heat maps.

mod page;

use crate::failure::{Failure, Result};
use crate::quickstart::{self, Drawing, Judge, Verdict, swaps};
use crate::verbs::quality;
use crate::{args, model, output, progress};
use learngene_compare::{Lab, first_images};
use learngene_data::{Image, Split};
use learngene_eval::metrics::{Interval, Rise};
use learngene_eval::{Rates, doubts};
use learngene_train::{Evaluation, Gating, memory};
use learngene_transfer::Anatomy;
use page::{by_class, page};
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
    /// Real test images of each class.
    #[serde(skip)]
    images: Vec<Vec<Image>>,
    /// Why to believe less of it than it seems to say.
    notes: Vec<String>,
}

/// Images of each class that are shown.
const SHOWN: usize = 2;

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
    let drawing = Drawing {
        lab: &lab,
        model: &model,
        classes,
        judged: args.count,
        shown: SHOWN,
    };
    let (verdicts, real) = (judge.swaps(drawing)?, judge.real().clone());
    let rises = Rises {
        none: quality::rise(&right, &none)?,
        wrong: quality::rise(&right, &wrong)?,
    };
    let found = Findings {
        notes: notes(rises, &config.classes, &real, &verdicts),
        images: first_images(&data, Split::Test, SHOWN)?,
        rises,
        right,
        none,
        wrong,
        verdicts,
        real,
        anatomy,
    };
    if let Some(out) = &args.out {
        let mut page = page(&found, args.count)?;
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
    found
        .notes
        .iter()
        .for_each(|note| output::say(&format!("note: {note}")));
    if let Some(out) = &args.out {
        output::wrote_as("report", out);
    }
    Ok(())
}

/// What makes the numbers say less than they seem to: losses that tailors do not change, and the probe's doubts.
fn notes(rises: Rises, classes: &[String], real: &Rates, verdicts: &[Verdict]) -> Vec<String> {
    let own = swaps::of(verdicts, "right tailor", swaps::STRIP);
    let doubts = own.map(|v| doubts(classes, real, &v.label));
    nothing(rises)
        .into_iter()
        .chain(doubts.into_iter().flatten())
        .collect()
}

/// That losses do not show the tailors, if they do not.
fn nothing(rises: Rises) -> Option<String> {
    let within = |rise: Rise| {
        rise.interval
            .is_none_or(|Interval { low, high }| low <= 0.0 && high >= 0.0)
    };
    (within(rises.none) && within(rises.wrong)).then(|| {
        "The losses without a tailor and with a wrong one cannot be told from that with the right one: so far the tailors of this \
         model hold nothing that shows."
            .to_owned()
    })
}
