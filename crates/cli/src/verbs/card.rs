//! `card`: a folder with a model as model hubs show them, weights, configuration, samples and a page that says what it is.

use crate::failure::{Failure, Result};
use crate::verbs::{plan, quality};
use crate::{args, model, output, progress, quickstart};
use learngene_compare::Lab;
use learngene_data::picture::Grid;
use learngene_formats::{FolderWriter, Kind};
use learngene_nn::{Dit, Precision, cost};
use learngene_train::{Evaluation, Gating, RunConfig, memory, weights};
use std::fmt::Write;
use std::path::Path;

const WEIGHTS: &str = "model.safetensors";
const CONFIG: &str = "config.json";
const SAMPLES: &str = "samples.png";
const CARD: &str = "README.md";
/// Seed of the noise of the samples.
const SEED: u64 = 0;

/// `card`: nothing is written before all has been measured.
pub fn card(args: &args::Card, device: &str) -> Result<()> {
    FolderWriter::check(&args.out)?;
    let (config, whole) = model::load(&args.model, &model::device(device)?)?;
    let classes = config.classes.len();
    memory::require_for_images(
        args.count as u128 * classes as u128,
        config.model.input,
        &format!(
            "{} images of each of {classes} classes (--count)",
            args.count
        ),
    )?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => folder_name(&args.out)?,
    };
    let losses = match &args.data {
        None => None,
        Some(source) => Some(Losses::measure(&config, &whole, source, args)?),
    };
    let samples = match args.count {
        0 => None,
        _ if config.makes_latents() => {
            output::note("note: without samples, which take the autoencoder of the model");
            None
        }
        _ => Some(samples(&config, &whole, args)?),
    };
    let config = RunConfig {
        data: config.data.without_place(),
        ..config
    };
    let about = About {
        name: &name,
        config: &config,
        losses: losses.as_ref(),
        samples: samples.is_some(),
        args,
    };
    let folder = FolderWriter::begin(&args.out)?;
    let at = |file: &str| folder.path().join(file);
    weights::file(Kind::Model, &config, weights::of_model(&whole)).write(at(WEIGHTS))?;
    output::write(&at(CONFIG), about.config()?.as_bytes())?;
    if let Some(grid) = samples {
        output::write_grid(&at(SAMPLES), &grid)?;
    }
    output::write(&at(CARD), about.text().as_bytes())?;
    folder.finish()?;
    output::wrote(&args.out);
    let losses = losses.as_ref();
    output::json(&serde_json::json!({
        "name": name,
        "classes": config.classes,
        "validation": losses.map(|found| &found.right),
        "without_tailors": losses.and_then(|found| found.none.as_ref()),
        "cost": cost::plan(&config.model),
    }));
    Ok(())
}

fn folder_name(folder: &Path) -> Result<String> {
    let name = folder.file_name().and_then(|name| name.to_str());
    Ok(name
        .ok_or_else(|| Failure::Usage("give the model a name with --name".into()))?
        .to_owned())
}

/// Validation losses, with the tailor of the class and without.
struct Losses {
    right: Evaluation,
    none: Option<Evaluation>,
}

impl Losses {
    fn measure(config: &RunConfig, model: &Dit, source: &str, args: &args::Card) -> Result<Self> {
        let data = quality::load(config, source, args.class_map.as_deref())?;
        let of = |gating| quality::losses(config, model, &data, gating);
        Ok(Self {
            right: of(Gating::Right)?,
            none: match config.model.groups {
                0 => None,
                _ => Some(of(Gating::None)?),
            },
        })
    }
}

fn samples(config: &RunConfig, model: &Dit, args: &args::Card) -> Result<Grid> {
    let lab = Lab {
        watch: progress::watch(),
        ..Lab::of(config, quickstart::sampling(), SEED, quality::REPEATS)?
    };
    let tailor = |class| (config.model.groups > 0).then_some(class);
    let classes = config.classes.len();
    let images = lab.images(model, classes, args.count, args.cfg, &tailor)?;
    let mut grid = Grid::new(2);
    for (name, row) in config.classes.iter().zip(images.chunks(args.count)) {
        grid.push_row(name, row.to_vec());
    }
    Ok(grid)
}

/// What the page is made of.
struct About<'a> {
    name: &'a str,
    config: &'a RunConfig,
    losses: Option<&'a Losses>,
    samples: bool,
    args: &'a args::Card,
}

impl About<'_> {
    fn config(&self) -> Result<String> {
        let config = serde_json::json!({ "library_name": "learngene", "run": self.config });
        serde_json::to_string_pretty(&config)
            .map_err(|error| Failure::Usage(format!("the configuration is no JSON: {error}")))
    }

    fn text(&self) -> String {
        let mut parts = vec![
            self.front_matter(),
            self.what(),
            self.cost(),
            self.training(),
        ];
        parts.extend(self.use_it());
        parts.extend(self.credits());
        parts.join("\n")
    }

    fn front_matter(&self) -> String {
        let mut text = String::from("---\nlibrary_name: learngene\n");
        if let Some(licence) = &self.args.license {
            let _ = writeln!(text, "license: {}", quoted(licence));
        }
        text += "pipeline_tag: unconditional-image-generation\ntags:\n- diffusion\n- diffusion-transformer\n\
                 - class-conditional\n- kind\n---\n";
        text
    }

    fn what(&self) -> String {
        let config = self.config;
        let [channels, height, width] = config.model.input;
        let of = match (config.model.learngene_rank(), config.model.tailor_rank) {
            (Some(rank), 0) => format!("a learngene of {rank} components in every matrix"),
            (Some(rank), tailor) => format!(
                "a learngene of {rank} components in every matrix, and beside it tailors of {tailor}, of which an image \
                 switches on those of its class"
            ),
            (None, 0) => "dense matrices".into(),
            (None, tailor) => format!("dense matrices, and beside them tailors of rank {tailor}"),
        };
        let mut text = format!(
            "# {}\n\nA diffusion transformer for {} of {width} x {height} and {channels} channels, made of {of}. \
             It draws {}: {}.\n",
            self.name,
            if config.makes_latents() {
                "latents"
            } else {
                "images"
            },
            output::class_count(config.classes.len()),
            config.classes.join(", ")
        );
        if self.samples {
            let _ = write!(
                text,
                "\n![samples of every class]({SAMPLES})\n\n{} images of each class, guidance {}, {} of {} steps, seed {SEED}, \
                 not chosen.\n",
                self.args.count,
                self.args.cfg,
                quickstart::sampling().kind,
                quickstart::sampling().steps
            );
        }
        text
    }

    fn cost(&self) -> String {
        let mut text = String::from(
            "## Size\n\n| component | parameters | MACs per image | bytes |\n|---|---:|---:|---:|\n",
        );
        for row in plan::rows(&cost::plan(&self.config.model)) {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
        text
    }

    fn training(&self) -> String {
        let (data, train) = (&self.config.data, &self.config.train);
        let mut text = format!(
            "## Training\n\n| | |\n|---|---|\n| images | {}, classes {} |\n| steps | {} |\n| target | {}, schedule {} |\n\
             | learning rate | {} |\n| precision of products | {} |\n| seed | {} |\n",
            match data.source.as_str() {
                "" => "of their trainer's own".to_owned(),
                pack => cell(pack),
            },
            cell(&data.classes),
            train.steps,
            train.objective.target,
            train.schedule,
            train.lr,
            match train.precision {
                Precision::F32 => "32 bits",
                Precision::Bf16 => "bf16",
            },
            train.seed
        );
        if let Some(method) = &self.config.method {
            let _ = writeln!(
                text,
                "| adapted by | {}, from the learngene {} |",
                method.name, method.base
            );
        }
        if let Some(found) = self.losses {
            let _ = write!(
                text,
                "\nOn validation images the v loss is {:.4} and the epsilon loss {:.4} (n = {} draws)",
                found.right.velocity, found.right.epsilon, found.right.draws
            );
            match &found.none {
                None => text += ".\n",
                Some(none) => {
                    let above = quality::above(found.right.velocity, none.velocity);
                    let _ = writeln!(text, "; without tailors the v loss is {above:+.1} %.");
                }
            }
        }
        text
    }

    fn use_it(&self) -> Option<String> {
        let first = self.config.classes.first()?;
        let first = output::shell_word(first);
        let vae = match self.config.makes_latents() {
            true => " --vae FOLDER-OF-ITS-AUTOENCODER",
            false => "",
        };
        let mut text = format!(
            "## Use\n\n```\nlearngene sample {WEIGHTS} --class {first}{vae} --count 8 --out samples.png\n"
        );
        if self.config.model.groups > 1 {
            let _ = writeln!(
                text,
                "learngene assemble {WEIGHTS} --classes {first} --out small.safetensors"
            );
        }
        let _ = writeln!(
            text,
            "learngene export {WEIGHTS} --format diffusers --out exported\n```"
        );
        Some(text)
    }

    /// The built-in drawings ask for credit.
    fn credits(&self) -> Option<String> {
        let drawings = match self.config.data.source.as_str() {
            "builtin:emoji" => {
                "Twemoji (copyright Twitter, Inc. and other contributors, CC BY 4.0) and Noto Emoji (copyright Google LLC, \
                 Apache License 2.0)"
            }
            "builtin:emoji-fluent3d" => {
                "Fluent Emoji (copyright Microsoft Corporation, MIT licence)"
            }
            _ => return None,
        };
        Some(format!(
            "## Credits\n\nTrained on drawings of {drawings}.\n"
        ))
    }
}

/// A string of YAML.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
