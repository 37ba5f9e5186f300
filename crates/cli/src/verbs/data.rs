//! `data inspect`, `data tree`.

use crate::args::{self, DataVerb};
use crate::failure::{Failure, Result};
use crate::output::{self, shortened};
use crate::progress::Progress;
use crate::verbs::advise::advise;
use learngene_data::picture::ContactSheet;
use learngene_data::{ClassSelection, Statistics, WordNet, source};
use std::collections::BTreeSet;
use std::path::Path;

/// Images of each class on a contact sheet.
const TILES: usize = 10;
/// Pixels above which a side of such an image is scaled down.
const LARGEST_TILE: u32 = 64;

/// `data`.
pub fn data(args: &args::Data, device: &str) -> Result<()> {
    match &args.verb {
        DataVerb::Inspect {
            source,
            class_map,
            contact_sheet,
            image_size,
            advise,
        } => {
            inspect(source, class_map.as_deref(), contact_sheet.as_deref())?;
            match advise {
                true => self::advise(source, *image_size, device),
                false => Ok(()),
            }
        }
        DataVerb::Tree {
            source,
            classes,
            class_map,
            wordnet,
            depth,
            out,
        } => {
            let source = source::open(source, class_map.as_deref())?;
            let classes = classes.parse::<ClassSelection>()?.resolve(&*source)?;
            let tree = WordNet::read(wordnet)?.tree(&classes, *depth)?;
            output::write(out, tree.to_toml().as_bytes())?;
            let rows = tree.superclasses().iter();
            let rows = rows.map(|(name, of)| vec![name.clone(), of.len().to_string()]);
            output::table(&["superclass", "classes"], &rows.collect::<Vec<_>>());
            output::wrote(out);
            output::json(&serde_json::json!({ "superclasses": tree.superclasses() }));
            Ok(())
        }
    }
}

fn inspect(spec: &str, class_map: Option<&Path>, contact_sheet: Option<&Path>) -> Result<()> {
    let source = source::open(spec, class_map)?;
    if contact_sheet.is_some() && source.latent_space().is_some() {
        return Err(Failure::Usage(format!(
            "{spec} holds latents, which are no pictures: give --contact-sheet with the images that they are of"
        )));
    }
    let mut sheet = ContactSheet::new(source.class_names(), TILES, LARGEST_TILE);
    let length = source.known_len().unwrap_or_default() as u64;
    let reading = Progress::new("reading", length, "images");
    let statistics = Statistics::gather_with(&*source, |sample| {
        reading.add();
        sheet.add(sample);
    })?;
    drop(reading);
    if let Some(path) = contact_sheet {
        output::write_grid(path, &sheet.into_grid(1))?;
    }
    output::json(&statistics);
    print(&statistics);
    match contact_sheet {
        Some(path) => output::wrote_as("contact sheet", path),
        None if statistics.latents.is_some() => {}
        None => output::note("add --contact-sheet FILE.png for a picture of each class"),
    }
    Ok(())
}

fn print(found: &Statistics) {
    let (classes, what) = (
        found.classes.len(),
        match &found.latents {
            None => "images",
            Some(_) => "latents",
        },
    );
    output::say(&format!(
        "{}: {} {what}, {classes} classes",
        found.source, found.images
    ));
    if let Some(space) = &found.latents {
        let (scale, shift) = (space.scaling_factor, space.shift_factor);
        output::say(&format!(
            "of the encoder {}, scaling factor {scale}, shift factor {shift}",
            space.encoder
        ));
    }
    output::say("");
    let sets = [&found.base, &found.novel].map(|names| names.iter().collect::<BTreeSet<_>>());
    let part = |name: &String| {
        if sets[0].contains(name) {
            "base"
        } else if sets[1].contains(name) {
            "novel"
        } else {
            ""
        }
    };
    let partitioned = !(found.base.is_empty() && found.novel.is_empty());
    let mut columns = vec!["class", "train", "val", "test"];
    columns.extend(partitioned.then_some("part"));
    let rows = found.classes.iter().map(|class| {
        let counts = [class.train, class.val, class.test].map(|n| n.to_string());
        let part = partitioned.then(|| part(&class.name).to_owned());
        let name = [class.name.clone()].into_iter();
        name.chain(counts).chain(part).collect()
    });
    let rows: Vec<Vec<String>> = rows.collect();
    output::table(&columns, &rows);
    output::say("");
    let sizes = found.sizes.iter().map(|size| {
        let (w, h, c) = (size.width, size.height, size.channels);
        format!("{w}x{h}x{c} ({})", size.count)
    });
    output::say(&format!(
        "sizes (width x height x channels): {}",
        shortened(sizes)
    ));
    let numbers = |values: &[f64]| {
        let values: Vec<String> = values.iter().map(|v| format!("{v:.4}")).collect();
        values.join(" ")
    };
    let range = match &found.latents {
        None => "0 to 1",
        Some(_) => "shifted and scaled as a model sees them",
    };
    output::say(&format!(
        "mean of each channel, {range}: {}",
        numbers(&found.mean)
    ));
    output::say(&format!("standard deviation: {}", numbers(&found.std)));
    output::say(&format!("duplicates within a split: {}", found.duplicates));
    output::say(&format!(
        "images that occur in two splits: {}",
        found.leaked
    ));
    if !found.skipped.is_empty() {
        let names = shortened(found.skipped.iter().cloned());
        output::say(&format!("left out, no images: {names}"));
    }
    if !found.broken.is_empty() {
        output::say(&format!("broken images: {}", found.broken.len()));
        found
            .broken
            .iter()
            .for_each(|one| output::say(&format!("  {one}")));
    }
}
