//! The main job, whole: pre-train, look at what learngene and tailors do, assemble, transfer, report.

mod judge;
mod page;

use crate::args;
use crate::failure::Result;
use crate::{model, output, training, verbs};
use judge::{Judge, Verdict};
use learngene_data::{Dataset, Image, Split};
use learngene_diffusion::{Clip, Objective, Sampling, Schedule};
use learngene_formats::Kind;
use learngene_nn::cost::{self, Plan};
use learngene_nn::{Dit, params};
use learngene_train::{
    DataConfig, Evaluation, Event, Gating, Generation, Request, Run, RunConfig, evaluate, generate,
    weights,
};
use std::path::Path;
use std::time::Instant;

/// Steps of pre-training and of the transfer at the default of `--minutes`, and that default.
const STEPS: [f64; 2] = [1000.0, 150.0];
const MINUTES: f64 = 12.0;
const SIZE: &str = "dit-nano/4";
const RANK_SPLIT: &str = "96,8";
/// Draws of each validation image for the losses that are reported.
const REPEATS: usize = 8;
/// Images of each class that the probe judges, and of the strips that are shown.
const JUDGED: usize = 16;
const SHOWN: usize = 6;
/// Classes of the example assembly.
const ASSEMBLED: usize = 4;

/// Everything the report shows.
pub struct Findings {
    pub config: RunConfig,
    pub events: Vec<Event>,
    pub novel_events: Vec<Event>,
    pub novel_classes: Vec<String>,
    /// Validation with the right tailor, none and a wrong one.
    pub gates: [Evaluation; 3],
    pub verdicts: Vec<Verdict>,
    pub real: learngene_eval::Rates,
    /// Right tailor, none, wrong tailor: the same noise.
    pub strips: [Vec<Image>; 3],
    pub novel: [Vec<Image>; 2],
    pub novel_losses: [Evaluation; 2],
    pub plans: [Plan; 3],
    pub assembled: Vec<String>,
    pub assembly_equal: bool,
    pub assembly_bytes: u64,
    pub learngene_kept: bool,
    pub control: Option<[Evaluation; 2]>,
    pub seconds: f64,
}

/// Runs it.
pub fn run(args: &args::Quickstart, device: &str) -> Result<()> {
    let started = Instant::now();
    let device = model::device(device)?;
    let out = &args.out;
    let share = args.minutes / MINUTES;
    let steps = STEPS.map(|s| (s * share).round().max(1.0) as u64);
    let (base_data, base) = load("base")?;
    let (novel_data, novel) = load("novel")?;

    output::note("1/5 pre-training on 12 classes");
    let mut config = verbs::start(base_data.clone(), &base, SIZE, Some(RANK_SPLIT))?;
    (config.train.steps, config.train.seed) = (steps[0], args.seed);
    let mut events = Vec::new();
    let start = Dit::init(
        &config.model,
        config.init,
        args.seed,
        &device.clone().autodiff(),
    )?;
    let run = Run::create(&out.join("base"), config.clone(), start)?;
    let whole = training::train(run, &base, "base", &mut events)?.model;

    output::note("2/5 asking which tailor does what");
    let schedule = Schedule::new(config.train.schedule, config.train.diffusion_steps)?;
    let lab = Lab {
        schedule,
        objective: config.train.objective,
        seed: args.seed,
    };
    let gate = |gating| lab.losses(&whole, &base, gating);
    let gates = [
        gate(Gating::Right)?,
        gate(Gating::None)?,
        gate(Gating::Wrong)?,
    ];
    let judge = Judge::train(&base)?;
    let real = judge.real(&base)?;
    let verdicts = judge.swaps(&lab, &whole, base.classes().len())?;
    let classes = base.classes().len();
    let strip = |tailor: &dyn Fn(usize) -> Option<usize>| lab.strip(&whole, classes, tailor);
    let strips = [
        strip(&Some)?,
        strip(&|_| None)?,
        strip(&|c| Some((c + 1) % classes))?,
    ];

    output::note("3/5 assembling a model of four classes");
    let assembled: Vec<String> = base.classes()[..ASSEMBLED].to_vec();
    let (small, part) = learngene_transfer::assemble(&config, &whole, &assembled, None)?;
    let path = out.join("assembly.safetensors");
    std::fs::create_dir_all(out).ok();
    weights::file(Kind::Model, &small, &params::values(&part)).write(&path)?;
    let assembly_bytes = std::fs::metadata(&path).map_or(0, |m| m.len());
    let first = |model| lab.images(model, ASSEMBLED, 2, 2.0, &Some);
    let assembly_equal = first(&whole)? == first(&part)?;
    let mut alone = config.model.clone();
    (alone.tailor_rank, alone.groups) = (0, 0);
    let plans = [
        cost::plan(&config.model),
        cost::plan(&small.model),
        cost::plan(&alone),
    ];

    output::note("4/5 training tailors for 8 new classes");
    let novel_out = out.join("novel");
    let mut novel_events = Vec::new();
    let moved = Transferred::train(
        &config,
        &whole,
        &novel_data,
        &novel,
        steps[1],
        args.seed,
        &novel_out,
        &mut novel_events,
        &lab,
    )?;

    let control = if args.control {
        output::note("control: a dense model and class-gated tailors on it");
        let mut dense = verbs::start(base_data, &base, SIZE, None)?;
        (dense.train.steps, dense.train.seed) = (steps[0], args.seed);
        let start = Dit::init(
            &dense.model,
            dense.init,
            args.seed,
            &device.clone().autodiff(),
        )?;
        let run = Run::create(&out.join("dense"), dense.clone(), start)?;
        let trained = training::train(run, &base, "dense", &mut Vec::new())?.model;
        dense.model.tailor_rank = config.model.tailor_rank;
        let losses = lab.losses(&trained, &base, Gating::Right)?;
        let folder = out.join("dense-novel");
        let tailored = Transferred::train(
            &dense,
            &trained,
            &novel_data,
            &novel,
            steps[1],
            args.seed,
            &folder,
            &mut Vec::new(),
            &lab,
        )?;
        Some([losses, tailored.after])
    } else {
        None
    };

    output::note("5/5 writing the report");
    let findings = Findings {
        config,
        events,
        novel_events,
        novel_classes: novel.classes().to_vec(),
        gates,
        verdicts,
        real,
        strips,
        novel: moved.strips,
        novel_losses: [moved.before, moved.after],
        plans,
        assembled,
        assembly_equal,
        assembly_bytes,
        learngene_kept: moved.learngene_kept,
        control,
        seconds: started.elapsed().as_secs_f64(),
    };
    let report = page::report(&findings)?;
    let path = out.join("report.html");
    output::write(&path, report.to_html().as_bytes())?;
    page::summary(&findings)
        .iter()
        .for_each(|line| output::say(line));
    output::say(&format!("report: {}", path.display()));
    Ok(())
}

fn load(classes: &str) -> Result<(DataConfig, Dataset)> {
    let data = DataConfig {
        source: "builtin:emoji".into(),
        classes: classes.into(),
        image_size: None,
        channels: None,
        class_map: None,
    };
    let dataset = data.load()?;
    Ok((data, dataset))
}

/// What losses and images need besides a model.
pub struct Lab {
    schedule: Schedule,
    objective: Objective,
    seed: u64,
}

impl Lab {
    fn losses(&self, model: &Dit, dataset: &Dataset, gating: Gating) -> Result<Evaluation> {
        Ok(evaluate(
            model,
            &self.schedule,
            &self.objective,
            dataset,
            Split::Val,
            gating,
            REPEATS,
        )?)
    }

    /// `count` images of each class, with the tailor that `tailor` names for it.
    fn images(
        &self,
        model: &Dit,
        classes: usize,
        count: usize,
        guidance: f64,
        tailor: &dyn Fn(usize) -> Option<usize>,
    ) -> Result<Vec<Image>> {
        let request = |i: usize| {
            let class = i / count;
            let tailors = tailor(class).map(|t| (t, 1.0)).into_iter().collect();
            Request {
                label: Some(class),
                tailors,
                index: (i % count) as u64,
            }
        };
        let requests: Vec<_> = (0..classes * count).map(request).collect();
        let sampling = Sampling {
            steps: 25,
            clip: Clip::Range,
            ..Sampling::default()
        };
        let how = Generation {
            sampling,
            guidance,
            interval: None,
            seed: self.seed,
        };
        Ok(generate(
            model,
            &self.schedule,
            self.objective.target,
            &how,
            &requests,
        )?)
    }

    fn strip(
        &self,
        model: &Dit,
        classes: usize,
        tailor: &dyn Fn(usize) -> Option<usize>,
    ) -> Result<Vec<Image>> {
        self.images(model, classes, SHOWN, 2.0, tailor)
    }
}

/// A transfer and what it changed.
struct Transferred {
    before: Evaluation,
    after: Evaluation,
    strips: [Vec<Image>; 2],
    learngene_kept: bool,
}

impl Transferred {
    #[expect(
        clippy::too_many_arguments,
        reason = "one call site's worth of context, used twice"
    )]
    fn train(
        base: &RunConfig,
        whole: &Dit,
        data: &DataConfig,
        novel: &Dataset,
        steps: u64,
        seed: u64,
        folder: &Path,
        events: &mut Vec<Event>,
        lab: &Lab,
    ) -> Result<Self> {
        let device = whole.device().autodiff();
        let rank = base.model.tailor_rank;
        let (mut config, start) = learngene_transfer::with_new_tailors(
            base,
            whole,
            novel.classes(),
            rank,
            seed,
            &device,
        )?;
        config.data = data.clone();
        (config.train.steps, config.train.lr) = (steps, 3e-3);
        (config.train.warmup, config.train.ema) = (20, 0.98);
        let plain = burn::module::Module::valid(&start);
        let before = lab.losses(&plain, novel, Gating::Right)?;
        let classes = novel.classes().len();
        let before_strip = lab.strip(&plain, classes, &Some)?;
        let hash = weights::learngene_hash(&params::values(whole));
        let run = Run::create(folder, config, start)?;
        let moved = training::train(run, novel, "novel", events)?.model;
        Ok(Self {
            after: lab.losses(&moved, novel, Gating::Right)?,
            strips: [before_strip, lab.strip(&moved, classes, &Some)?],
            learngene_kept: hash == weights::learngene_hash(&params::values(&moved)),
            before,
        })
    }
}
