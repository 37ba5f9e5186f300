//! The findings as tables: for a terminal, for LaTeX, for programs.

use crate::aggregate::Stat;
use crate::findings::{Findings, Summary, once};
use std::collections::BTreeMap;

/// Stands where there is no number.
const NONE: &str = "-";
/// Kernel distances are so small that they are shown in thousandths.
const KERNEL_UNIT: f64 = 1e3;

/// Columns for the images of each guidance, the last ones.
pub(crate) const DRAWN: usize = 3;

/// Header and lines, for people.
pub fn terminal(findings: &Findings) -> (Vec<String>, Vec<Vec<String>>) {
    let rows = findings.rows.iter().map(|row| cells(findings, row));
    (columns(findings), rows.collect())
}

fn columns(findings: &Findings) -> Vec<String> {
    let mut columns = vec!["row".to_owned()];
    if has_budgets(findings) {
        columns.push("images a class".into());
    }
    columns.extend(
        [
            "seeds", "trained", "MACs", "to ship", "rate", "seconds", "v loss", "eps loss",
        ]
        .map(String::from),
    );
    // A star where a caveat below says why these values are not what their name promises.
    let biased = |row: &Summary| row.caveats.iter().any(|c| c.starts_with("FD"));
    let star = if findings.rows.iter().any(biased) {
        "*"
    } else {
        ""
    };
    for guidance in &findings.comparison.judge.guidance {
        columns.extend([
            format!("FD{star} g={guidance}"),
            format!("KID g={guidance}"),
            format!("probe g={guidance}"),
        ]);
    }
    columns
}

fn has_budgets(findings: &Findings) -> bool {
    findings.comparison.images_per_class != [0]
}

fn cells(findings: &Findings, row: &Summary) -> Vec<String> {
    let stat = |stat: Option<Stat>, digits| stat.map_or(NONE.into(), |s| s.text(digits));
    let mut cells = vec![row.name.clone()];
    let cost = |f: &dyn Fn(&crate::findings::CostSummary) -> String| {
        row.cost.as_ref().map_or(NONE.to_owned(), f)
    };
    if has_budgets(findings) {
        cells.push(match (&row.method, row.images_per_class) {
            (None, _) => NONE.into(),
            (_, 0) => "all".into(),
            (_, n) => n.to_string(),
        });
    }
    cells.extend([
        seeds(row),
        cost(&|c| short(c.trained_parameters)),
        short(row.macs),
        cost(&|c| short(c.ship_bytes) + "B"),
        cost(&|c| c.rate.to_string()),
        cost(&|c| c.seconds.text(1)),
        stat(row.velocity, 4),
        stat(row.epsilon, 4),
    ]);
    for &guidance in &findings.comparison.judge.guidance {
        let drawn = row.drawn.iter().find(|d| d.guidance == guidance);
        cells.extend([
            stat(drawn.map(|d| d.frechet), 1),
            stat(drawn.map(|d| scaled(d.kernel)), 1),
            stat(drawn.map(|d| d.probe), 3),
        ]);
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

fn scaled(stat: Stat) -> Stat {
    Stat {
        mean: stat.mean * KERNEL_UNIT,
        sd: stat.sd.map(|sd| sd * KERNEL_UNIT),
        ..stat
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

/// What the columns mean, and what to know: a line each.
pub fn notes(findings: &Findings) -> Vec<String> {
    let judge = &findings.comparison.judge;
    let real = &findings.real;
    let classes = findings.classes.len();
    let mut notes = vec![
        format!(
            "mean \u{b1} standard deviation (n - 1) over seeds; losses on test images, draws of each: {}, the same for all; \
             FD-Lite0 and 1000 x KID-Lite0 of {} drawn images against the training images, g is the guidance; probe is \
             the share of drawn images taken for their class",
            judge.repeats,
            judge.images * classes
        ),
        format!(
            "real test images (n = {}): 1000 x KID-Lite0 {:.1}, probe {:.3}; chance {:.3}",
            real.images,
            real.kernel * KERNEL_UNIT,
            real.probe.overall.rate.unwrap_or(0.0),
            1.0 / classes.max(1) as f64
        ),
    ];
    notes.extend(findings.pretraining.iter().map(|p| {
        format!(
            "base `{}` ({}): {} steps, {} images, {} MACs an image, {} in all (forward passes)",
            p.base,
            p.path,
            p.steps,
            p.images,
            short(p.macs),
            short(p.macs * p.images)
        )
    }));
    notes.extend(caveats(findings));
    notes
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
    general.chain(unequal_images(rows)).chain(of_rows).collect()
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

/// A `booktabs` table with notes below it.
pub fn latex(findings: &Findings) -> String {
    let (columns, rows) = terminal(findings);
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|c| escaped(c)).collect();
        format!("{} \\\\\n", cells.join(" & "))
    };
    let mut text = format!(
        "% needs \\usepackage{{booktabs}}\n\\begin{{tabular}}{{l{}}}\n\\toprule\n{}\\midrule\n",
        "r".repeat(columns.len() - 1),
        line(&columns)
    );
    let adapted = |row: &&Summary| row.method.is_some();
    let methods = findings.rows.iter().filter(adapted).count();
    for (number, row) in rows.iter().enumerate() {
        if number == methods {
            text += "\\midrule\n";
        }
        text += &line(row);
    }
    text += "\\bottomrule\n\\end{tabular}\n";
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
        ["seconds", "v_loss", "epsilon_loss"]
            .iter()
            .flat_map(|n| pair(n)),
    );
    let guidances = &findings.comparison.judge.guidance;
    for guidance in guidances {
        let names = ["fd_lite0", "kid_lite0", "probe"];
        head.extend(names.iter().flat_map(|n| pair(&format!("{n}_g{guidance}"))));
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
        line.extend([row.velocity, row.epsilon].into_iter().flat_map(stat));
        for &guidance in guidances {
            let drawn = row.drawn.iter().find(|d| d.guidance == guidance);
            let each = [
                drawn.map(|d| d.frechet),
                drawn.map(|d| d.kernel),
                drawn.map(|d| d.probe),
            ];
            line.extend(each.into_iter().flat_map(stat));
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

/// A line for each row, seed and quantity.
pub fn seeds_csv(findings: &Findings) -> String {
    let head = [
        "row",
        "images_per_class",
        "seed",
        "quantity",
        "guidance",
        "value",
    ];
    let mut text = record(&head.map(String::from));
    for row in &findings.rows {
        for of_seed in &row.by_seed {
            let mut line = |quantity: &str, guidance: &str, value: Option<f64>| {
                let Some(value) = value else { return };
                text += &record(&[
                    row.name.clone(),
                    row.images_per_class.to_string(),
                    of_seed.seed.to_string(),
                    quantity.into(),
                    guidance.into(),
                    value.to_string(),
                ]);
            };
            line("v_loss_validation", "", of_seed.validation);
            line("v_loss", "", Some(of_seed.velocity));
            line("epsilon_loss", "", Some(of_seed.epsilon));
            for drawn in &of_seed.drawn {
                let guidance = drawn.guidance.to_string();
                line("fd_lite0", &guidance, Some(drawn.frechet));
                line("kid_lite0", &guidance, Some(drawn.kernel));
                line("probe", &guidance, drawn.probe);
            }
        }
    }
    text
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
