//! What stands around a network in the folder of a pipeline of diffusers: its scheduler, and the names of its classes.
//!
//! Of a scheduler, the betas and what is predicted belong to the model. How it goes through the times when it draws does
//! not: here that is chosen when something is drawn.

use super::Remark;
use crate::error::{Error, Result};
use learngene_diffusion::{Schedule, ScheduleKind, Target};
use learngene_formats::shards;
use learngene_train::RunConfig;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The description of a pipeline.
const INDEX: &str = "model_index.json";
/// That of its scheduler.
const SCHEDULER: &str = "scheduler/scheduler_config.json";

/// Schedulers whose absent settings are those of DDPM.
const AS_DDPM: [&str; 15] = [
    "DDIMInverseScheduler",
    "DDIMParallelScheduler",
    "DDIMScheduler",
    "DDPMParallelScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepInverseScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "SASolverScheduler",
    "UniPCMultistepScheduler",
];
/// How far the two amplitudes of a step may lie from those of a schedule here without a word: diffusers computes in f32.
const SAME: f64 = 1e-6;
/// And with a warning: what a last step without any signal changes about the others.
const NEAR: f64 = 0.01;

/// The folder of the pipeline around that of a network, if there is one.
fn around(folder: &Path) -> Option<PathBuf> {
    let whole = folder.canonicalize().ok()?;
    let parent = whole.parent()?;
    let is_one = parent.join(INDEX).is_file() || parent.join(SCHEDULER).is_file();
    is_one.then(|| parent.to_path_buf())
}

/// Gives the configuration of a network in `folder` the schedule, the target and the class names of the pipeline around it.
/// What a model of ours says of itself (`ours`) must not be another thing.
///
/// # Errors
/// A scheduler that is none of those here, or says other than the model; class names that are not those of its classes.
pub(super) fn apply(config: &mut RunConfig, folder: &Path, ours: bool) -> Result<Vec<Remark>> {
    let mut remarks = Vec::new();
    let Some(root) = around(folder) else {
        let unknown = (!ours).then(unknown_schedule);
        return Ok(unknown.into_iter().collect());
    };
    let path = root.join(SCHEDULER);
    if path.is_file() {
        let refuse = |reason: String| Error::Import {
            path: path.clone(),
            reason: format!(
                "{reason}. If the scheduler is not that of the network, import a copy of the folder {} alone",
                folder.display()
            ),
        };
        let described: Map<String, Value> = shards::read_json(&path)?;
        let scheduler = Scheduler::understand(&described).map_err(refuse)?;
        let train = &mut config.train;
        let found = (scheduler.kind, scheduler.steps, scheduler.target);
        let known = (
            train.schedule,
            train.diffusion_steps,
            train.objective.target,
        );
        if ours && found != known {
            return Err(refuse(format!(
                "it has the {} schedule of {} steps and the target {}, but the model says {}, {} and {}",
                found.0, found.1, found.2, known.0, known.1, known.2
            )));
        }
        (
            train.schedule,
            train.diffusion_steps,
            train.objective.target,
        ) = found;
        remarks.extend(scheduler.remarks);
    } else if !ours {
        remarks.push(unknown_schedule());
    }
    let path = root.join(INDEX);
    if path.is_file() && !ours {
        let described: Map<String, Value> = shards::read_json(&path)?;
        if let Some(names) = described.get("id2label").filter(|names| !names.is_null()) {
            config.classes = classes(names, config.model.num_classes)
                .map_err(|reason| Error::Import { path, reason })?;
        }
    }
    Ok(remarks)
}

/// What is said where nothing says what a network predicts.
pub(super) fn unknown_schedule() -> Remark {
    Remark::Note(
        "nothing beside the weights says what the network predicts: it is taken for the noise on the linear schedule of 1000 \
         steps, as in the published DiT"
            .into(),
    )
}

/// What a scheduler says of the network.
#[derive(Debug)]
struct Scheduler {
    kind: ScheduleKind,
    steps: usize,
    target: Target,
    remarks: Vec<Remark>,
}

impl Scheduler {
    fn understand(described: &Map<String, Value>) -> std::result::Result<Self, String> {
        let get = |key: &str| described.get(key).filter(|value| !value.is_null());
        let text = |key: &str, default: &'static str| match get(key) {
            None => Ok(default.to_owned()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(format!("`{key}` is {other}, expected a text")),
        };
        let is_on = |key: &str| get(key).is_some_and(|value| *value != Value::Bool(false));
        let class = text("_class_name", "none")?;
        let prediction = text("prediction_type", "epsilon")?;
        if class.starts_with("FlowMatch") || is_on("use_flow_sigmas") {
            return Err(format!(
                "`_class_name` is {class}{}: the network predicts the velocity on a straight path, which has no betas; \
                 only the noise and v of a diffusion can be learned or drawn with here",
                if is_on("use_flow_sigmas") {
                    " with `use_flow_sigmas`"
                } else {
                    ""
                }
            ));
        }
        let known = AS_DDPM.contains(&class.as_str());
        let needed = ["beta_schedule", "beta_start", "beta_end", "prediction_type"];
        if !known && let Some(key) = needed.iter().find(|key| get(key).is_none()) {
            return Err(format!(
                "`_class_name` is {class} and `{key}` is missing: what it has by default is not known here"
            ));
        }
        let target = match prediction.as_str() {
            "epsilon" => Target::Epsilon,
            "v_prediction" => Target::Velocity,
            _ => {
                return Err(format!(
                    "`prediction_type` is {prediction}, expected epsilon or v_prediction"
                ));
            }
        };
        let betas = Betas::understand(described, get)?;
        let (kind, apart) = betas.nearest()?;
        let mut remarks = Vec::new();
        if apart > SAME {
            let named = betas.named;
            if apart > NEAR {
                return Err(format!(
                    "{named} are no schedule that there is here: the nearest, {kind}, is {apart:.3} away in the share of \
                     the image or of the noise in a step"
                ));
            }
            remarks.push(Remark::Warning(format!(
                "{named} are not exactly a schedule that there is here: taken is the nearest, {kind}, in whose steps the \
                 shares of image and noise are up to {apart:.1e} away{}",
                if betas.zero_snr {
                    "; its last step keeps a trace of the image, where `rescale_betas_zero_snr` leaves none"
                } else {
                    ""
                }
            )));
        }
        let sampling = [
            ("timestep_spacing", Value::from("trailing")),
            ("thresholding", true.into()),
            ("use_karras_sigmas", true.into()),
            ("use_exponential_sigmas", true.into()),
            ("use_beta_sigmas", true.into()),
        ];
        let sampling = sampling
            .iter()
            .filter(|(key, value)| get(key) == Some(value));
        let sampling: Vec<String> = sampling
            .map(|(key, value)| format!("`{key}` {value}"))
            .collect();
        if !sampling.is_empty() {
            remarks.push(Remark::Note(format!(
                "its scheduler draws with {}: how to draw is no part of a model here, choose it with `learngene sample`",
                sampling.join(", ")
            )));
        }
        Ok(Self {
            kind,
            steps: betas.values.len(),
            target,
            remarks,
        })
    }
}

/// The noise that each step of a scheduler adds, and the settings that say so.
struct Betas {
    values: Vec<f64>,
    zero_snr: bool,
    named: String,
}

impl Betas {
    fn understand<'a>(
        described: &Map<String, Value>,
        get: impl Fn(&str) -> Option<&'a Value>,
    ) -> std::result::Result<Self, String> {
        let steps = get("num_train_timesteps").map_or(Some(1000), Value::as_u64);
        let steps = steps.and_then(|steps| usize::try_from(steps).ok());
        let expected = "expected a whole number from 1 to 100000";
        let Some(steps) = steps.filter(|steps| (1..=100_000).contains(steps)) else {
            let found = described.get("num_train_timesteps");
            let found = found.map_or_else(String::new, Value::to_string);
            return Err(format!("`num_train_timesteps` is {found}, {expected}"));
        };
        let number = |key: &str, default: f64| match get(key) {
            None => Ok(default),
            Some(value) => value
                .as_f64()
                .ok_or_else(|| format!("`{key}` is {value}, expected a number")),
        };
        let (start, end) = (number("beta_start", 1e-4)?, number("beta_end", 0.02)?);
        let name = get("beta_schedule").map_or("linear", |name| name.as_str().unwrap_or_default());
        let line = |from: f64, to: f64| {
            let intervals = (steps - 1).max(1) as f64;
            (0..steps).map(move |i| from + (to - from) * (i as f64 / intervals))
        };
        let zero_snr = get("rescale_betas_zero_snr") == Some(&Value::Bool(true));
        let mut named = format!("`beta_schedule` {name}");
        let values: Vec<f64> = match (get("trained_betas"), name) {
            (Some(Value::Array(betas)), _) => {
                named = "`trained_betas`".into();
                let betas: Option<Vec<f64>> = betas.iter().map(Value::as_f64).collect();
                betas.ok_or("`trained_betas` holds something that is no number")?
            }
            (Some(other), _) => {
                return Err(format!("`trained_betas` is {other}, expected a list"));
            }
            (None, "linear") => line(start, end).collect(),
            (None, "scaled_linear") => line(start.sqrt(), end.sqrt()).map(|b| b * b).collect(),
            (None, "squaredcos_cap_v2") => {
                let level = |i: usize| {
                    let time = (i as f64 / steps as f64 + 0.008) / 1.008;
                    (time * std::f64::consts::FRAC_PI_2).cos().powi(2)
                };
                let beta = |i: usize| (1.0 - level(i + 1) / level(i)).min(0.999);
                (0..steps).map(beta).collect()
            }
            _ => {
                let found = get("beta_schedule").map_or_else(String::new, Value::to_string);
                return Err(format!(
                    "`beta_schedule` is {found}, expected linear, scaled_linear or squaredcos_cap_v2"
                ));
            }
        };
        if name != "squaredcos_cap_v2" && get("trained_betas").is_none() {
            named += &format!(" with `beta_start` {start} and `beta_end` {end}");
        }
        if zero_snr {
            named += " and `rescale_betas_zero_snr`";
        }
        if values.len() != steps {
            let found = values.len();
            return Err(format!(
                "`trained_betas` are {found} and `num_train_timesteps` is {steps}, expected as many"
            ));
        }
        if let Some(beta) = values.iter().find(|beta| !(0.0..1.0).contains(*beta)) {
            return Err(format!(
                "{named}: a beta is {beta}, expected from 0 to below 1"
            ));
        }
        Ok(Self {
            values,
            zero_snr,
            named,
        })
    }

    /// Square roots of what is left of the image after each step.
    fn amplitudes(&self) -> Vec<f64> {
        let kept = self.values.iter().scan(1.0, |product, beta| {
            *product *= 1.0 - beta;
            Some(f64::sqrt(*product))
        });
        let mut kept: Vec<f64> = kept.collect();
        let (first, last) = (kept[0], kept[kept.len() - 1]);
        if self.zero_snr && first > last {
            let rescaled = |a: &mut f64| *a = (*a - last) * first / (first - last);
            kept.iter_mut().for_each(rescaled);
        }
        kept
    }

    /// The schedule here that is nearest, and how far away its amplitudes are.
    fn nearest(&self) -> std::result::Result<(ScheduleKind, f64), String> {
        let theirs = self.amplitudes();
        let noise = |a: f64| (1.0 - a * a).max(0.0).sqrt();
        let apart = |kind: ScheduleKind| {
            let ours = Schedule::new(kind, theirs.len()).ok()?;
            let pairs = ours.alpha_bars().iter().map(|a| a.sqrt()).zip(&theirs);
            let apart = pairs.map(|(a, b)| (a - b).abs().max((noise(a) - noise(*b)).abs()));
            Some((kind, apart.fold(0.0, f64::max)))
        };
        let all = [ScheduleKind::Linear, ScheduleKind::Cosine];
        let nearest = all.into_iter().filter_map(apart);
        let nearest = nearest.min_by(|a, b| a.1.total_cmp(&b.1));
        nearest.ok_or_else(|| {
            format!(
                "`num_train_timesteps` is {}, for which there is no schedule here",
                theirs.len()
            )
        })
    }
}

/// The names of classes in `id2label`: of each the first of those that it has, where no other class has it too.
fn classes(names: &Value, count: usize) -> std::result::Result<Vec<String>, String> {
    let expected = "expected a text for each number of a class";
    let Value::Object(names) = names else {
        return Err(format!("`id2label` is {names}, {expected}"));
    };
    let mut whole: Vec<Option<&str>> = vec![None; count];
    for (key, value) in names {
        let number: Option<usize> = key.trim().parse().ok();
        let Some(place) = number.and_then(|number| whole.get_mut(number)) else {
            return Err(format!(
                "`id2label` has `{key}`, which is no number of the {count} classes"
            ));
        };
        let Some(text) = value.as_str() else {
            return Err(format!("`id2label` has {value} for `{key}`, {expected}"));
        };
        *place = Some(text.trim());
    }
    let number = |i: usize| i.to_string();
    let first = |name: &str| name.split(',').next().unwrap_or_default().trim().to_owned();
    let short: Vec<String> = whole
        .iter()
        .enumerate()
        .map(|(i, name)| {
            name.map(first)
                .filter(|n| !n.is_empty())
                .unwrap_or_else(|| number(i))
        })
        .collect();
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<&String> = short.iter().filter(|name| !seen.insert(*name)).collect();
    let unique = short.iter().zip(&whole).enumerate();
    let unique: Vec<String> = unique
        .map(|(i, (name, whole))| match (twice.contains(name), whole) {
            (false, _) => name.clone(),
            (true, Some(whole)) if whole.contains(',') => (*whole).to_owned(),
            (true, _) => format!("{name} {i}"),
        })
        .collect();
    let all: BTreeSet<&String> = unique.iter().collect();
    match all.len() == count {
        true => Ok(unique),
        false => Ok((0..count).map(|i| format!("{} {i}", short[i])).collect()),
    }
}
