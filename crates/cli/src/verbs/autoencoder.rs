//! `autoencoder train`.

use crate::args::{self, AutoencoderVerb};
use crate::failure::{Failure, Result};
use crate::progress::Progress;
use crate::training::{About, DIVERGED, NOTHING, stop};
use crate::verbs::resolve;
use crate::{model, output};
use learngene_formats::FolderWriter;
use learngene_nn::{Autoencoder, AutoencoderConfig, params};
use learngene_train::{AutoencoderTraining, DataConfig, fit_autoencoder};
use learngene_transfer::interop::autoencoder as files;

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
        out,
    } = &args.verb;
    FolderWriter::check(out)?;
    let dataset = resolve::load(&DataConfig {
        image_size: *image_size,
        stream: reading.stream,
        strict: reading.strict,
        ..DataConfig::of(data)
    })?;
    let [channels, height, width] = dataset.shape();
    let config = AutoencoderConfig::small(channels, height.max(width));
    let how = AutoencoderTraining {
        steps: *steps,
        batch: *batch,
        lr: *lr,
        seed: *seed,
    };
    let device = model::device(device)?;
    let shapes = params::shapes(&Autoencoder::init(&config, how.seed, &device)?);
    let numbers = shapes.values().map(|shape| shape.iter().product::<usize>());
    let about = About::autoencoder(out, &dataset, how.batch, numbers.sum::<usize>() as u64);
    about.announce();
    let shown = Progress::new("training", how.steps, "steps");
    let mut last = 0.0;
    let mut observe = |step: u64, error: f64| {
        shown.set(step as f64);
        shown.note(format!("mean absolute error {error:.4}"));
        last = error;
    };
    let fitted = fit_autoencoder(&config, &dataset, &how, &device, stop(), &mut observe)?;
    drop(shown);
    if dataset.streams() {
        output::broken(&dataset.broken());
    }
    let fitted = fitted.ok_or(Failure::StoppedHere("nothing is written"))?;
    let folder = FolderWriter::begin(out)?;
    files::write(&fitted.autoencoder, &folder.path())?;
    folder.finish()?;
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
