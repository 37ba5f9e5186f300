//! From what was typed to the configuration of a run: defaults, `--config` over them, options over that, `--set` over all.

use crate::failure::{Failure, Result};
use crate::progress::Progress;
use crate::{args, output};
use learngene_data::image::MAX_SIDE;
use learngene_data::{ClassTree, Dataset};
use learngene_formats::read_text;
use learngene_nn::{Dit, DitConfig, FactorInit, RankSplit, Superclass};
use learngene_train::{DataConfig, Error, RunConfig, TrainConfig, memory};
use std::collections::BTreeSet;
use std::path::Path;

/// Size of a model if nothing says otherwise.
pub const SIZE: &str = "dit-nano/4";

/// What the matrices of a new model are.
pub enum Matrices<'a> {
    /// Ordinary ones.
    Dense,
    /// Factors, with this rank split or that of the width.
    Factors(Option<&'a str>),
}

impl Matrices<'_> {
    /// The model made of them.
    pub fn shape(&self, model: DitConfig) -> Result<DitConfig> {
        let split = match self {
            Self::Dense => return Ok(model),
            Self::Factors(None) => RankSplit::of_width(model.hidden),
            Self::Factors(Some(split)) => split.parse()?,
        };
        Ok(model.with_rank_split(split)?)
    }
}

/// The configuration of a new model on a data set.
pub fn start(
    mut data: DataConfig,
    dataset: &Dataset,
    size: &str,
    matrices: &Matrices<'_>,
) -> Result<RunConfig> {
    data.encoder = dataset.latent_space().map(|space| space.encoder.clone());
    let model = DitConfig::from_size(size, dataset.shape(), dataset.classes().len())?;
    let model = matrices.shape(model)?;
    Ok(RunConfig {
        data,
        train: TrainConfig::default(),
        model,
        init: FactorInit::default(),
        classes: dataset.classes().to_vec(),
        method: None,
    })
}

/// What `pretrain` trains.
pub(super) struct Pretraining {
    pub config: RunConfig,
    pub dataset: Dataset,
    /// Its start, if it is not made anew.
    pub start: Option<Dit>,
}

/// The configuration and the data of `pretrain`, and its start if that is taken from a model.
pub(super) fn pretrain(
    args: &args::Pretrain,
    base: Option<&(RunConfig, Dit)>,
) -> Result<Pretraining> {
    let file = match &args.config {
        Some(path) => table(path)?,
        None => toml::Table::new(),
    };
    let data = data_config(args, &section(&file, "data"))?;
    let size = args.size.as_deref().unwrap_or(SIZE);
    let (data, dataset) = match base {
        None => {
            // A side that no image can have is refused where images are read.
            let side = data.image_size;
            if let Some(side) = side.filter(|side| (1..=MAX_SIDE as usize).contains(side)) {
                refuse_impossible(side, args.size.as_deref(), &section(&file, "model"))?;
            }
            let dataset = load(&data)?;
            (data, dataset)
        }
        Some((of, _)) => load_for(of, data)?,
    };
    let start_of = base.map(|base| picked(base, &dataset)).transpose()?;
    let matrices = match args.rank_split.as_deref() {
        None if args.dense || section(&file, "model").contains_key("basis") => Matrices::Dense,
        split => Matrices::Factors(split),
    };
    let keeps = args.size.is_none() && args.rank_split.is_none() && !args.dense;
    let of_base = start_of
        .as_ref()
        .filter(|_| keeps && section(&file, "model").is_empty());
    let mut config = match of_base {
        Some((picked, _)) => RunConfig {
            data,
            train: TrainConfig::default(),
            method: None,
            ..picked.clone()
        },
        None => start(data, &dataset, size, &matrices)?,
    };
    if let Some((picked, _)) = &start_of {
        let (train, of) = (&mut config.train, &picked.train);
        (train.schedule, train.diffusion_steps) = (of.schedule, of.diffusion_steps);
        train.objective = of.objective;
    }
    if let Some(path) = &args.config {
        let from_options = config.clone();
        config = config.with_file(path)?;
        config.data = from_options.data;
        if config.classes != dataset.classes() || args.dense || args.class_tree.is_some() {
            forget_superclasses(&mut config, args)?;
        }
        take_shape_of(&mut config, &dataset);
        if args.size.is_some() {
            take_size_of(&mut config.model, &from_options.model);
        }
        if args.dense || args.rank_split.is_some() {
            take_rank_split_of(&mut config.model, &from_options.model);
        }
        let rank = config.model.tailor_rank;
        config.model = config.model.with_tailors(rank)?;
    }
    if let Some(path) = &args.class_tree {
        let superclasses = superclasses(&ClassTree::read(path)?, &config.classes)?;
        config.model = config.model.with_superclasses(superclasses)?;
    }
    let train = &mut config.train;
    train.steps = args.steps.unwrap_or(train.steps);
    train.lr = args.lr.unwrap_or(train.lr);
    train.seed = args.seed.unwrap_or(train.seed);
    train.precision = args.precision.map_or(train.precision, Into::into);
    train.checkpoint_every = args.checkpoint_every.unwrap_or(train.checkpoint_every);
    train.sample_every = args.sample_every.unwrap_or(train.sample_every);
    if let Some(batch) = args.batch {
        (train.per_class, train.batch) = (0, batch);
    }
    // TOML, through which settings go, has no numbers as large as an option may be.
    train.validate()?;
    let config = with_settings(&config, &args.set)?;
    if let (Some(path), Some((picked, _))) = (&args.init, &start_of) {
        require_same_shape(path, &config.model, &picked.model)?;
    }
    Ok(Pretraining {
        config,
        dataset,
        start: start_of.map(|(_, model)| model),
    })
}

/// A model for the classes of a data set, which are among its own.
fn picked((config, model): &(RunConfig, Dit), dataset: &Dataset) -> Result<(RunConfig, Dit)> {
    let classes = dataset.classes();
    if classes == config.classes {
        return Ok((config.clone(), model.clone()));
    }
    let lacks = classes
        .iter()
        .filter(|class| !config.classes.contains(class));
    let lacks: Vec<String> = lacks.cloned().collect();
    if !lacks.is_empty() {
        return Err(Failure::Usage(format!(
            "the model of --init has no class {}; it has {}: choose among them with --classes, or learn new ones with \
             `learngene transfer`",
            output::shortened(lacks.into_iter()),
            output::shortened(config.classes.iter().cloned())
        )));
    }
    Ok(learngene_transfer::assemble(config, model, classes, None)?)
}

/// Refuses to start a model from one of another shape, naming what differs.
fn require_same_shape(path: &Path, wanted: &DitConfig, found: &DitConfig) -> Result<()> {
    let keys = |config: &DitConfig| match serde_json::to_value(config) {
        Ok(serde_json::Value::Object(keys)) => keys,
        _ => serde_json::Map::new(),
    };
    let (wanted, found) = (keys(wanted), keys(found));
    let none = serde_json::Value::Null;
    let names: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    let differences = names.into_iter().filter_map(|name| {
        let [wanted, found] = [&wanted, &found].map(|keys| keys.get(name).unwrap_or(&none));
        (wanted != found).then(|| format!("{name} is {wanted}, the model's is {found}"))
    });
    let differences: Vec<String> = differences.collect();
    if differences.is_empty() {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "--init {} is not of the shape that is asked for: {}; leave --size, --rank-split, --dense and [model] out to take \
         the model's own",
        path.display(),
        differences.join("; ")
    )))
}

/// Refuses, before any image is read, images of a side that the model cannot have.
fn refuse_impossible(side: usize, size: Option<&str>, model: &toml::Table) -> Result<()> {
    let patch = model.get("patch").and_then(toml::Value::as_integer);
    let input = [1, side, side];
    let shape = match (size, patch.map(usize::try_from)) {
        (None, Some(Ok(patch))) => DitConfig {
            input,
            patch,
            ..DitConfig::from_size("dit-micro/1", [1, 1, 1], 1)?
        },
        (size, _) => DitConfig::from_size(size.unwrap_or(SIZE), input, 1)?,
    };
    Ok(shape.validate()?)
}

/// The superclasses of those classes.
pub(super) fn superclasses(tree: &ClassTree, classes: &[String]) -> Result<Vec<Superclass>> {
    let over = tree.over(classes)?.into_iter();
    Ok(over
        .map(|(name, classes)| Superclass::new(name, classes))
        .collect())
}

/// `--set`. What the data decide cannot be set: the data have been read by then.
pub(super) fn with_settings(config: &RunConfig, settings: &[String]) -> Result<RunConfig> {
    let set = config.with_settings(settings.iter().map(String::as_str))?;
    let decided = |c: &RunConfig| {
        let model = &c.model;
        (
            c.data.clone(),
            c.classes.clone(),
            model.input,
            model.num_classes,
        )
    };
    let batch = |c: &RunConfig| c.train.batch;
    if set.train.per_class > 0 && batch(&set) != batch(config) {
        return Err(Failure::Usage(format!(
            "`train.batch` is set for batches of {} images of each class and {} without a label, whose size follows from \
             that: set `train.per_class=0` as well for plain batches (`pretrain --batch`)",
            set.train.per_class, set.train.null
        )));
    }
    if decided(&set) == decided(config) {
        return Ok(set);
    }
    Err(Failure::Usage(
        "--set cannot change data, classes, model.input and model.num_classes, which follow from the images: \
         use --data, --classes, --class-map and --image-size"
            .into(),
    ))
}

/// Reads the data set, naming the files it leaves out.
pub fn load(data: &DataConfig) -> Result<Dataset> {
    load_known(data, None)
}

/// The same with the classes in the order in which they are `known`, if they are those.
pub(super) fn load_known(data: &DataConfig, known: Option<&[String]>) -> Result<Dataset> {
    let _reading = Progress::open("reading images");
    let source = data.open()?;
    output::left_out(source.skipped());
    require_memory(data, source.known_len())?;
    let dataset = data.load_from(source, known)?;
    output::broken(&dataset.broken());
    output::notes(dataset.notes());
    Ok(dataset)
}

/// Refuses more images than the memory holds, where it is known beforehand how many there are and of what size.
fn require_memory(data: &DataConfig, images: Option<usize>) -> Result<()> {
    let all = data.classes == "all" && data.images_per_class == Default::default();
    let (Some(side), Some(images), true) = (data.image_size, images, all && !data.stream) else {
        return Ok(());
    };
    let pixels = (side as u128).saturating_pow(2);
    let bytes = pixels.saturating_mul(images as u128 * data.channels.unwrap_or(3) as u128);
    Ok(memory::require(
        bytes,
        &format!("reading {images} images of {side}x{side} pixels"),
        "leave them where they are (--stream), or take smaller ones (--image-size)",
    )?)
}

/// Those images, or latents, in the shape that a model takes.
pub fn load_for(of: &RunConfig, wanted: DataConfig) -> Result<(DataConfig, Dataset)> {
    let model = &of.model;
    let mut data = wanted;
    take_shape(&mut data, of);
    data.encoder = of.data.encoder.clone();
    let dataset = load(&data)?;
    if dataset.latent_space().is_some() && !of.makes_latents() {
        return Err(Failure::Usage(format!(
            "{} holds latents, the model takes images: give it the images that were encoded",
            data.source
        )));
    }
    data.encoder = dataset.latent_space().map(|space| space.encoder.clone());
    if dataset.shape() != model.input {
        return Err(Failure::Usage(format!(
            "the images are {:?} (channels, height, width), the model takes {:?}: scale them first",
            dataset.shape(),
            model.input
        )));
    }
    Ok((data, dataset))
}

/// Asks for images in the shape that a model takes.
pub(super) fn take_shape(data: &mut DataConfig, of: &RunConfig) {
    let [channels, height, width] = of.model.input;
    data.image_size = (height == width).then_some(height);
    data.channels = Some(channels);
}

/// Where the images come from: options over the `[data]` section of `--config`.
fn data_config(args: &args::Pretrain, section: &toml::Table) -> Result<DataConfig> {
    let text = |key: &str| section.get(key)?.as_str().map(str::to_owned);
    let number = |key: &str| usize::try_from(section.get(key)?.as_integer()?).ok();
    let flag = |key: &str| section.get(key).and_then(toml::Value::as_bool) == Some(true);
    let source = args.data.clone().or_else(|| text("source"));
    Ok(DataConfig {
        source: source.ok_or_else(|| {
            Failure::Usage(
                "no data source: give --data, or `source` under [data] in --config".into(),
            )
        })?,
        classes: (args.classes.clone().or_else(|| text("classes"))).unwrap_or_else(|| "all".into()),
        image_size: args.image_size.or_else(|| number("image_size")),
        fit: match args.reading.prepared.fit {
            Some(fit) => fit.into(),
            None => of_file(section, "fit")?.unwrap_or_default(),
        },
        val: args
            .reading
            .prepared
            .val
            .map_or_else(|| of_file(section, "val"), |val| Ok(Some(val)))?,
        test: args
            .reading
            .prepared
            .test
            .map_or_else(|| of_file(section, "test"), |test| Ok(Some(test)))?,
        channels: number("channels"),
        class_map: (args.class_map.clone()).or_else(|| text("class_map").map(Into::into)),
        stream: args.reading.stream || flag("stream"),
        strict: args.reading.strict || flag("strict"),
        images_per_class: of_file(section, "images_per_class")?.unwrap_or_default(),
        encoder: None,
    })
}

/// A value of `[data]` in a file, if it is there.
fn of_file<T: serde::de::DeserializeOwned>(section: &toml::Table, key: &str) -> Result<Option<T>> {
    let value = section.get(key).cloned().map(toml::Value::try_into);
    let wrong = |error| Failure::Usage(format!("data.{key}: {error}"));
    value.transpose().map_err(wrong)
}

/// A TOML file; its keys and types are judged later, as a whole.
fn table(path: &Path) -> Result<toml::Table> {
    let bad = |message: String| Error::Config {
        path: Some(path.into()),
        message,
    };
    let text = read_text(path).map_err(|e| bad(e.to_string()))?;
    let parsed = text
        .parse()
        .map_err(|e: toml::de::Error| bad(e.to_string()));
    Ok(parsed?)
}

/// A section of it, empty if it is not there.
fn section(file: &toml::Table, name: &str) -> toml::Table {
    let section = file.get(name).and_then(toml::Value::as_table);
    section.cloned().unwrap_or_default()
}

/// Superclasses number the classes, so those of a file go with its classes alone. What classes share in a transfer was
/// not asked for with a tree.
fn forget_superclasses(config: &mut RunConfig, args: &args::Pretrain) -> Result<()> {
    let of_tree = !config.model.superclasses.is_empty() && config.method.is_none();
    if of_tree && !args.dense && args.class_tree.is_none() {
        return Err(Failure::Usage(
            "the superclasses in --config are those of other classes: give --class-tree as well"
                .into(),
        ));
    }
    config.model.superclasses.clear();
    Ok(())
}

fn take_shape_of(config: &mut RunConfig, dataset: &Dataset) {
    config.classes = dataset.classes().to_vec();
    config.model.input = dataset.shape();
    config.model.num_classes = dataset.classes().len();
}

fn take_size_of(model: &mut DitConfig, sized: &DitConfig) {
    (model.patch, model.hidden, model.depth) = (sized.patch, sized.hidden, sized.depth);
    (model.heads, model.mlp_ratio, model.adaln) = (sized.heads, sized.mlp_ratio, sized.adaln);
}

fn take_rank_split_of(model: &mut DitConfig, split: &DitConfig) {
    (model.basis, model.attention_basis) = (split.basis, split.attention_basis);
    model.tailor_rank = split.tailor_rank;
}
