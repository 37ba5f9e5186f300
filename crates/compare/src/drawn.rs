//! What drawn images are worth, as tables.

use crate::aggregate::Stat;
use crate::findings::{DrawnSummary, Findings, Reference, Summary, once};
use crate::table::{NONE, has_budgets, named, with_row};
use learngene_eval::Rate;
use learngene_eval::metrics::Interval;
use learngene_eval::report::Table;

/// Kernel distances are so small that they are shown in thousandths.
const KERNEL_UNIT: f64 = 1e3;

/// What the numbers of drawn images are.
pub(crate) fn of_drawn(findings: &Findings) -> String {
    let judge = &findings.comparison.judge;
    let classes = findings.classes.len();
    let intervals = match (findings.comparison.seeds.len(), judge.resamples) {
        (1, 0) => "; in brackets the probe's 95 % interval".to_owned(),
        (1, n) => {
            format!("; in brackets 95 % intervals, of distances over {n} draws of the images")
        }
        _ => String::new(),
    };
    format!(
        "Drawn images: {} of each seed, beside {} training images; the probe is the share taken for their class, chance \
         {:.3}; last, {} real test images{intervals}",
        judge.images * classes,
        findings.training_images,
        1.0 / classes.max(1) as f64,
        findings.real.images,
    )
}

pub(crate) fn of_reach(findings: &Findings) -> String {
    let intervals = match findings.comparison.seeds.len() {
        1 => "; intervals are over the images that are counted, the others taken for given",
        _ => "",
    };
    format!(
        "The same images among training images: precision and density count drawn images, recall and coverage training images\
         {intervals}"
    )
}

/// The row of those.
pub(crate) const REAL: &str = "real test images";

/// The class probe, among what is measured.
pub(crate) const PROBE: &str = "probe";

/// One number about images, of some seeds.
struct Number<'a> {
    name: &'a str,
    stat: Stat,
    /// Of a single seed.
    interval: Option<Interval>,
}

/// A line for every row and guidance, and one for real test images; empty if nothing of it was measured.
pub(crate) fn drawn(findings: &Findings, caption: &str, names: &[String]) -> Table {
    let line = |named: Vec<String>, guidance: String, numbers: &[Number<'_>]| {
        let text = |name: &String| {
            let found = numbers.iter().find(|n| n.name == name);
            found.map_or(NONE.into(), |n| Look::of(name).text(n.stat, n.interval))
        };
        let cells = named.into_iter().chain([guidance]);
        cells.chain(names.iter().map(text)).collect::<Vec<_>>()
    };
    let mut rows = Vec::new();
    for row in &findings.rows {
        rows.extend(row.drawn.iter().map(|drawn| {
            let guidance = drawn.guidance.to_string();
            line(named(findings, row), guidance, &of_row(row, drawn))
        }));
    }
    if rows.is_empty() || names.is_empty() {
        return Table::default();
    }
    let mut name = vec![REAL.to_owned()];
    name.extend(has_budgets(findings).then(|| NONE.to_owned()));
    let mut real = of_real(&findings.real);
    if findings.comparison.seeds.len() > 1 {
        // As the rows above have: intervals are for those who have no deviation.
        real.iter_mut().for_each(|number| number.interval = None);
    }
    rows.push(line(name, NONE.into(), &real));
    // A star where a caveat below says why these values are not what their name promises.
    let caveats: Vec<&String> = findings.rows.iter().flat_map(|r| &r.caveats).collect();
    let head = |name: &String| {
        let biased = caveats.iter().any(|c| c.starts_with(&format!("{name}: ")));
        let star = if biased { "*" } else { "" };
        let unit = if Look::of(name).unit == KERNEL_UNIT {
            "1000 "
        } else {
            ""
        };
        format!("{unit}{name}{star}")
    };
    let columns: Vec<String> = std::iter::once("guidance".to_owned())
        .chain(names.iter().map(head))
        .collect();
    Table {
        caption: caption.into(),
        columns: with_row(findings, &columns),
        rows,
        total: true,
        // What names a row, and the guidance.
        keys: with_row(findings, &[]).len() + 1,
    }
}

/// What is known of a row's images.
fn of_row<'a>(row: &'a Summary, drawn: &'a DrawnSummary) -> Vec<Number<'a>> {
    let seed = row.by_seed.first().filter(|_| row.by_seed.len() == 1);
    let seed = seed.and_then(|s| s.drawn.iter().find(|d| d.guidance == drawn.guidance));
    let probe = Number {
        name: PROBE,
        stat: drawn.probe,
        interval: seed.map(|s| interval_of(&s.probe)),
    };
    let measures = drawn.measures.iter().map(|measure| Number {
        name: &measure.name,
        stat: measure.stat,
        interval: seed.and_then(|s| {
            let found = s.measures.iter().find(|m| m.name == measure.name)?;
            found.interval
        }),
    });
    std::iter::once(probe).chain(measures).collect()
}

/// What is known of real test images before the same judges.
fn of_real(real: &Reference) -> Vec<Number<'_>> {
    let number = |name, value, interval| Number {
        name,
        stat: Stat {
            n: 1,
            mean: value,
            sd: None,
        },
        interval,
    };
    let probe = &real.probe.overall;
    let of_probe = |rate| number(PROBE, rate, Some(interval_of(probe)));
    let measures = real.measures.iter();
    let measures = measures.map(|m| number(&m.name, m.value, m.interval));
    probe
        .rate
        .map(of_probe)
        .into_iter()
        .chain(measures)
        .collect()
}

pub(crate) fn interval_of(rate: &Rate) -> Interval {
    Interval {
        low: rate.low,
        high: rate.high,
    }
}

/// Whether a measure is one of neighbourhoods, a share or nearly one.
pub(crate) fn is_reach(name: &str) -> bool {
    let name = name.split('-').next().unwrap_or(name);
    ["precision", "recall", "density", "coverage"].contains(&name)
}

/// What is measured of drawn images, in the order of the table.
pub(crate) fn measures(findings: &Findings) -> Vec<String> {
    let all = findings
        .rows
        .iter()
        .flat_map(|row| &row.drawn)
        .flat_map(|d| &d.measures);
    once(all.map(|m| m.name.clone()))
}

/// How the values of a measure are shown.
pub(crate) struct Look {
    pub digits: usize,
    pub unit: f64,
}

impl Look {
    pub fn of(name: &str) -> Self {
        let name = name.split('-').next().unwrap_or(name);
        match name {
            "KID" => Self {
                digits: 1,
                unit: KERNEL_UNIT,
            },
            "FD" | "FID" | "sFID" => Self {
                digits: 1,
                unit: 1.0,
            },
            _ => Self {
                digits: 3,
                unit: 1.0,
            },
        }
    }

    /// Mean and deviation, or a single value and its interval.
    pub fn text(&self, stat: Stat, interval: Option<Interval>) -> String {
        let Self { digits, unit } = *self;
        let scaled = Stat {
            mean: stat.mean * unit,
            sd: stat.sd.map(|sd| sd * unit),
            ..stat
        };
        let text = scaled.text(digits);
        match interval {
            Some(Interval { low, high }) if stat.n == 1 => {
                format!(
                    "{text} ({:.digits$} to {:.digits$})",
                    low * unit,
                    high * unit
                )
            }
            _ => text,
        }
    }
}
