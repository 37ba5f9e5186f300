//! A workload's contenders, in turns: one computes, the others wait.

use crate::Result;
use crate::child::Child;
use crate::contender::{Attention, Contender};
use crate::machine::{self, Machine};
use crate::options::Options;
use crate::peak::Peak;
use crate::record::{Absent, Record, Times};
use crate::workload::Workload;
use std::time::Duration;

/// Turns in which a peer's attentions are compared; the fastest of each counts.
const DUEL: usize = 3;
/// Seconds of a turn of the measurement of the machine's products.
const PEAK_SECONDS: f64 = 0.5;

/// One that is running.
struct Runner {
    contender: Contender,
    attention: Option<Attention>,
    child: Child,
    /// Steps of a turn.
    steps: u64,
    /// Seconds of the very first step, in which a compiling peer compiles.
    first_step: f64,
    /// Peak of memory until the rounds began.
    peak_before_kib: u64,
    seconds_per_step: Vec<f64>,
}

/// Times a workload. `tell` receives what is being done, for whoever waits.
pub fn race(workload: &Workload, options: &Options, tell: &dyn Fn(&str)) -> Result<Record> {
    let (machine, started) = (Machine::now()?, machine::time_stamp()?);
    let mut peak = Peak::new(options.threads()?);
    let (mut runners, mut absent) = (Vec::new(), Vec::new());
    for contender in contenders(workload, options)? {
        tell(&format!("starting {}", contender.name()));
        match Runner::fastest(contender, workload, options) {
            Ok(runner) => runners.push(runner),
            Err(error) if contender.may_fail() => absent.push(Absent {
                name: contender.name().into(),
                why: error.to_string(),
            }),
            Err(error) => return Err(format!("{}: {error}", contender.name()).into()),
        }
    }
    let mut rates = Vec::new();
    for round in 0..options.warm_up + options.rounds {
        let counts = round >= options.warm_up;
        if round == options.warm_up {
            runners.iter_mut().try_for_each(Runner::forget_peak)?;
        }
        tell(&match counts {
            true => format!(
                "round {} of {}",
                round + 1 - options.warm_up,
                options.rounds
            ),
            false => format!("warm-up {} of {}", round + 1, options.warm_up),
        });
        // Everyone is first in some round, and everyone follows everyone.
        let first = round % runners.len();
        let (behind, ahead) = runners.split_at_mut(first);
        for runner in ahead.iter_mut().chain(behind) {
            let seconds = runner.turn(options)?;
            if counts {
                runner.seconds_per_step.push(seconds);
            }
        }
        rest(options);
        let rate = peak.measure(PEAK_SECONDS);
        if counts {
            rates.push(rate);
        }
    }
    Ok(Record {
        workload: workload.name.into(),
        about: workload.about.into(),
        unit: workload.unit().into(),
        started,
        machine,
        load_at_end: machine::load()?,
        options: options.into(),
        gemm_flops_per_second: rates,
        times: runners.iter().map(Runner::times).collect::<Result<_>>()?,
        absent,
    })
}

/// Ours, and the rivals that were not left out.
fn contenders(workload: &Workload, options: &Options) -> Result<Vec<Contender>> {
    let all = std::iter::once(&Contender::Ours).chain(workload.rivals);
    let names: Vec<&str> = all.map(|c| c.name()).collect();
    let only = options.only.as_deref();
    if let Some(unknown) = only.and_then(|o| o.iter().find(|n| !names.contains(&n.as_str()))) {
        let (name, known) = (workload.name, names.join(", "));
        return Err(format!("{name} has no contender `{unknown}`, but {known}").into());
    }
    let kept = |rival: &&Contender| only.is_none_or(|o| o.iter().any(|n| n == rival.name()));
    let rivals = workload.rivals.iter().filter(kept).copied();
    Ok(std::iter::once(Contender::Ours).chain(rivals).collect())
}

fn rest(options: &Options) {
    std::thread::sleep(Duration::from_secs_f64(options.pause));
}

impl Runner {
    /// Starts a contender; if it has a choice of attentions, with the one that is faster here.
    fn fastest(contender: Contender, workload: &Workload, options: &Options) -> Result<Self> {
        let start = |attention| Self::start(contender, attention, workload, options);
        let attentions = contender.attentions(options);
        let mut candidates = attentions
            .into_iter()
            .map(start)
            .collect::<Result<Vec<_>>>()?;
        let mut best = vec![f64::INFINITY; candidates.len()];
        if candidates.len() > 1 {
            for _ in 0..DUEL {
                for (candidate, best) in candidates.iter_mut().zip(&mut best) {
                    *best = best.min(candidate.turn(options)?);
                }
            }
        }
        let fastest = (0..best.len()).min_by(|&a, &b| best[a].total_cmp(&best[b]));
        Ok(candidates.swap_remove(fastest.ok_or("a contender without attention")?))
    }

    fn start(
        contender: Contender,
        attention: Option<Attention>,
        workload: &Workload,
        options: &Options,
    ) -> Result<Self> {
        let command = contender.command(workload, attention, options)?;
        let mut child = Child::start(command)?;
        let first_step = child.steps(1)?;
        let second = child.steps(1)?;
        let guess = (options.turn / second).clamp(1.0, 1e6) as u64;
        let per_step = child.steps(guess)? / guess as f64;
        Ok(Self {
            contender,
            attention,
            child,
            steps: (options.turn / per_step).ceil().clamp(1.0, 1e6) as u64,
            first_step,
            peak_before_kib: 0,
            seconds_per_step: Vec::new(),
        })
    }

    /// Seconds per step of one turn, after a rest.
    fn turn(&mut self, options: &Options) -> Result<f64> {
        rest(options);
        let seconds = self.child.steps(self.steps);
        let seconds = seconds.map_err(|e| format!("{} failed: {e}", self.contender.name()))?;
        Ok(seconds / self.steps as f64)
    }

    fn forget_peak(&mut self) -> Result<()> {
        self.peak_before_kib = self.child.memory()?.peak_kib;
        self.child.forget_peak()
    }

    fn times(&self) -> Result<Times> {
        let ready = &self.child.ready;
        Ok(Times {
            name: self.contender.name().into(),
            group: self.contender.group(),
            attention: self.attention,
            version: ready.version.clone(),
            threads: ready.threads,
            flops_per_step: ready.flops_per_step,
            steps_per_turn: self.steps,
            first_step_seconds: self.first_step,
            baseline_kib: ready.baseline_kib,
            peak_of_warm_up_kib: self.peak_before_kib,
            peak_kib: self.child.memory()?.peak_kib,
            seconds_per_step: self.seconds_per_step.clone(),
        })
    }
}
