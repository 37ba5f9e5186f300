//! The verbs: each turns what was typed into one call, and its result into text.

use crate::args::{self, DataVerb};
use crate::failure::{Failure, Result};
use crate::{model, output, training};
use learngene_data::picture::{ContactSheet, Grid};
use learngene_data::{Dataset, Statistics, source};
use learngene_diffusion::{Clip, Sampling, Schedule};
use learngene_formats::{Header, Kind};
use learngene_nn::cost::{self, Cost};
use learngene_nn::{Dit, DitConfig, FactorInit, params};
use learngene_train::{
    DataConfig, Generation, Request, Run, RunConfig, TrainConfig, checkpoint, generate, weights,
};
use std::path::Path;

/// `data inspect`.
pub fn data(args: &args::Data) -> Result<()> {
    let DataVerb::Inspect {
        source: spec,
        class_map,
        contact_sheet,
        json,
    } = &args.verb;
    let source = source::open(spec, class_map.as_deref())?;
    let mut sheet = ContactSheet::new(source.class_names(), 10, 64);
    let statistics = Statistics::gather_with(&*source, |sample| sheet.add(sample))?;
    if let Some(path) = contact_sheet {
        output::write(path, &sheet.into_grid(1).encode_png()?)?;
    }
    output::json(&statistics);
    if !json && contact_sheet.is_none() {
        output::note("a contact sheet is written with --contact-sheet FILE.png");
    }
    Ok(())
}

/// `pretrain`.
pub fn pretrain(args: &args::Pretrain, device: &str) -> Result<()> {
    let data = DataConfig {
        source: args.data.clone(),
        classes: args.classes.clone(),
        image_size: args.image_size,
        channels: None,
        class_map: args.class_map.clone(),
    };
    let dataset = data.load()?;
    let split = (!args.dense).then_some(args.rank_split.as_str());
    let mut config = start(data, &dataset, &args.size, split)?;
    let train = &mut config.train;
    train.steps = args.steps.unwrap_or(train.steps);
    train.lr = args.lr.unwrap_or(train.lr);
    train.seed = args.seed.unwrap_or(train.seed);
    train.checkpoint_every = args.checkpoint_every.unwrap_or(train.checkpoint_every);
    train.sample_every = args.sample_every.unwrap_or(train.sample_every);
    if let Some(batch) = args.batch {
        (train.per_class, train.batch) = (0, batch);
    }
    if let Some(path) = &args.config {
        config = config.with_file(path)?;
    }
    config = config.with_settings(args.set.iter().map(String::as_str))?;
    let device = model::device(device)?.autodiff();
    let model = Dit::init(&config.model, config.init, config.train.seed, &device)?;
    finish(Run::create(&args.out, config, model)?, &dataset, &args.out)
}

/// The configuration of a new model on a data set; dense without a rank split.
pub fn start(
    data: DataConfig,
    dataset: &Dataset,
    size: &str,
    split: Option<&str>,
) -> Result<RunConfig> {
    let mut model = DitConfig::from_size(size, dataset.shape(), dataset.classes().len())?;
    if let Some(split) = split {
        model = model.with_rank_split(split.parse()?)?;
    }
    Ok(RunConfig {
        data,
        train: TrainConfig::default(),
        model,
        init: FactorInit::default(),
        classes: dataset.classes().to_vec(),
    })
}

fn finish(run: Run, dataset: &Dataset, folder: &Path) -> Result<()> {
    let outcome = training::train(run, dataset, "training", &mut Vec::new())?;
    if let Some(v) = outcome.validation {
        let (loss, epsilon, n) = (v.velocity, v.epsilon, v.draws);
        output::say(&format!(
            "validation v loss {loss:.4}, epsilon loss {epsilon:.4} (n = {n} draws)"
        ));
    }
    output::say(&format!("run folder: {}", folder.display()));
    Ok(())
}

/// `resume`.
pub fn resume(args: &args::Resume, device: &str) -> Result<()> {
    let (run, rejected) = Run::resume(&args.run, &model::device(device)?)?;
    for reason in rejected {
        output::note(&format!(
            "warning: passed over a damaged checkpoint: {reason}"
        ));
    }
    let dataset = run.config().data.load()?;
    if dataset.classes() != run.config().classes {
        return Err(Failure::Usage(format!(
            "the data now have the classes {}, the run was started with {}",
            dataset.classes().join(", "),
            run.config().classes.join(", "),
        )));
    }
    finish(run, &dataset, &args.run)
}

/// `inspect`.
pub fn inspect(args: &args::Inspect) -> Result<()> {
    let path = checkpoint::find_model(&args.model)?;
    let header = Header::read(&path)?;
    let config = weights::config_of(&header, &path)?;
    let plan = cost::plan(&config.model);
    if args.json {
        output::json(&serde_json::json!({
            "file": path, "kind": header.kind, "classes": config.classes,
            "learngene_blake3": header.learngene, "model": config.model, "cost": plan,
        }));
        return Ok(());
    }
    output::say(&format!("{} ({})", path.display(), header.kind));
    output::say(&format!("classes: {}", config.classes.join(", ")));
    output::say(&format!(
        "learngene: {}",
        header.learngene.unwrap_or_default()
    ));
    costs(&plan);
    Ok(())
}

/// `plan`.
pub fn plan(args: &args::Plan) -> Result<()> {
    let sides: Vec<usize> = args
        .input
        .split('x')
        .filter_map(|s| s.parse().ok())
        .collect();
    let input: [usize; 3] = sides.try_into().map_err(|_| {
        Failure::Usage(format!(
            "--input is `{}`, expected channels x height x width such as 3x32x32",
            args.input
        ))
    })?;
    let mut config = DitConfig::from_size(&args.size, input, args.num_classes)?;
    config.learn_sigma = args.learn_sigma;
    if let Some(split) = &args.rank_split {
        config = config.with_rank_split(split.parse()?)?;
    }
    let plan = cost::plan(&config);
    if args.json {
        output::json(&serde_json::json!({ "model": config, "cost": plan }));
    } else {
        costs(&plan);
    }
    Ok(())
}

fn costs(plan: &cost::Plan) {
    let row = |name: &str, c: &Cost| {
        vec![
            name.into(),
            c.parameters.to_string(),
            c.macs.to_string(),
            c.bytes.to_string(),
        ]
    };
    let rows = [
        row("learngene", &plan.learngene),
        row("one tailor", &plan.tailor),
        row("all tailors (one runs)", &plan.tailors),
        row("dense projections", &plan.dense),
        row("attention products", &plan.attention),
        row("everything else", &plan.rest),
        row("learngene alone, in all", &plan.learngene_only),
        row("total", &plan.total),
    ];
    output::table(
        &["component", "parameters", "MACs per image", "bytes"],
        &rows,
    );
    output::say(&format!(
        "training state: {} bytes; activations: about {} bytes per image",
        plan.training_state_bytes, plan.activation_bytes_per_image
    ));
}

/// `assemble`.
pub fn assemble(args: &args::Assemble, device: &str) -> Result<()> {
    let (config, whole) = model::load(&args.model, &model::device(device)?)?;
    let (config, part) =
        learngene_transfer::assemble(&config, &whole, &args.classes, args.learngene)?;
    weights::file(Kind::Model, &config, &params::values(&part)).write(&args.out)?;
    output::say(&format!("wrote {}", args.out.display()));
    costs(&cost::plan(&config.model));
    Ok(())
}

/// `transfer`.
pub fn transfer(args: &args::Transfer, device: &str) -> Result<()> {
    let device = model::device(device)?.autodiff();
    let (base, whole) = model::load(&args.model, &device)?;
    let data = DataConfig {
        source: args.data.clone(),
        classes: args.classes.clone(),
        ..base.data.clone()
    };
    let dataset = data.load()?;
    let rank = args.tailor_rank.unwrap_or(base.model.tailor_rank.max(1));
    let classes = dataset.classes();
    let (mut config, model) =
        learngene_transfer::with_new_tailors(&base, &whole, classes, rank, args.seed, &device)?;
    config.data = data;
    (config.train.steps, config.train.lr, config.train.seed) = (args.steps, args.lr, args.seed);
    let config = config.with_settings(args.set.iter().map(String::as_str))?;
    finish(Run::create(&args.out, config, model)?, &dataset, &args.out)
}

/// `sample`.
pub fn sample(args: &args::Sample, device: &str) -> Result<()> {
    let (config, model) = model::load(&args.model, &model::device(device)?)?;
    let known = &config.classes;
    let wanted = if args.class.is_empty() {
        known
    } else {
        &args.class
    };
    let mut requests = Vec::new();
    for name in wanted {
        let class = known.iter().position(|k| k == name).ok_or_else(|| {
            Failure::Usage(format!(
                "the model has no class `{name}`; its classes are {}",
                known.join(", ")
            ))
        })?;
        requests.extend((0..args.count).map(|i| Request::of_class(class, i as u64)));
    }
    let kind = args.sampler.parse()?;
    let sampling = Sampling {
        kind,
        steps: args.steps,
        clip: Clip::Range,
        ..Sampling::default()
    };
    let how = Generation {
        sampling,
        guidance: args.cfg,
        interval: None,
        seed: args.seed,
    };
    let schedule = Schedule::new(config.train.schedule, config.train.diffusion_steps)?;
    let images = generate(
        &model,
        &schedule,
        config.train.objective.target,
        &how,
        &requests,
    )?;
    let mut grid = Grid::new(2);
    for (name, row) in wanted.iter().zip(images.chunks(args.count.max(1))) {
        grid.push_row(name, row.to_vec());
    }
    output::write(&args.out, &grid.encode_png()?)?;
    output::say(&format!("wrote {}", args.out.display()));
    Ok(())
}
