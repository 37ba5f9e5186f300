//! `data inspect --advise`: how to train on these images, and how long it takes here, by a trial of a few steps.

use crate::failure::Result;
use crate::progress::{self, Progress};
use crate::verbs::resolve::{self, Matrices};
use crate::{model, output};
use learngene_data::{Dataset, Split};
use learngene_nn::{Dit, cost};
use learngene_train::{DataConfig, Error, RunConfig, TrainConfig, Trainer};
use serde::Serialize;
use std::time::{Duration, Instant};

/// At most so many tokens of an image: a step then takes a second or less on a few cores.
const TOKENS: usize = 256;
/// Images of one side up to this are taken as they are.
const LARGEST: usize = 64;
/// The side that others are advised to have.
const SIDE: usize = 32;
/// Each image is to be seen so often, in no fewer steps than that.
const VISITS: usize = 60;
const STEPS: (u64, u64) = (1000, 20_000);
/// A step is to see so many images at least.
const IMAGES: usize = 32;
/// What is tried, the advised one first.
const FAMILIES: [&str; 2] = ["dit-micro", "dit-nano"];
/// Steps of a trial besides the first, and seconds after which no other begins.
const TRIED: u64 = 4;
const ENOUGH: f64 = 3.0;

/// A size and how long it takes.
#[derive(Serialize)]
struct Trial {
    size: String,
    parameters: u64,
    seconds_a_step: f64,
    seconds: f64,
}

/// Settings for the images of a source.
#[derive(Serialize)]
struct Advice {
    command: String,
    image_size: usize,
    patch: usize,
    steps: u64,
    images_a_step: usize,
    trials: Vec<Trial>,
}

/// Prints what to type, why, and what it costs. Nothing is written.
pub fn advise(mut data: DataConfig, device: &str) -> Result<()> {
    let device = model::device(device)?.autodiff();
    let dataset = load(&mut data)?;
    let [_, height, width] = dataset.shape();
    let patch = patch(height, width);
    let classes = dataset.classes().len();
    let mut train = TrainConfig::default();
    let mut settings = String::new();
    if train.order().images(classes) < IMAGES {
        train.per_class = (IMAGES - train.null).div_ceil(classes);
        settings = format!(" --set train.per_class={}", train.per_class);
    }
    let images = train.order().images(classes);
    let steps = (dataset.len(Split::Train) * VISITS / images) as u64;
    train.steps = steps.clamp(STEPS.0, STEPS.1);
    let trials = FAMILIES.map(|family| {
        let size = format!("{family}/{patch}");
        let matrices = Matrices::Factors(None);
        let mut config = resolve::start(data.clone(), &dataset, &size, &matrices)?;
        config.train = train.clone();
        trial(size, &config, &dataset, &device)
    });
    let trials = trials.into_iter().collect::<Result<Vec<_>>>()?;
    let advice = Advice {
        command: format!(
            "learngene pretrain {} --size {}/{patch} --steps {}{settings} --out runs/first",
            options(&data),
            FAMILIES[0],
            train.steps
        ),
        image_size: height.max(width),
        patch,
        steps: train.steps,
        images_a_step: images,
        trials,
    };
    advice.print();
    output::json(&serde_json::json!({ "advice": advice }));
    Ok(())
}

/// The options that name and prepare the images of `data`.
fn options(data: &DataConfig) -> String {
    let mut line = format!("--data {}", output::shell_word(&data.source));
    if let Some(map) = &data.class_map {
        line += &format!(
            " --class-map {}",
            output::shell_word(&map.to_string_lossy())
        );
    }
    if let Some(side) = data.image_size {
        line += &format!(" --image-size {side}");
    }
    if !data.fit.is_crop() {
        line += " --fit pad";
    }
    for (name, share) in [("val", data.val), ("test", data.test)] {
        if let Some(share) = share {
            line += &format!(" --{name} {share}");
        }
    }
    line
}

/// The images, of an advised size where they have none in common or a large one.
fn load(data: &mut DataConfig) -> Result<Dataset> {
    use learngene_data::Error::MixedSizes;
    let _reading = Progress::open("reading images");
    if data.image_size.is_none() {
        match data.load() {
            Ok(dataset) if dataset.latent_space().is_some() => return Ok(dataset),
            Ok(dataset) if dataset.shape()[1..].iter().all(|&side| side <= LARGEST) => {
                return Ok(dataset);
            }
            Ok(_) | Err(Error::Data(MixedSizes { .. })) => data.image_size = Some(SIDE),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(data.load()?)
}

/// The smallest side of a patch that divides the image into not too many tokens: what one patch shows is one tile, and
/// large ones are seen.
fn patch(height: usize, width: usize) -> usize {
    let fits = |&p: &usize| {
        height.is_multiple_of(p) && width.is_multiple_of(p) && (height / p) * (width / p) <= TOKENS
    };
    (1..=height.min(width) / 4).find(fits).unwrap_or(1)
}

/// Seconds of a step, without the first, which makes room for what it computes, unless that alone takes long.
fn trial(
    size: String,
    config: &RunConfig,
    dataset: &Dataset,
    device: &burn::tensor::Device,
) -> Result<Trial> {
    let shown = Progress::new(&format!("trying {size}"), TRIED + 1, "steps");
    let train = &config.train;
    let model = Dit::init(&config.model, config.init, train.seed, device)?;
    let mut trainer = Trainer::new(model, train.clone(), dataset)?;
    let mut step = || -> Result<f64> {
        let since = Instant::now();
        trainer.step()?;
        shown.add();
        Ok(since.elapsed().as_secs_f64())
    };
    let first = step()?;
    let (mut steps, mut seconds) = (0, 0.0);
    while steps < TRIED && first + seconds < ENOUGH {
        seconds += step()?;
        steps += 1;
    }
    let seconds_a_step = match steps {
        0 => first,
        _ => seconds / steps as f64,
    };
    Ok(Trial {
        parameters: cost::plan(&config.model).total.parameters,
        seconds_a_step,
        seconds: seconds_a_step * train.steps as f64,
        size,
    })
}

impl Advice {
    fn print(&self) {
        let time = |seconds: f64| {
            progress::time(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
        };
        output::say("\nadvice for a first training from scratch:");
        output::say(&format!("  {}", self.command));
        output::say(&format!(
            "  patches of {p}x{p}: every patch is drawn as a tile, and tiles of 4x4 or more are seen in small pictures",
            p = self.patch
        ));
        output::say(&format!(
            "  {} steps of {} images: fewer show whether it learns, more draw better\n",
            self.steps, self.images_a_step
        ));
        let row = |t: &Trial| {
            vec![
                t.size.clone(),
                t.parameters.to_string(),
                format!("{:.2} s", t.seconds_a_step),
                time(t.seconds),
            ]
        };
        let all = format!("{} steps, here", self.steps);
        output::table(
            &["size", "parameters", "a step", &all],
            &self.trials.iter().map(row).collect::<Vec<_>>(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use learngene_data::Fit;

    #[test]
    fn the_advised_command_prepares_images_as_they_were_looked_at() {
        let data = DataConfig {
            class_map: Some("my map.toml".into()),
            image_size: Some(48),
            fit: Fit::Pad,
            val: Some(0.2),
            test: Some(0.0),
            ..DataConfig::of("Anna's photos")
        };
        let expected = r"--data 'Anna'\''s photos' --class-map 'my map.toml' --image-size 48 --fit pad --val 0.2 --test 0";
        assert_eq!(options(&data), expected);
        assert_eq!(
            options(&DataConfig::of("builtin:emoji")),
            "--data builtin:emoji"
        );
    }

    #[test]
    fn patches_are_small_and_divide() {
        for ((height, width), expected) in [
            ((32, 32), 2),
            ((28, 28), 2),
            ((64, 64), 4),
            ((30, 30), 2),
            ((8, 8), 1),
            ((17, 17), 1),
            ((256, 256), 16),
        ] {
            assert_eq!(patch(height, width), expected, "{height}x{width}");
        }
    }
}
