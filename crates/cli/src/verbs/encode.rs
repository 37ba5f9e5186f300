//! `encode`.

use crate::failure::{Failure, Result};
use crate::progress::Progress;
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
    let length = source.known_len().unwrap_or_default() as u64;
    let encoding = Progress::new("encoding", length, "images");
    let done = encode_source(
        &*source,
        &vae,
        &LoadOptions {
            image_size: args.image_size,
            fit: args.fit.map(Into::into).unwrap_or_default(),
            strict: args.strict,
            ..LoadOptions::default()
        },
        &args.out,
        stop(),
        &mut |done| encoding.set(done as f64),
    )?;
    drop(encoding);
    let Some(encoded) = done else {
        return Err(Failure::StoppedHere(
            "what is encoded stays, and the same command goes on where it was",
        ));
    };
    output::broken(&encoded.broken);
    output::notes(&source.notes());
    output::say(&format!(
        "wrote {}: latents of {} images and their mirror images",
        args.out.display(),
        encoded.images
    ));
    output::keep(&args.out);
    output::json(&serde_json::json!({ "images": encoded.images, "broken": encoded.broken }));
    Ok(())
}
