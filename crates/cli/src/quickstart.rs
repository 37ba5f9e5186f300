//! The main job, whole: pre-train, look at what learngene and tailors do, assemble, transfer, report.

mod judge;
mod page;
mod results;
pub mod swaps;
mod transferred;

use crate::args;
use crate::failure::{Failure, Result};
use crate::{model, output, progress, training, verbs};
pub use judge::{Drawing, Judge, Verdict};
use learngene_compare::{Lab, first_images};
use learngene_data::{Dataset, Image, Split};
use learngene_diffusion::{Clip, SamplerKind, Sampling};
use learngene_eval::Rates;
use learngene_formats::Kind;
use learngene_nn::cost::{self, Plan};
use learngene_nn::{Dit, params};
use learngene_train::{
    DataConfig, Error, Evaluation, Event, Gating, Run, RunConfig, TrainConfig, require_precision,
    weights,
};
use serde::Serialize;
use std::path::Path;
use std::time::Instant;
use transferred::Transferred;

/// The default of `--minutes`, at which everything is done at [`Effort::FULL`].
pub const MINUTES: f64 = 5.0;
/// Steps in which images are drawn.
const DRAWING: usize = 16;
/// Classes of the example assembly.
const ASSEMBLED: usize = 4;

/// How much is done.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Steps of pre-training and of the transfer.
    steps: [u64; 2],
    /// Draws of each validation image for the losses that are reported.
    repeats: usize,
    /// Images of each class that are judged.
    judged: usize,
    /// Images of each class that are shown.
    shown: usize,
}

impl Effort {
    const FULL: Self = Self {
        steps: [1200, 150],
        repeats: 8,
        judged: 12,
        shown: 6,
    };

    /// Training grows and shrinks with the share; pictures and figures only shrink, as far as a page needs them.
    fn of(share: f64) -> Self {
        let scaled = |full: usize| ((full as f64 * share).round() as usize).clamp(2, full);
        Self {
            steps: Self::FULL
                .steps
                .map(|s| (s as f64 * share).round().max(1.0) as u64),
            repeats: scaled(Self::FULL.repeats),
            judged: scaled(Self::FULL.judged),
            shown: scaled(Self::FULL.shown),
        }
    }

    fn drawing<'a>(&self, lab: &'a Lab, model: &'a Dit, classes: usize) -> Drawing<'a> {
        Drawing {
            lab,
            model,
            classes,
            judged: self.judged,
            shown: self.shown,
        }
    }
}

/// Everything the report shows.
pub struct Findings {
    pub base: Pretrained,
    pub diversion: Diversion,
    pub assembly: Assembly,
    pub novel: Transferred,
    pub control: Option<Control>,
    /// Seconds of each stage, by name.
    pub stages: Vec<(&'static str, f64)>,
}

/// The pre-trained model and how it came about.
pub struct Pretrained {
    pub config: RunConfig,
    pub events: Vec<Event>,
    pub model: Dit,
}

/// What the tailors do.
pub struct Diversion {
    /// Validation with the right tailor, none and a wrong one.
    pub gates: [Evaluation; 3],
    pub verdicts: Vec<Verdict>,
    /// The probe on real test images.
    pub real: Rates,
    /// Real test images of each class.
    pub images: Vec<Vec<Image>>,
    /// For the first drawn image of each class, the training image nearest to it.
    pub nearest: Vec<Image>,
}

/// A model of some of the classes.
#[derive(Serialize)]
pub struct Assembly {
    pub classes: Vec<String>,
    /// Whether its images are bit for bit those of the whole.
    pub equal: bool,
    /// Size of its file, and of the tensors in it, which the plan predicts.
    pub file_bytes: u64,
    pub tensor_bytes: u64,
    /// The whole, the assembly, the learngene alone.
    pub plans: [Plan; 3],
}

/// The dense model of the same steps, and class-gated tailors on it.
pub struct Control {
    pub base: Evaluation,
    pub novel: Transferred,
    /// What the probe says of its images of the base classes, guidance 1 and 2.
    pub verdicts: Vec<Verdict>,
}

/// Runs it.
pub fn run(args: &args::Quickstart, device: &str) -> Result<()> {
    let share = args.minutes / MINUTES;
    if !(share.is_finite() && share > 0.0) {
        let message = format!("--minutes is {}, expected a positive number", args.minutes);
        return Err(Failure::Usage(message));
    }
    let device = model::device(device)?.autodiff();
    let out = &args.out;
    let precision = args.precision.into();
    require_precision(precision, &device)?;
    refuse_what_exists(out)?;
    let effort = Effort::of(share);
    let steps = effort.steps;
    let (base_data, base) = load("base")?;
    let (novel_data, novel) = load("novel")?;
    let mut clock = Clock::start(if args.control { 6 } else { 5 });

    let start = |matrices, folder: &str| -> Result<Pretrained> {
        let mut config = verbs::start(base_data.clone(), &base, verbs::SIZE, &matrices)?;
        config.train = TrainConfig {
            steps: steps[0],
            seed: args.seed,
            precision,
            ..pretraining()
        };
        let start = Dit::init(&config.model, config.init, args.seed, &device)?;
        let folder = out.join(folder);
        let run = Run::create(&folder, config.clone(), start)?;
        let mut events = Vec::new();
        let done = training::train(run, &base, "pre-training", &mut events);
        Ok(Pretrained {
            config,
            events,
            model: done.map_err(|f| f.in_run(&folder))?.model,
        })
    };
    let extend = |trained: &Pretrained, rank, judges: &Judges<'_>, folder: &str| {
        let folder = out.join(folder);
        Transferred::train(
            trained,
            rank,
            (&novel_data, &novel),
            steps[1],
            &folder,
            judges,
        )
    };

    clock.next(
        "pre-training",
        &format!("{} steps on {} classes", steps[0], base.classes().len()),
    )?;
    let trained = start(verbs::Matrices::Factors(None), "base")?;
    let config = &trained.config;
    let sampling = Sampling {
        steps: DRAWING,
        ..sampling()
    };
    let lab = Lab {
        precision,
        watch: progress::watch(),
        ..Lab::of(config, sampling, args.seed, effort.repeats)?
    };

    clock.next(
        "judging",
        "losses and images with the right tailor, none and a wrong one",
    )?;
    let judge = Judge::train(&base)?;
    let diversion = Diversion::measure(&trained.model, &base, &lab, &judge, effort)?;

    clock.next("assembling", &format!("a model of {ASSEMBLED} classes"))?;
    let assembly = Assembly::make(&trained, &lab, &out.join("assembly.safetensors"))?;

    clock.next(
        "transfer",
        &format!("tailors for {} new classes", novel.classes().len()),
    )?;
    let judges = Judges {
        lab: &lab,
        effort,
        novel: &Judge::train(&novel)?,
    };
    let rank = config.model.tailor_rank;
    let moved = extend(&trained, rank, &judges, "novel")?;

    let control = if args.control {
        clock.next("control", "a dense model, and class-gated tailors on it")?;
        let dense = start(verbs::Matrices::Dense, "dense")?;
        Some(Control {
            base: lab.losses(&dense.model, &base, Split::Val, Gating::Right)?,
            verdicts: judge.own(effort.drawing(&lab, &dense.model, base.classes().len()))?,
            novel: extend(&dense, rank, &judges, "dense-novel")?,
        })
    } else {
        None
    };

    clock.next("report", "")?;
    let findings = Findings {
        base: trained,
        diversion,
        assembly,
        novel: moved,
        control,
        stages: clock.stop(),
    };
    let path = out.join("report.html");
    output::write(&path, page::report(&findings)?.to_html().as_bytes())?;
    let results = results::of(&findings);
    let text = serde_json::to_vec_pretty(&results).unwrap_or_default();
    output::write(&out.join("results.json"), &text)?;
    output::json(&results);
    results::summary(&findings)
        .iter()
        .for_each(|line| output::say(line));
    output::wrote_as("report", &path);
    output::keep(out);
    let kept = findings.control.iter().map(|c| &c.novel);
    if !findings.assembly.equal {
        return Err(Failure::Check(
            "the assembly draws other images than the whole",
        ));
    }
    if !kept.chain([&findings.novel]).all(|t| t.learngene_kept) {
        return Err(Failure::Check("a transfer changed the learngene"));
    }
    Ok(())
}

/// How bases train; `docs/performance.md` has what was tried.
fn pretraining() -> TrainConfig {
    TrainConfig {
        lr: 2e-3,
        ema: 0.99,
        decay_share: 0.5,
        classes_per_step: Some(6),
        null: 2,
        ..TrainConfig::default()
    }
}

/// How images are drawn to be judged. Ancestral noise is worth having: with guidance, images of a solver without noise are
/// less often what their tailor says.
pub fn sampling() -> Sampling {
    Sampling {
        kind: SamplerKind::Ddpm,
        steps: 25,
        clip: Clip::Range,
        ..Sampling::default()
    }
}

/// A folder with anything in it is left alone.
fn refuse_what_exists(out: &Path) -> Result<()> {
    let holds_something = std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
    if holds_something || out.is_file() {
        return Err(Failure::Train(Error::Folder {
            path: out.into(),
            message: "exists already: remove it, or choose another folder with --out".into(),
        }));
    }
    Ok(())
}

fn load(classes: &str) -> Result<(DataConfig, Dataset)> {
    let data = DataConfig {
        classes: classes.into(),
        ..DataConfig::of("builtin:emoji")
    };
    let dataset = data.load()?;
    Ok((data, dataset))
}

/// What the images of a transfer are measured with.
pub struct Judges<'a> {
    lab: &'a Lab,
    effort: Effort,
    novel: &'a Judge,
}

impl Diversion {
    fn measure(
        model: &Dit,
        data: &Dataset,
        lab: &Lab,
        judge: &Judge,
        effort: Effort,
    ) -> Result<Self> {
        let classes = data.classes().len();
        let gate = |gating| lab.losses(model, data, Split::Val, gating);
        let verdicts = judge.swaps(effort.drawing(lab, model, classes))?;
        let own = swaps::of(&verdicts, "right tailor", swaps::STRIP);
        let first = own
            .into_iter()
            .flat_map(|v| &v.shown)
            .flat_map(|images| images.first());
        let first: Vec<Image> = first.cloned().collect();
        Ok(Self {
            gates: [
                gate(Gating::Right)?,
                gate(Gating::None)?,
                gate(Gating::Wrong)?,
            ],
            real: judge.real().clone(),
            images: first_images(data, Split::Test, effort.shown)?,
            nearest: judge.nearest(&first, data)?,
            verdicts,
        })
    }
}

impl Assembly {
    fn make(whole: &Pretrained, lab: &Lab, path: &Path) -> Result<Self> {
        let classes: Vec<String> = whole.config.classes[..ASSEMBLED].to_vec();
        let (config, part) =
            learngene_transfer::assemble(&whole.config, &whole.model, &classes, None)?;
        weights::file(Kind::Model, &config, weights::of_model(&part)).write(path)?;
        let (_, read) = model::load(path, &whole.model.device())?;
        let numbers: usize = params::shapes(&part)
            .values()
            .map(|s| s.iter().product::<usize>())
            .sum();
        let first = |model| lab.images(model, ASSEMBLED, 2, swaps::STRIP, &Some);
        let mut alone = whole.config.model.clone();
        (alone.tailor_rank, alone.groups) = (0, 0);
        Ok(Self {
            classes,
            equal: first(&whole.model)? == first(&read)?,
            file_bytes: std::fs::metadata(path).map_or(0, |m| m.len()),
            tensor_bytes: (numbers * size_of::<f32>()) as u64,
            plans: [&whole.config.model, &config.model, &alone].map(cost::plan),
        })
    }
}

/// Says which stage runs and remembers how long each took.
struct Clock {
    count: usize,
    stages: Vec<(&'static str, f64)>,
    since: Instant,
}

impl Clock {
    fn start(count: usize) -> Self {
        Self {
            count,
            stages: Vec::new(),
            since: Instant::now(),
        }
    }

    /// Ctrl-C that came between two runs stops here.
    fn next(&mut self, name: &'static str, about: &str) -> Result<()> {
        self.end();
        if training::stop_requested() {
            return Err(Failure::Stopped);
        }
        self.stages.push((name, 0.0));
        let colon = if about.is_empty() { "" } else { ": " };
        output::note(&format!(
            "{}/{} {name}{colon}{about}",
            self.stages.len(),
            self.count
        ));
        Ok(())
    }

    fn end(&mut self) {
        if let Some(last) = self.stages.last_mut() {
            last.1 = self.since.elapsed().as_secs_f64();
        }
        self.since = Instant::now();
    }

    fn stop(mut self) -> Vec<(&'static str, f64)> {
        self.end();
        self.stages
    }
}
