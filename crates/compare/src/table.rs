//! The findings as tables: for a terminal, for LaTeX, for programs.

use crate::against::Against;
use crate::aggregate::Stat;
use crate::base::Pretraining;
use crate::findings::{DrawnSummary, Findings, Reference, Summary, once};
use learngene_eval::Rate;
use learngene_eval::metrics::Interval;
use learngene_eval::report::Table;
use std::collections::BTreeMap;

/// Stands where there is no number.
const NONE: &str = "-";
/// Kernel distances are so small that they are shown in thousandths.
const KERNEL_UNIT: f64 = 1e3;

/// For people: how well rows fit, how far drawn images are from training images and how much of these they reach, and what
/// it took.
pub fn tables(findings: &Findings) -> Vec<Table> {
    let (reach, distances) = measures(findings)
        .into_iter()
        .partition(|name| is_reach(name));
    let probe = std::iter::once(PROBE.to_owned());
    let distances: Vec<String> = probe.chain::<Vec<String>>(distances).collect();
    let mut tables = vec![
        losses(findings),
        drawn(findings, &of_drawn(findings), &distances),
        drawn(findings, &of_reach(findings), &reach),
        costs(findings),
    ];
    tables.retain(|table| !table.rows.is_empty());
    tables
}

/// What is trained and computed, and how well it fits.
fn losses(findings: &Findings) -> Table {
    let caption = format!(
        "Losses on test images, draws of each: {}, the same for all; mean \u{b1} standard deviation (n - 1) over seeds; the last \
         column compares seed by seed",
        findings.comparison.judge.repeats
    );
    let against = format!("v loss against {}", findings.comparison.reference());
    let names = ["seeds", "trained", "MACs", "v loss", "eps loss", &against];
    of_rows(findings, &caption, &names, |row| {
        let stat = |stat: Option<Stat>| stat.map_or(NONE.into(), |s| s.text(4));
        let cost = row.cost.as_ref();
        vec![
            seeds(row),
            cost.map_or(NONE.into(), |c| short(c.trained_parameters)),
            short(row.macs),
            stat(row.velocity),
            stat(row.epsilon),
            row.against
                .as_ref()
                .map_or(NONE.into(), |against| beside(row, against)),
        ]
    })
}

/// By how much a row's loss is above another's.
fn beside(row: &Summary, against: &Against) -> String {
    let interval = match &against.by_seed[..] {
        [only] => only.rise.interval,
        _ => None,
    };
    let look = Look {
        digits: 1,
        unit: 1.0,
    };
    let sign = if against.percent.mean >= 0.0 { "+" } else { "" };
    let n = match against.percent.n == row.seeds {
        true => String::new(),
        false => format!(" ({} of {} seeds)", against.percent.n, row.seeds),
    };
    format!("{sign}{} %{n}", look.text(against.percent, interval))
}

/// What training took.
fn costs(findings: &Findings) -> Table {
    let names = ["to ship", "rate", "seconds"];
    let caption =
        "Bytes to pass on to whoever has the base, peak learning rate, wall time of training";
    let trained = findings.rows.iter().filter_map(|row| {
        let cost = row.cost.as_ref()?;
        let cells = [
            short(cost.ship_bytes) + "B",
            cost.rate.to_string(),
            cost.seconds.text(1),
        ];
        Some([named(findings, row), cells.to_vec()].concat())
    });
    Table {
        caption: caption.into(),
        columns: with_row(findings, &names.map(String::from)),
        rows: trained.collect(),
        total: false,
    }
}

/// A line for every row of the findings.
fn of_rows(
    findings: &Findings,
    caption: &str,
    columns: &[&str],
    cells: impl Fn(&Summary) -> Vec<String>,
) -> Table {
    let columns: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
    let line = |row| [named(findings, row), cells(row)].concat();
    Table {
        caption: caption.into(),
        columns: with_row(findings, &columns),
        rows: findings.rows.iter().map(line).collect(),
        total: false,
    }
}

/// What the numbers of drawn images are.
fn of_drawn(findings: &Findings) -> String {
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

fn of_reach(findings: &Findings) -> String {
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
const REAL: &str = "real test images";

/// The class probe, among what is measured.
const PROBE: &str = "probe";

/// One number about images, of some seeds.
struct Number<'a> {
    name: &'a str,
    stat: Stat,
    /// Of a single seed.
    interval: Option<Interval>,
}

/// A line for every row and guidance, and one for real test images; empty if nothing of it was measured.
fn drawn(findings: &Findings, caption: &str, names: &[String]) -> Table {
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

fn interval_of(rate: &Rate) -> Interval {
    Interval {
        low: rate.low,
        high: rate.high,
    }
}

/// Whether a measure is one of neighbourhoods, a share or nearly one.
fn is_reach(name: &str) -> bool {
    let name = name.split('-').next().unwrap_or(name);
    ["precision", "recall", "density", "coverage"].contains(&name)
}

/// What is measured of drawn images, in the order of the table.
fn measures(findings: &Findings) -> Vec<String> {
    let all = findings
        .rows
        .iter()
        .flat_map(|row| &row.drawn)
        .flat_map(|d| &d.measures);
    once(all.map(|m| m.name.clone()))
}

/// How the values of a measure are shown.
struct Look {
    digits: usize,
    unit: f64,
}

impl Look {
    fn of(name: &str) -> Self {
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
    fn text(&self, stat: Stat, interval: Option<Interval>) -> String {
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

fn has_budgets(findings: &Findings) -> bool {
    findings.comparison.images_per_class != [0]
}

/// The columns that name a line, and these.
fn with_row(findings: &Findings, columns: &[String]) -> Vec<String> {
    let budgets = has_budgets(findings).then(|| "images a class".to_owned());
    let names = std::iter::once("row".to_owned()).chain(budgets);
    names.chain(columns.iter().cloned()).collect()
}

/// The cells that name a line.
fn named(findings: &Findings, row: &Summary) -> Vec<String> {
    let mut cells = vec![row.name.clone()];
    if has_budgets(findings) {
        cells.push(match (&row.method, row.images_per_class) {
            (None, _) => NONE.into(),
            (_, 0) => "all".into(),
            (_, n) => n.to_string(),
        });
    }
    cells
}

/// How many seeds the means are of, and of how many, if some diverged.
fn seeds(row: &Summary) -> String {
    let n = row.velocity.map_or(0, |v| v.n);
    match n == row.seeds {
        true => n.to_string(),
        false => format!("{n} of {}", row.seeds),
    }
}

/// Three digits and a unit.
fn short(n: u64) -> String {
    let n = n as f64;
    let units = [(1e9, " G"), (1e6, " M"), (1e3, " k")];
    match units.into_iter().find(|(unit, _)| n >= *unit) {
        None => format!("{n} "),
        Some((unit, name)) => {
            let x = n / unit;
            let digits = 2 - (x.log10().floor() as usize).min(2);
            format!("{x:.digits$}{name}")
        }
    }
    .trim_end()
    .to_owned()
}

/// What bases cost, and what to know: a line each.
pub fn notes(findings: &Findings) -> Vec<String> {
    let mut notes = bases(findings);
    notes.extend(caveats(findings));
    notes
}

/// What bases cost, a line each.
pub(crate) fn bases(findings: &Findings) -> Vec<String> {
    let line = |p: &Pretraining| {
        format!(
            "base `{}` ({}): {} steps, {} images, {} MACs an image, {} in all (forward passes)",
            p.base,
            p.path,
            p.steps,
            p.images,
            short(p.macs),
            short(p.macs * p.images)
        )
    };
    findings.pretraining.iter().map(line).collect()
}

/// What to know before believing a number: a line each, and for each row's own caveats the rows that have it.
pub(crate) fn caveats(findings: &Findings) -> Vec<String> {
    let general = findings.caveats.iter().map(|c| format!("caveat: {c}"));
    let rows = &findings.rows;
    let each = once(rows.iter().flat_map(|row| row.caveats.clone()));
    let adapted: Vec<&Summary> = rows.iter().filter(|row| row.method.is_some()).collect();
    let of_rows = each.iter().map(|caveat| {
        let with = |row: &&Summary| row.caveats.contains(caveat);
        let names = match adapted.len() > 1 && adapted.iter().all(with) {
            true => "every row".to_owned(),
            false => once(rows.iter().filter(with).map(|row| row.name.clone())).join("; "),
        };
        format!("caveat: {names}: {caveat}")
    });
    let real = &findings.real;
    let of_real = real.caveats.iter();
    let of_real = of_real.map(|caveat| format!("caveat: real test images: {caveat}"));
    let drawn = findings.comparison.judge.images * findings.classes.len();
    let unequal = (drawn != real.images).then(|| {
        format!(
            "caveat: {} real test images beside {drawn} drawn ones of a seed: distances, recall and coverage depend on how many \
             there are, so the last row is no exact bar for them",
            real.images
        )
    });
    let reference = findings.comparison.reference();
    let of_reference = |row: &&Summary| row.name == reference && row.by_seed.is_empty();
    let lost = rows.iter().find(of_reference).map(|_| {
        format!("caveat: `{reference}` came to nothing, so that nothing can be put beside it")
    });
    let all = general.chain(unequal_images(rows)).chain(of_rows);
    all.chain(of_real).chain(unequal).chain(lost).collect()
}

/// Rows whose batches have images without a label see more of them than rows in which such images train nothing.
fn unequal_images(rows: &[Summary]) -> Option<String> {
    let mut seen: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for (row, cost) in rows.iter().filter_map(|r| Some((r, r.cost.as_ref()?))) {
        seen.entry(cost.images).or_default().push(row.name.clone());
    }
    let each = seen
        .iter()
        .map(|(images, names)| format!("{images} by {}", once(names.clone()).join("; ")));
    let each: Vec<String> = each.collect();
    (each.len() > 1).then(|| {
        format!(
            "caveat: images seen in training: {}; the difference is images without a label, which some methods do not \
             train on, or a setting of the row",
            each.join(", ")
        )
    })
}

/// `booktabs` tables with notes below them.
pub fn latex(findings: &Findings) -> String {
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|c| escaped(c)).collect();
        format!("{} \\\\\n", cells.join(" & "))
    };
    let adapted = |row: &&Summary| row.method.is_some();
    let methods = findings.rows.iter().filter(adapted).count();
    let mut text = "% needs \\usepackage{booktabs}\n".to_owned();
    for table in tables(findings) {
        // A rule before the bases, or before the real images.
        let rule = match table.total {
            true => table.rows.len().saturating_sub(1),
            false => methods.min(table.rows.len()),
        };
        text += &format!(
            "% {}\n\\begin{{tabular}}{{l{}}}\n\\toprule\n{}\\midrule\n",
            table.caption,
            "r".repeat(table.columns.len() - 1),
            line(&table.columns)
        );
        for (number, row) in table.rows.iter().enumerate() {
            if number == rule {
                text += "\\midrule\n";
            }
            text += &line(row);
        }
        text += "\\bottomrule\n\\end{tabular}\n\n";
    }
    for note in notes(findings) {
        text += &format!("% {note}\n");
    }
    text
}

fn escaped(cell: &str) -> String {
    let mut text = String::new();
    for c in cell.chars() {
        match c {
            '\u{b1}' => text += "$\\pm$",
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => text.extend(['\\', c]),
            '\\' => text += "\\textbackslash{}",
            '~' => text += "\\textasciitilde{}",
            '^' => text += "\\textasciicircum{}",
            _ => text.push(c),
        }
    }
    if cell == NONE { "--".into() } else { text }
}

/// A line a row with every digit; empty where there is no number.
pub fn csv(findings: &Findings) -> String {
    let mut head: Vec<String> = [
        "row",
        "base",
        "method",
        "images_per_class",
        "seeds",
        "seeds_finished",
        "trained_parameters",
        "macs_per_image",
        "ship_bytes",
        "images_seen",
        "rate_factor",
        "rate",
    ]
    .map(String::from)
    .to_vec();
    let pair = |name: &str| [format!("{name}_mean"), format!("{name}_sd")];
    head.extend(
        ["seconds", "v_loss", "epsilon_loss", "v_loss_rise_percent"]
            .iter()
            .flat_map(|n| pair(n)),
    );
    let guidances = &findings.comparison.judge.guidance;
    let names = measures(findings);
    for guidance in guidances {
        let columns = std::iter::once(PROBE.to_owned()).chain(names.iter().map(|n| key(n)));
        head.extend(columns.flat_map(|n| pair(&format!("{n}_g{guidance}"))));
    }
    head.push("caveats".into());
    let mut text = record(&head);
    for row in &findings.rows {
        let cost = row.cost.as_ref();
        let number = |n: Option<u64>| n.map_or(String::new(), |n| n.to_string());
        let real = |x: Option<f64>| x.map_or(String::new(), |x| x.to_string());
        let stat = |s: Option<Stat>| [real(s.map(|s| s.mean)), real(s.and_then(|s| s.sd))];
        let mut line = vec![
            row.name.clone(),
            row.base.clone(),
            row.method.clone().unwrap_or_default(),
            row.images_per_class.to_string(),
            row.seeds.to_string(),
            row.velocity.map_or(0, |v| v.n).to_string(),
            number(cost.map(|c| c.trained_parameters)),
            row.macs.to_string(),
            number(cost.map(|c| c.ship_bytes)),
            number(cost.map(|c| c.images)),
            real(cost.map(|c| c.factor)),
            real(cost.map(|c| c.rate)),
        ];
        line.extend(stat(cost.map(|c| c.seconds)));
        let rise = row.against.as_ref().map(|against| against.percent);
        line.extend([row.velocity, row.epsilon, rise].into_iter().flat_map(stat));
        for &guidance in guidances {
            let drawn = row.drawn.iter().find(|d| d.guidance == guidance);
            let measured = |name: &String| {
                let found = drawn?.measures.iter().find(|m| m.name == *name)?;
                Some(found.stat)
            };
            line.extend(stat(drawn.map(|d| d.probe)));
            line.extend(names.iter().map(measured).flat_map(stat));
        }
        line.push(row.caveats.join("; "));
        text += &record(&line);
    }
    text
}

/// A line for each row, class and quantity.
pub fn classes_csv(findings: &Findings) -> String {
    let head = [
        "row",
        "images_per_class",
        "class",
        "quantity",
        "guidance",
        "seeds",
        "mean",
        "sd",
    ];
    let mut text = record(&head.map(String::from));
    for row in &findings.rows {
        let mut lines = |quantity: &str, guidance: &str, stats: &[Option<Stat>]| {
            for (class, stat) in findings.classes.iter().zip(stats) {
                let Some(stat) = stat else { continue };
                text += &record(&[
                    row.name.clone(),
                    row.images_per_class.to_string(),
                    class.clone(),
                    quantity.into(),
                    guidance.into(),
                    stat.n.to_string(),
                    stat.mean.to_string(),
                    stat.sd.map_or(String::new(), |sd| sd.to_string()),
                ]);
            }
        };
        lines("v_loss", "", &row.velocity_by_class);
        for drawn in &row.drawn {
            lines("probe", &drawn.guidance.to_string(), &drawn.probe_by_class);
        }
    }
    text
}

/// A line for each row, seed and quantity, with its 95 % interval where there is one, and for what is known of real test
/// images.
pub fn seeds_csv(findings: &Findings) -> String {
    let head = [
        "row",
        "images_per_class",
        "seed",
        "quantity",
        "guidance",
        "value",
        "low",
        "high",
    ];
    let mut text = record(&head.map(String::from));
    for row in &findings.rows {
        for of_seed in &row.by_seed {
            let mut line =
                |quantity: &str, guidance: &str, value: Option<f64>, interval: Option<Interval>| {
                    let number = |x: Option<f64>| x.map_or(String::new(), |x| x.to_string());
                    if value.is_some() {
                        text += &record(&[
                            row.name.clone(),
                            row.images_per_class.to_string(),
                            of_seed.seed.to_string(),
                            quantity.into(),
                            guidance.into(),
                            number(value),
                            number(interval.map(|i| i.low)),
                            number(interval.map(|i| i.high)),
                        ]);
                    }
                };
            line("v_loss_validation", "", of_seed.validation, None);
            line("v_loss", "", Some(of_seed.velocity), None);
            line("epsilon_loss", "", Some(of_seed.epsilon), None);
            let beside = row.against.iter().flat_map(|against| &against.by_seed);
            if let Some(found) = beside.into_iter().find(|s| s.seed == of_seed.seed) {
                let rise = found.rise;
                line("v_loss_rise_percent", "", Some(rise.percent), rise.interval);
            }
            for drawn in &of_seed.drawn {
                let guidance = drawn.guidance.to_string();
                let interval = Some(interval_of(&drawn.probe));
                line(PROBE, &guidance, drawn.probe.rate, interval);
                for m in &drawn.measures {
                    line(&key(&m.name), &guidance, Some(m.value), m.interval);
                }
            }
        }
    }
    let real = &findings.real;
    let probe = &real.probe.overall;
    let mut line = |quantity: &str, value: Option<f64>, interval: Option<Interval>| {
        let number = |x: Option<f64>| x.map_or(String::new(), |x| x.to_string());
        let [low, high] = [interval.map(|i| i.low), interval.map(|i| i.high)].map(number);
        let ends = [number(value), low, high];
        let before = [REAL, "", "", quantity, ""].map(String::from);
        text += &record(&[&before[..], &ends[..]].concat());
    };
    line(PROBE, probe.rate, Some(interval_of(probe)));
    for m in &real.measures {
        line(&key(&m.name), Some(m.value), m.interval);
    }
    text
}

/// The name of a measure as a column.
fn key(name: &str) -> String {
    name.to_lowercase().replace(['-', ' '], "_")
}

/// A line of RFC 4180.
fn record(cells: &[String]) -> String {
    let quoted = cells
        .iter()
        .map(|cell| match cell.contains([',', '"', '\n', '\r']) {
            true => format!("\"{}\"", cell.replace('"', "\"\"")),
            false => cell.clone(),
        });
    quoted.collect::<Vec<_>>().join(",") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_texts_survive_their_format() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1_536, "1.54 k"),
            (81_300, "81.3 k"),
            (1_330_000, "1.33 M"),
            (138_412_032, "138 M"),
            (5_400_000_000_000, "5400 G"),
        ] {
            assert_eq!(short(n), text);
        }
        let cells = ["a,b", "say \"x\"", "plain"].map(String::from);
        assert_eq!(record(&cells), "\"a,b\",\"say \"\"x\"\"\",plain\n");
        assert_eq!(escaped("50 % of A_1 & {B}"), "50 \\% of A\\_1 \\& \\{B\\}");
        assert_eq!(escaped("0.1 \u{b1} 0.2"), "0.1 $\\pm$ 0.2");
        assert_eq!(escaped("-"), "--");
        assert_eq!(escaped("-0.5"), "-0.5");
    }
}
