//! What the times of a run say, as text.

use crate::contender::Group;
use crate::record::{Record, Times};
use std::fmt::Write;

/// Smallest, median and largest of some numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => (values.get(middle.wrapping_sub(1))? + values.get(middle)?) / 2.0,
            _ => *values.get(middle)?,
        };
        Some(Self {
            min: *values.first()?,
            median,
            max: *values.last()?,
        })
    }
}

/// How many times faster `ours` was than `rival`, round by round.
fn ratios(ours: &Times, rival: &Times) -> Option<Spread> {
    let pairs = rival.seconds_per_step.iter().zip(&ours.seconds_per_step);
    Spread::of(pairs.map(|(rival, ours)| rival / ours))
}

/// The one of a group with the lowest median.
fn best(record: &Record, group: Group) -> Option<&Times> {
    let median = |t: &Times| Spread::of(t.seconds_per_step.iter().copied()).map(|s| s.median);
    let members = record.times.iter().filter(|t| t.group == Some(group));
    let timed = members.filter_map(|t| Some((t, median(t)?)));
    timed.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(t, _)| t)
}

/// The table and the sentences below it.
pub fn text(record: &Record) -> String {
    table(record).unwrap_or_else(|_| "nothing was timed".into())
}

fn table(record: &Record) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let machine = &record.machine;
    writeln!(out, "{}: {}", record.workload, record.about)?;
    writeln!(
        out,
        "{}, {} cores; {} rounds; load {:.2}{}",
        machine.cpu,
        machine.cores,
        record.gemm_flops_per_second.len(),
        machine.load[0],
        if machine.is_busy() {
            ": SOMETHING ELSE IS COMPUTING, these times are worth little"
        } else {
            ""
        }
    )?;
    let seconds = format!("ms per {}", record.unit);
    writeln!(
        out,
        "\n{:<22}{seconds:>28}{:>18}{:>27}",
        "", "peak memory, MiB", "rival / ours"
    )?;
    writeln!(
        out,
        "{:<22}{:>10}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}",
        "", "min", "median", "max", "all", "of work", "min", "median", "max"
    )?;
    for times in &record.times {
        row(&mut out, record, times)?;
    }
    for absent in &record.absent {
        writeln!(out, "{}: did not take part\n{}", absent.name, absent.why)?;
    }
    writeln!(out)?;
    let threads = record.times.first().map(|t| t.threads);
    let ours = record
        .times
        .iter()
        .filter(|t| t.group.is_none() && Some(t.threads) == threads);
    let groups = [Group::F32, Group::Bf16];
    for (ours, group) in ours.flat_map(|t| groups.map(|g| (t, g))) {
        let Some(rival) = best(record, group) else {
            continue;
        };
        if let Some(ratio) = ratios(ours, rival) {
            let name = &ours.name;
            writeln!(
                out,
                "{name} against the best of {group} ({}): {:.2} times faster ({:.2} to {:.2}); peak memory {:.2} times, {:.2} \
                 times without program and libraries",
                label(rival),
                ratio.median,
                ratio.min,
                ratio.max,
                ours.peak_kib as f64 / rival.peak_kib as f64,
                ours.work_kib() as f64 / rival.work_kib() as f64,
            )?;
        }
    }
    products(&mut out, record)?;
    Ok(out)
}

fn label(times: &Times) -> String {
    use crate::contender::Attention::{Bmm, Sdpa};
    match times.attention {
        Some(Sdpa) => format!("{}, sdpa", times.name),
        Some(Bmm) => format!("{}, bmm", times.name),
        None => times.name.clone(),
    }
}

fn row(out: &mut String, record: &Record, times: &Times) -> std::fmt::Result {
    let Some(spread) = Spread::of(times.seconds_per_step.iter().map(|s| s * 1e3)) else {
        return Ok(());
    };
    write!(
        out,
        "{:<22}{:>10.1}{:>9.1}{:>9.1}{:>9}{:>9}",
        label(times),
        spread.min,
        spread.median,
        spread.max,
        times.peak_kib / 1024,
        times.work_kib() / 1024
    )?;
    let ours = record.times.first().filter(|o| o.name != times.name);
    if let Some(ratio) = ours.and_then(|ours| ratios(ours, times)) {
        write!(
            out,
            "{:>9.2}{:>9.2}{:>9.2}",
            ratio.min, ratio.median, ratio.max
        )?;
    }
    writeln!(out)
}

/// Steps beside the machine's matrix products, and beside each other's.
fn products(out: &mut String, record: &Record) -> std::fmt::Result {
    let peak = Spread::of(record.gemm_flops_per_second.iter().copied());
    for times in &record.times {
        let spread = Spread::of(times.seconds_per_step.iter().copied());
        let (Some(flops), Some(peak), Some(spread)) = (times.flops_per_step, peak, spread) else {
            continue;
        };
        if record
            .times
            .first()
            .is_none_or(|o| o.threads != times.threads)
        {
            continue; // the peak is that of all threads
        }
        let rate = flops / spread.median;
        writeln!(
            out,
            "{}: {:.1} GFLOP per {} at {:.0} GFLOP/s, {:.0} % of the {:.0} that `gemm` reached in this run",
            times.name,
            flops / 1e9,
            record.unit,
            rate / 1e9,
            100.0 * rate / peak.max,
            peak.max / 1e9,
        )?;
    }
    let Some((ours, rivals)) = record.times.split_first() else {
        return Ok(());
    };
    for rival in rivals {
        let flops = (ours.flops_per_step, rival.flops_per_step);
        let (Some(mine), Some(theirs)) = flops else {
            continue;
        };
        if mine == theirs {
            continue;
        }
        if let Some(ratio) = ratios(ours, rival) {
            writeln!(
                out,
                "{} has {:.2} times the multiply-accumulates; ours is faster by {:.2} of that",
                rival.name,
                theirs / mine,
                ratio.median / (theirs / mine),
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_its_median_in_the_middle() {
        let odd = Spread::of([3.0, 1.0, 7.0]).unwrap();
        assert_eq!((odd.min, odd.median, odd.max), (1.0, 3.0, 7.0));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 8.0]).unwrap().median, 3.0);
        assert_eq!(Spread::of([]), None);
    }
}
