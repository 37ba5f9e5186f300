//! The verbs that train: `pretrain`, `resume`, `transfer`.

use crate::failure::{Failure, Result};
use crate::run_page::Ended;
use crate::verbs::resolve;
use crate::{args, model, output, training};
use learngene_data::{Batches, ClassTree, Dataset};
use learngene_diffusion::Schedule;
use learngene_nn::Dit;
use learngene_train::{DataConfig, Outcome, Run, RunConfig, require_precision};
use learngene_transfer::Shipped;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// `pretrain`.
pub fn pretrain(args: &args::Pretrain, device: &str) -> Result<()> {
    let device = model::device(device)?.autodiff();
    let (config, dataset) = resolve::pretrain(args)?;
    config.require_memory(&device)?;
    let model = Dit::init(&config.model, config.init, config.train.seed, &device)?;
    finish(
        create(&args.out, config, model, &dataset)?,
        &dataset,
        &args.out,
        !args.no_report,
    )
}

/// `resume`.
pub fn resume(args: &args::Resume, device: &str) -> Result<()> {
    let (run, rejected) = Run::resume(&args.run, &model::device(device)?)?;
    rejected.iter().for_each(output::passed_over);
    let dataset = resolve::load(&run.config().data)?;
    if dataset.classes() != run.config().classes {
        return Err(Failure::Usage(format!(
            "the data now have the classes {}, the run was started with {}",
            dataset.classes().join(", "),
            run.config().classes.join(", "),
        )));
    }
    finish(run, &dataset, &args.run, !args.no_report)
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
        stream: args.reading.stream,
        strict: args.reading.strict,
        ..DataConfig::of(&args.data)
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
    let set = resolve::with_settings(&config, &others)?;
    let made = |c: &RunConfig| (c.model.clone(), c.init, c.train.seed, c.method.clone());
    if made(&set) != made(&config) {
        return Err(Failure::Usage(
            "--set cannot change [model], init and train.seed of a transfer, which made its start: use --seed and \
             the settings of the method"
                .into(),
        ));
    }
    let config = set;
    finish(
        create(&args.out, config, model, &dataset)?,
        &dataset,
        &args.out,
        !args.no_report,
    )
}

/// Trains a factorised model, whole, on the classes that it has.
pub(super) fn fine_tune(args: &args::Factorise, mut config: RunConfig, model: Dit) -> Result<()> {
    config.data.source = args.data.clone().unwrap_or(config.data.source);
    let dataset = resolve::load(&config.data)?;
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
    config.train.lr = args.lr.unwrap_or(config.train.lr);
    config.train.trainable = learngene_train::Trainable::default();
    let run = create(&args.out, config, model, &dataset)?;
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
    output::json(&serde_json::json!({ "steps": outcome.step, "validation": outcome.validation }));
    if let Some(v) = &outcome.validation {
        let (loss, epsilon, n) = (v.velocity, v.epsilon, v.draws);
        output::say(&format!(
            "validation v loss {loss:.4}, epsilon loss {epsilon:.4} (n = {n} draws)"
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
    page.iter()
        .for_each(|page| output::wrote_as("report", page));
    output::wrote_as("run folder", folder);
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
