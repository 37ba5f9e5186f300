//! The verbs that train: `pretrain`, `resume`, `transfer`.

use crate::failure::{Failure, Result};
use crate::run_page::Ended;
use crate::verbs::resolve;
use crate::{args, model, output, training};
use learngene_data::{Batches, ClassTree, Dataset, Split};
use learngene_diffusion::Schedule;
use learngene_nn::Dit;
use learngene_train::{
    DataConfig, Inputs, Origin, Outcome, Run, RunConfig, TrainConfig, checkpoint, require_precision,
};
use learngene_transfer::Shipped;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// `pretrain`.
pub fn pretrain(args: &args::Pretrain, device: &str) -> Result<()> {
    let device = model::device(device)?.autodiff();
    let init = args.init.as_deref();
    let base = init.map(|path| model::load(path, &device)).transpose()?;
    let resolve::Pretraining {
        config,
        dataset,
        start,
    } = resolve::pretrain(args, base.as_ref())?;
    config.require_memory(&device)?;
    let model = match start {
        Some(model) => model,
        None => Dit::init(&config.model, config.init, config.train.seed, &device)?,
    };
    let inputs = Inputs::of(&dataset, init.map(Origin::at).transpose()?);
    let run = create(&args.out, config, model, &dataset)?;
    inputs.write(&args.out)?;
    finish(run, &dataset, &args.out, !args.no_report)
}

/// `resume`.
pub fn resume(args: &args::Resume, device: &str) -> Result<()> {
    let folder = &args.run;
    let (mut run, rejected) = Run::resume(folder, &model::device(device)?)?;
    rejected.iter().for_each(output::passed_over);
    if run.config_restored() {
        output::note(&format!(
            "warning: config.toml was gone from {}: it is written anew from the checkpoint of step {}, without what was \
             changed in it since",
            folder.display(),
            run.done()
        ));
    }
    let dataset = resolve::load_known(&run.config().data, Some(&run.config().classes))?;
    require_same_inputs(args, run.config(), &dataset)?;
    if let Some(steps) = args.steps {
        run.set_steps(steps)?;
    }
    let steps = run.config().train.steps;
    if run.done() >= steps {
        output::note(&format!(
            "finished: all {steps} steps are done; `learngene resume {} --steps N` trains on to N steps",
            folder.display()
        ));
    }
    finish(run, &dataset, folder, !args.no_report)
}

/// Refuses to go on with other images, or from another start, than those the run was started with, unless that is wanted.
fn require_same_inputs(args: &args::Resume, config: &RunConfig, dataset: &Dataset) -> Result<()> {
    if dataset.classes() != config.classes {
        return Err(Failure::Usage(format!(
            "the data now have the classes {}, the run was started with {}",
            dataset.classes().join(", "),
            config.classes.join(", "),
        )));
    }
    if dataset.shape() != config.model.input {
        return Err(Failure::Usage(format!(
            "the images are now {:?} (channels, height, width), the run was started with {:?}: set [data] in its \
             config.toml back",
            dataset.shape(),
            config.model.input
        )));
    }
    let then = Inputs::read(&args.run)?;
    let changes = match &then {
        Some(then) => then.changes(dataset),
        None => {
            output::note(
                "note: the run does not say what its images were, so whether they are still the same is not known",
            );
            Vec::new()
        }
    };
    if !changes.is_empty() && !args.accept_changes {
        return Err(Failure::Usage(format!(
            "not what the run was started with: {}; put it back, or go on all the same with --accept-changes",
            changes.join("; ")
        )));
    }
    for change in &changes {
        output::note(&format!("warning: {change}"));
    }
    if then.is_none() || !changes.is_empty() {
        let start = then.and_then(|then| then.start);
        let start = start.map(|start| Origin::at(&start.path).unwrap_or(start));
        Inputs::of(dataset, start).write(&args.run)?;
    }
    Ok(())
}

/// `transfer`.
pub fn transfer(args: &args::Transfer, device: &str) -> Result<()> {
    let method = learngene_transfer::method(&args.method)?;
    let (given, others) = method_settings(args)?;
    let device = model::device(device)?.autodiff();
    let (base, whole) = model::load(&args.model, &device)?;
    let wanted = DataConfig {
        classes: args.classes.clone(),
        class_map: args.class_map.clone(),
        ..args.reading.of(&args.data)
    };
    let (data, dataset) = resolve::load_for(&base, wanted)?;
    let classes = dataset.classes();
    let superclasses = match &args.class_tree {
        Some(path) => resolve::superclasses(&ClassTree::read(path)?, classes)?,
        None => Vec::new(),
    };
    let start =
        learngene_transfer::adapt(&base, &whole, classes, method, &given, args.seed, &device)?;
    let (mut config, model) =
        learngene_transfer::add_superclasses((&base, &whole), start, superclasses)?;
    config.data = data;
    let train = &mut config.train;
    (train.steps, train.lr) = (args.steps, args.lr.unwrap_or(train.lr));
    train.precision = args.precision.map_or(train.precision, Into::into);
    train.checkpoint_every = args.checkpoint_every.unwrap_or(train.checkpoint_every);
    train.validate()?;
    let set = resolve::with_settings(&config, &others)?;
    let made = |c: &RunConfig| (c.model.clone(), c.init, c.train.seed, c.method.clone());
    if made(&set) != made(&config) {
        return Err(Failure::Usage(
            "--set cannot change [model], init and train.seed of a transfer, which made its start: use --seed and \
             the settings of the method"
                .into(),
        ));
    }
    let inputs = Inputs::of(&dataset, Some(Origin::at(&args.model)?));
    let run = create(&args.out, set, model, &dataset)?;
    inputs.write(&args.out)?;
    finish(run, &dataset, &args.out, !args.no_report)
}

/// Trains a factorised model, whole, on the classes that it has.
pub(super) fn fine_tune(args: &args::Factorise, mut config: RunConfig, model: Dit) -> Result<()> {
    config.data.source = args.data.clone().unwrap_or(config.data.source);
    let dataset = resolve::load_known(&config.data, Some(&config.classes))?;
    if dataset.classes() != config.classes || dataset.shape() != config.model.input {
        return Err(Failure::Usage(format!(
            "the images are {:?} of the classes {}, the model has {:?} and {}: give its own with --data",
            dataset.shape(),
            dataset.classes().join(", "),
            config.model.input,
            config.classes.join(", ")
        )));
    }
    config.train.steps = args.fine_tune.unwrap_or(config.train.steps);
    config.train.ema_warmup = TrainConfig::default().ema_warmup;
    config.train.lr = args.lr.unwrap_or(config.train.lr);
    config.train.trainable = learngene_train::Trainable::default();
    let inputs = Inputs::of(&dataset, Some(Origin::at(&args.model)?));
    let run = create(&args.out, config, model, &dataset)?;
    inputs.write(&args.out)?;
    finish(run, &dataset, &args.out, !args.no_report)
}

/// The settings of the method by name, and those of the run.
fn method_settings(args: &args::Transfer) -> Result<(BTreeMap<String, String>, Vec<String>)> {
    let (of_method, others): (Vec<_>, Vec<_>) =
        (args.set.iter().cloned()).partition(|setting| setting.starts_with("method."));
    let mut given = BTreeMap::new();
    for setting in &of_method {
        let pair = setting.trim_start_matches("method.").split_once('=');
        let (name, value) = pair.ok_or_else(|| {
            Failure::Usage(format!("`{setting}` is not of the form method.name=value"))
        })?;
        given.insert(name.trim().into(), value.trim().into());
    }
    if let Some(rank) = args.rank {
        given.insert("rank".into(), rank.to_string());
    }
    Ok((given, others))
}

/// A new run. What cannot be trained is refused before there is a folder for it.
fn create(folder: &Path, config: RunConfig, model: Dit, dataset: &Dataset) -> Result<Run> {
    let train = &config.train;
    train.validate()?;
    require_precision(train.precision, &model.device())?;
    Schedule::new(train.schedule, train.diffusion_steps)?;
    Batches::new(dataset, train.order(), train.seed, train.flip)?;
    if train.patience.is_some() && dataset.is_empty(Split::Val) {
        return Err(Failure::Usage(
            "`train.patience` counts validations, and there are no images to validate on: leave it out, or set some aside"
                .into(),
        ));
    }
    Ok(Run::create(folder, config, model)?)
}

fn finish(run: Run, dataset: &Dataset, folder: &Path, report: bool) -> Result<()> {
    let config = run.config().clone();
    output::json(&training::About::run(folder, &config, dataset));
    let mut events = Vec::new();
    let outcome = training::train_on(run, dataset, "training", &mut events)
        .map_err(|failure| failure.in_run(folder))?;
    let page = match report {
        true => page(folder, &config, dataset, &outcome),
        false => None,
    };
    if outcome.interrupted {
        return Err(Failure::Interrupted(outcome.step).in_run(folder));
    }
    let best = outcome
        .best
        .map(|(step, loss)| serde_json::json!({"step": step, "validation_v_loss": loss}));
    output::json(&serde_json::json!({
        "steps": outcome.step, "validation": outcome.validation, "raw_validation": outcome.raw_validation,
        "best": best, "stopped_early": outcome.stopped_early,
    }));
    if let Some(v) = &outcome.validation {
        let (loss, epsilon, n) = (v.velocity, v.epsilon, v.draws);
        let raw = outcome.raw_validation.as_ref().map_or(loss, |r| r.velocity);
        output::say(&format!(
            "validation v loss {loss:.4} (raw weights {raw:.4}), epsilon loss {epsilon:.4} (n = {n} draws)"
        ));
    }
    match learngene_transfer::ship(&config, &outcome.model, folder)? {
        Some(Shipped::Tailors(path)) => output::wrote_as("tailors", &path),
        Some(Shipped::Adapter(path, numbers)) => {
            output::say(&format!("adapter: {} ({numbers} numbers)", path.display()));
            output::keep(&path);
        }
        None => {}
    }
    output::wrote_as("run folder", folder);
    page.iter()
        .for_each(|page| output::wrote_as("report", page));
    if let Some((step, loss)) = outcome.best {
        output::say(&format!(
            "best checkpoint: step {step}, validation v loss {loss:.4}: {}",
            folder.join(checkpoint::BEST).display()
        ));
    }
    if let (true, Some(patience)) = (outcome.stopped_early, config.train.patience) {
        output::say(&format!(
            "stopped early at step {} of {}: {patience} validations in a row were no better than the best; to train on, \
             raise `patience` under [train] in {} and resume",
            outcome.step,
            config.train.steps,
            folder.join("config.toml").display()
        ));
    }
    match training::diverged(&config, &outcome, dataset, &events)? {
        Some(failure) => Err(failure.in_run(folder)),
        None => Ok(()),
    }
}

/// What a training leaves for a person to look at, if it can be made: the run is what it is without.
fn page(
    folder: &Path,
    config: &RunConfig,
    dataset: &Dataset,
    outcome: &Outcome,
) -> Option<PathBuf> {
    let ended = Ended {
        folder,
        config,
        dataset,
        outcome,
    };
    match ended.write() {
        Ok(page) => Some(page),
        Err(failure) => {
            output::note(&format!("warning: no report.html: {failure}"));
            None
        }
    }
}
