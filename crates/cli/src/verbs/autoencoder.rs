//! `autoencoder train`.

use crate::args::{self, AutoencoderVerb};
use crate::failure::{Failure, Result};
use crate::progress::Progress;
use crate::training::{About, DIVERGED, NOTHING, stop};
use crate::verbs::resolve;
use crate::{model, output};
use learngene_formats::FolderWriter;
use learngene_nn::{Autoencoder, AutoencoderConfig, params};
use learngene_train::{AutoencoderRun, AutoencoderTraining, DataConfig};
use learngene_transfer::interop::autoencoder as files;
use std::path::{Path, PathBuf};

/// `autoencoder`.
pub fn autoencoder(args: &args::Autoencoder, device: &str) -> Result<()> {
    let AutoencoderVerb::Train {
        data,
        image_size,
        reading,
        steps,
        batch,
        lr,
        seed,
        checkpoint_every,
        out,
    } = &args.verb;
    FolderWriter::check(out)?;
    let dataset = resolve::load(&DataConfig {
        image_size: *image_size,
        ..reading.of(data)
    })?;
    let [channels, height, width] = dataset.shape();
    let config = AutoencoderConfig::small(channels, height.max(width));
    let how = AutoencoderTraining {
        steps: *steps,
        batch: *batch,
        lr: *lr,
        seed: *seed,
        checkpoint_every: *checkpoint_every,
    };
    let device = model::device(device)?;
    let checkpoints = checkpoints_of(out)?;
    let run = AutoencoderRun::open(&checkpoints, &config, &dataset, &how, &device)?;
    let shapes = params::shapes(&Autoencoder::init(&config, how.seed, &device)?);
    let numbers = shapes.values().map(|shape| shape.iter().product::<usize>());
    let about = About::autoencoder(out, &dataset, how.batch, numbers.sum::<usize>() as u64);
    about.announce();
    let shown = Progress::after("training", run.done(), how.steps, "steps");
    let mut last = 0.0;
    let mut observe = |step: u64, error: f64| {
        shown.set(step as f64);
        shown.note(format!("mean absolute error {error:.4}"));
        last = error;
    };
    let fitted = run.train(stop(), &mut observe)?;
    drop(shown);
    if dataset.streams() {
        output::broken(&dataset.broken());
    }
    let fitted = fitted.map_err(|step| Failure::InterruptedHere {
        step,
        checkpoints: checkpoints.clone(),
    })?;
    let folder = FolderWriter::begin(out)?;
    files::write(&fitted.autoencoder, &folder.path())?;
    folder.finish()?;
    // It is written whole; what is left of its training is of no more use.
    std::fs::remove_dir_all(&checkpoints).map_err(|source| Failure::Write {
        path: checkpoints.display().to_string(),
        source,
    })?;
    output::wrote(out);
    if let Some((psnr, images)) = fitted.psnr {
        output::say(&format!(
            "validation images given back: {psnr:.1} dB (peak signal-to-noise ratio, n = {images})"
        ));
    }
    let config = fitted.autoencoder.config();
    let (scale, shift) = (config.scaling_factor, config.shift_factor);
    let latent = config.latent_shape(dataset.shape())?;
    output::say(&format!(
        "latents of {channels}x{height}x{width}: {}, scaling factor {scale:.4}, shift factor {shift:.4}",
        latent.map(|side| side.to_string()).join("x")
    ));
    output::json(&about);
    output::json(&serde_json::json!({
        "steps": how.steps, "mean_absolute_error": last, "psnr": fitted.psnr.map(|(psnr, _)| psnr),
        "latent": latent, "scaling_factor": scale, "shift_factor": shift,
    }));
    // One grey for all pictures is never further off than that.
    if last > DIVERGED * NOTHING {
        return Err(Failure::Diverged {
            what: "mean absolute error",
            loss: last,
            nothing: NOTHING,
            lr: how.lr,
        });
    }
    Ok(())
}

/// Where the checkpoints lie while it trains: beside the folder, which is the autoencoder's alone.
fn checkpoints_of(out: &Path) -> Result<PathBuf> {
    let name = out.file_name().ok_or_else(|| {
        Failure::Usage(format!("--out {} names no folder to make", out.display()))
    })?;
    let mut name = name.to_owned();
    name.push(".checkpoints");
    Ok(out.with_file_name(name))
}
