//! The findings as tables for people: what is trained and how well it fits, what images are worth, what it took.

use crate::against::Against;
use crate::aggregate::Stat;
use crate::drawn::{Look, PROBE, drawn, is_reach, measures, of_drawn, of_reach};
use crate::findings::{Findings, Summary};
use learngene_eval::report::Table;

/// Stands where there is no number.
pub(crate) const NONE: &str = "-";
/// How well rows fit, how far drawn images are from training images and how much of these they reach, and what
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
    let names = ["seeds", "trained", "MACs", "v loss", "eps loss", &against].map(String::from);
    let line = |row: &Summary| {
        let stat = |stat: Option<Stat>| stat.map_or(NONE.into(), |s| s.text(4));
        let (cost, against) = (row.cost.as_ref(), row.against.as_ref());
        let cells = vec![
            seeds(row),
            cost.map_or(NONE.into(), |c| short(c.trained_parameters)),
            short(row.macs),
            stat(row.velocity),
            stat(row.epsilon),
            against.map_or(NONE.into(), |against| beside(row, against)),
        ];
        [named(findings, row), cells].concat()
    };
    Table {
        caption,
        columns: with_row(findings, &names),
        rows: findings.rows.iter().map(line).collect(),
        keys: with_row(findings, &[]).len(),
        ..Table::default()
    }
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
        ..Table::default()
    }
}

pub(crate) fn has_budgets(findings: &Findings) -> bool {
    findings.comparison.images_per_class != [0]
}

/// The columns that name a line, and these.
pub(crate) fn with_row(findings: &Findings, columns: &[String]) -> Vec<String> {
    let budgets = has_budgets(findings).then(|| "images a class".to_owned());
    let names = std::iter::once("row".to_owned()).chain(budgets);
    names.chain(columns.iter().cloned()).collect()
}

/// The cells that name a line.
pub(crate) fn named(findings: &Findings, row: &Summary) -> Vec<String> {
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
pub(crate) fn short(n: u64) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
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
    }
}
