//! `export`.

use crate::failure::Result;
use crate::verbs::assemble::require_other_file;
use crate::{args, model, output};
use learngene_formats::FolderWriter;
use learngene_nn::Dit;
use learngene_train::RunConfig;
use learngene_transfer::interop::{checkpoint, diffusers, lora};
use std::path::Path;

/// Where the tailors of an exported model lie.
const TAILORS: &str = "tailors";

/// `export`.
pub fn export(args: &args::Export, device: &str) -> Result<()> {
    let (config, whole) = model::load(&args.model, &model::device(device)?)?;
    output::json(&serde_json::json!({ "classes": config.classes }));
    match args.format {
        args::Format::Diffusers => to_diffusers(&config, &whole, &args.out),
        args::Format::Dit => to_dit(&config, &whole, args),
    }
}

fn to_dit(config: &RunConfig, whole: &Dit, args: &args::Export) -> Result<()> {
    require_other_file(&args.out, &model::find(&args.model)?)?;
    output::make_folder_of(&args.out)?;
    checkpoint::write(config, whole, &args.out)?;
    output::wrote(&args.out);
    if config.model.groups > 0 {
        output::note("note: without its tailors, for which the format dit has no place");
    }
    Ok(())
}

fn to_diffusers(config: &RunConfig, whole: &Dit, out: &Path) -> Result<()> {
    let folder = FolderWriter::begin(out)?;
    let needs_telling = diffusers::write(config, whole, &folder.path())?;
    let mut written = vec![diffusers::TRANSFORMER.into()];
    for (i, (class, tailor)) in lora::of_model(config, whole).into_iter().enumerate() {
        let part = Path::new(TAILORS).join(folder_name(i, class.as_deref()));
        tailor.write(&folder.path().join(&part), &config.model)?;
        written.push(part);
    }
    folder.finish()?;
    for part in written {
        output::wrote(&out.join(part));
    }
    if needs_telling {
        output::note(
            "note: this model codes times as DiT does, not as diffusers does; after loading, set \
             block.norm1.emb.time_proj.downscale_freq_shift = 0 in each block (docs/python.md)",
        );
    }
    Ok(())
}

/// A folder for the tailor of a class: its name, where that is a plain one.
fn folder_name(number: usize, class: Option<&str>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    match class {
        None => "all".into(),
        Some(class) if !class.is_empty() && class.len() < 100 && class.chars().all(plain) => {
            class.into()
        }
        Some(_) => format!("class {number}"),
    }
}
