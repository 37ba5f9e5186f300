//! `sample`.

use crate::failure::{Failure, Result};
use crate::verbs::drawn::{Out, Settings};
use crate::{args, model, output, progress};
use burn::tensor::Device;
use learngene_data::class_list;
use learngene_data::picture::Grid;
use learngene_diffusion::{Clip, Sampling, Schedule};
use learngene_formats::ImageArchive;
use learngene_nn::{Autoencoder, Blend, Dit, Mode};
use learngene_train::{
    Generation, Request, RunConfig, checkpoint, generate, generate_decoded, latent_space, memory,
    require_precision,
};
use learngene_transfer::interop::autoencoder;
use std::path::Path;

/// `sample`.
pub fn sample(args: &args::Sample, device: &str) -> Result<()> {
    let mut how = generation(args)?;
    let out = args.out.as_deref().map(Out::of).transpose()?;
    if let Some(path) = &args.npz {
        output::require_ending("--npz", path, &["npz"])?;
    }
    let on = device;
    let device = model::device(device)?;
    let path = match args.raw {
        true => &args.model.join(checkpoint::RAW),
        false => &args.model,
    };
    let (config, model) = model::load(path, &device)?;
    let weights = path;
    let vae = match &args.vae {
        Some(_) if !config.makes_latents() => {
            return Err(Failure::Usage(
                "the model draws images, not latents: leave --vae out".into(),
            ));
        }
        Some(path) => Some(autoencoder_of(&config, path, &device)?),
        None if config.makes_latents() => {
            return Err(Failure::Usage(format!(
                "the model makes latents of {} channels, not images: give the autoencoder they are of with --vae",
                config.model.input[0]
            )));
        }
        None => None,
    };
    if vae.is_some() {
        // Latents have no range.
        how.sampling.clip = Clip::Off;
    }
    let precision = args.precision.into();
    require_precision(precision, &model.device())?;
    let model = model.in_mode(Mode {
        precision,
        ..Mode::default()
    });
    let Rows { names, model, each } = match args.blend.is_empty() {
        true => {
            let wanted = class_list::names_in_all(&args.class, &config.classes)?;
            of_classes(&config.classes, model, &wanted)?
        }
        false => of_blends(&config.classes, &model, &args.blend)?,
    };
    let count = args.count.get();
    let shape = match &vae {
        None => model.config().input,
        Some(vae) => vae.config().image_shape(model.config().input),
    };
    memory::require_for_images(
        count as u128 * each.len() as u128,
        shape,
        &format!(
            "{count} images of each of {} classes or blends (--count)",
            each.len()
        ),
    )?;
    let row = |first: &Request| {
        let first = first.clone();
        (0..count as u64).map(move |index| Request {
            index,
            ..first.clone()
        })
    };
    let requests: Vec<Request> = each.iter().flat_map(row).collect();
    let schedule = Schedule::new(config.train.schedule, config.train.diffusion_steps)?;
    let target = config.train.objective.target;
    let images = match &vae {
        None => generate(&model, &schedule, target, &how, &requests)?,
        Some(vae) => generate_decoded(&model, &schedule, target, &how, &requests, vae)?,
    };
    // The archive first: a grid of very many images is too large a picture.
    if let (Some(path), Some(first)) = (&args.npz, images.first()) {
        let [channels, height, width] =
            [first.channels, first.height, first.width].map(|side| side as usize);
        let labels = requests.iter().filter_map(|r| r.label).map(|l| l as i64);
        let archive = ImageArchive {
            height,
            width,
            channels,
            pixels: images.iter().flat_map(|i| &i.pixels).copied().collect(),
            labels: args.blend.is_empty().then(|| labels.collect()),
        };
        output::make_folder_of(path)?;
        archive.write(path)?;
        output::wrote(path);
    }
    match &out {
        Some(Out::Sheet(path)) => {
            let mut grid = Grid::new(2);
            for (name, row) in names.iter().zip(images.chunks(count)) {
                grid.push_row(name, row.to_vec());
            }
            output::write_grid(path, &grid)?;
            output::wrote(path);
        }
        Some(Out::Folder(path)) => {
            let encoder = vae.as_ref().map(|vae| latent_space(vae).encoder);
            let settings = Settings::of(args, weights, on, encoder.as_deref())?;
            let kind = if args.blend.is_empty() {
                "class"
            } else {
                "blend"
            };
            settings.write(path, kind, &names, &images)?;
        }
        None => {}
    }
    output::json(&serde_json::json!({ "images": images.len(), "rows": names, "seed": args.seed }));
    Ok(())
}

/// The autoencoder at that path, if it is the one that the model's latents are of.
fn autoencoder_of(config: &RunConfig, path: &Path, device: &Device) -> Result<Autoencoder> {
    let vae = autoencoder::read(path, device)?;
    let (makes, takes) = (config.model.input[0], vae.config().latent_channels);
    let trained_on = config.data.encoder.as_ref();
    if trained_on.is_some_and(|encoder| *encoder != latent_space(&vae).encoder) || makes != takes {
        return Err(Failure::Usage(format!(
            "--vae {} is not the autoencoder of the model, which makes latents of {makes} channels{}: give the one that \
             its images were encoded with",
            path.display(),
            match trained_on {
                Some(encoder) => format!(" of the encoder {encoder}"),
                None => format!(", and this takes {takes}"),
            }
        )));
    }
    if !matches!(vae.config().image_channels, 1 | 3) {
        let channels = vae.config().image_channels;
        return Err(Failure::Usage(format!(
            "--vae {} makes images of {channels} channels, expected 1 or 3",
            path.display()
        )));
    }
    Ok(vae)
}

/// What to draw, a row each, and the model that can.
struct Rows {
    names: Vec<String>,
    model: Dit,
    /// The first image of each.
    each: Vec<Request>,
}

/// The classes asked for, or all.
fn of_classes(known: &[String], model: Dit, wanted: &[String]) -> Result<Rows> {
    let names = if wanted.is_empty() { known } else { wanted }.to_vec();
    let numbers = names.iter().map(|name| number(known, name));
    let each = numbers.map(|class| Ok(Request::of_class(class?, 0)));
    Ok(Rows {
        each: each.collect::<Result<_>>()?,
        names,
        model,
    })
}

fn of_blends(known: &[String], model: &Dit, wanted: &[String]) -> Result<Rows> {
    let blends = wanted.iter().map(|text| blend(known, text));
    let blends = blends.collect::<Result<Vec<Blend>>>()?;
    let (model, labels) = model.with_blends(&blends)?;
    let request = |(label, blend): (usize, &Blend)| Request {
        label: Some(label),
        tailors: blend.weights().to_vec(),
        index: 0,
    };
    Ok(Rows {
        names: wanted.to_vec(),
        model,
        each: labels.zip(&blends).map(request).collect(),
    })
}

/// `cat=0.5,dog=0.5`.
fn blend(known: &[String], text: &str) -> Result<Blend> {
    let part = |part: &str| {
        let weighted = part.rsplit_once('=');
        let weighted =
            weighted.and_then(|(name, weight)| Some((name, weight.trim().parse().ok()?)));
        let (name, weight) = weighted.ok_or_else(|| {
            Failure::Usage(format!(
                "--blend has `{part}`, expected a class and its weight such as {}=0.5",
                known.first().map_or("cat", String::as_str)
            ))
        })?;
        let name = name.trim();
        let is_known = known.iter().any(|class| class == name);
        let name = match is_known {
            true => name.to_owned(),
            false => class_list::unquoted(name),
        };
        Ok((number(known, &name)?, weight))
    };
    let parts = match text.rsplit_once('=') {
        Some((name, _)) if known.iter().any(|class| class == name.trim()) => vec![part(text)?],
        _ => class_list::parts(text)
            .into_iter()
            .map(part)
            .collect::<Result<_>>()?,
    };
    Ok(Blend::new(parts)?)
}

fn number(known: &[String], name: &str) -> Result<usize> {
    let found = known.iter().position(|k| k == name);
    Ok(found.ok_or_else(|| learngene_transfer::Error::unknown_class(name, known.iter()))?)
}

fn generation(args: &args::Sample) -> Result<Generation> {
    if !args.cfg.is_finite() {
        let found = args.cfg;
        return Err(Failure::Usage(format!(
            "--cfg is {found}, expected a number such as 2; 1 is no guidance"
        )));
    }
    let sampling = Sampling {
        kind: args.sampler.parse()?,
        steps: args.steps,
        clip: Clip::Range,
        ..Sampling::default()
    };
    Ok(Generation {
        sampling,
        guidance: args.cfg,
        interval: None,
        seed: args.seed,
        watch: progress::watch(),
    })
}
