//! `autoencoder train`.

use crate::args::{self, AutoencoderVerb};
use crate::failure::{Failure, Result};
use crate::training::stop;
use crate::verbs::export::require_empty;
use crate::verbs::resolve;
use crate::{model, output};
use learngene_nn::AutoencoderConfig;
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
    require_empty(out)?;
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
    let bar = output::bar(how.steps, "training");
    let device = model::device(device)?;
    let mut observe = |step, error: f64| {
        bar.set_position(step);
        bar.set_message(format!("mean absolute error {error:.4},"));
    };
    let fitted = fit_autoencoder(&config, &dataset, &how, &device, stop(), &mut observe)?;
    bar.finish_and_clear();
    if dataset.streams() {
        output::broken(&dataset.broken());
    }
    let fitted = fitted.ok_or(Failure::StoppedHere("nothing is written"))?;
    files::write(&fitted.autoencoder, out)?;
    output::say(&format!("wrote {}", out.display()));
    if let Some((psnr, images)) = fitted.psnr {
        output::say(&format!(
            "validation images given back: {psnr:.1} dB (peak signal-to-noise ratio, n = {images})"
        ));
    }
    let config = fitted.autoencoder.config();
    let (scale, shift) = (config.scaling_factor, config.shift_factor);
    output::say(&format!(
        "latents of {channels}x{height}x{width}: {}, scaling factor {scale:.4}, shift factor {shift:.4}",
        config
            .latent_shape(dataset.shape())?
            .map(|side| side.to_string())
            .join("x")
    ));
    Ok(())
}
