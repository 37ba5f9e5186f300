//! `encode`.

use crate::failure::{Failure, Result};
use crate::training::stop;
use crate::{args, model, output};
use learngene_data::{LoadOptions, source};
use learngene_train::encode as encode_source;
use learngene_transfer::interop::autoencoder;

/// `encode`.
pub fn encode(args: &args::Encode, device: &str) -> Result<()> {
    let source = source::open(&args.data, None)?;
    output::left_out(source.skipped());
    let vae = autoencoder::read(&args.vae, &model::device(device)?)?;
    let bar = output::bar(source.known_len().unwrap_or_default() as u64, "encoding");
    let done = encode_source(
        &*source,
        &vae,
        &LoadOptions {
            image_size: args.image_size,
            strict: args.strict,
            ..LoadOptions::default()
        },
        &args.out,
        stop(),
        &mut |done| {
            bar.set_position(done);
        },
    )?;
    bar.finish_and_clear();
    let Some(encoded) = done else {
        return Err(Failure::StoppedHere(
            "what is encoded stays, and the same command goes on where it was",
        ));
    };
    output::broken(&encoded.broken);
    output::say(&format!(
        "wrote {}: latents of {} images and their mirror images",
        args.out.display(),
        encoded.images
    ));
    Ok(())
}
