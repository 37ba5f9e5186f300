//! The findings for programs: comma-separated values with every digit.

use crate::aggregate::Stat;
use crate::drawn::{PROBE, REAL, interval_of, measures};
use crate::findings::Findings;
use learngene_eval::metrics::{Interval, Rise};

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
    let mut line = |of: &[String; 3],
                    quantity: &str,
                    guidance: &str,
                    value: Option<f64>,
                    interval: Option<Interval>| {
        let Some(value) = value else { return };
        let end = |end: Option<f64>| end.map_or(String::new(), |x| x.to_string());
        let cells = [
            quantity.into(),
            guidance.into(),
            value.to_string(),
            end(interval.map(|i| i.low)),
            end(interval.map(|i| i.high)),
        ];
        text += &record(&[&of[..], &cells[..]].concat());
    };
    for row in &findings.rows {
        for of_seed in &row.by_seed {
            let images = row.images_per_class.to_string();
            let of = [row.name.clone(), images, of_seed.seed.to_string()];
            line(&of, "v_loss_validation", "", of_seed.validation, None);
            line(&of, "v_loss", "", Some(of_seed.velocity), None);
            line(&of, "epsilon_loss", "", Some(of_seed.epsilon), None);
            let mut beside = row.against.iter().flat_map(|against| &against.by_seed);
            if let Some(found) = beside.find(|s| s.seed == of_seed.seed) {
                let Rise { percent, interval } = found.rise;
                line(&of, "v_loss_rise_percent", "", Some(percent), interval);
            }
            for drawn in &of_seed.drawn {
                let guidance = drawn.guidance.to_string();
                let interval = Some(interval_of(&drawn.probe));
                line(&of, PROBE, &guidance, drawn.probe.rate, interval);
                for m in &drawn.measures {
                    line(&of, &key(&m.name), &guidance, Some(m.value), m.interval);
                }
            }
        }
    }
    let real = &findings.real;
    let of = [REAL, "", ""].map(String::from);
    let probe = &real.probe.overall;
    line(&of, PROBE, "", probe.rate, Some(interval_of(probe)));
    for m in &real.measures {
        line(&of, &key(&m.name), "", Some(m.value), m.interval);
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
    fn cells_with_commas_and_quotes_are_quoted() {
        let cells = ["a,b", "say \"x\"", "plain"].map(String::from);
        assert_eq!(record(&cells), "\"a,b\",\"say \"\"x\"\"\",plain\n");
    }
}
