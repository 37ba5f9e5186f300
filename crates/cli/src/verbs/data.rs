//! `data inspect`, `data tree`.

use crate::args::{self, DataVerb};
use crate::failure::{Failure, Result};
use crate::model;
use crate::output::{self, shortened};
use crate::progress::Progress;
use crate::verbs::advise::advise;
use crate::verbs::resolve;
use learngene_data::image::PictureFormat;
use learngene_data::picture::ContactSheet;
use learngene_data::{ClassSelection, Fit, Sample, Statistics, WordNet, source};
use learngene_formats::Header;
use learngene_train::{DataConfig, weights};
use std::collections::BTreeSet;
use std::path::Path;

/// Images of each class on a contact sheet.
const TILES: usize = 10;
/// Pixels above which a side of such an image is scaled down.
const LARGEST_TILE: u32 = 64;
/// Images in two splits whose names are printed.
const LEAKS: usize = 5;

/// `data`.
pub fn data(args: &args::Data, device: &str) -> Result<()> {
    match &args.verb {
        DataVerb::Inspect {
            source,
            class_map,
            image_size,
            model,
            prepared,
            contact_sheet,
            seed,
            advise,
        } => {
            let mut data = DataConfig {
                class_map: class_map.clone(),
                image_size: *image_size,
                ..prepared.of(source)
            };
            if let Some(model) = model {
                let file = model::find(model)?;
                let of = weights::config_of(&Header::read(&file)?, &file)?;
                if of.makes_latents() {
                    let message = "the model takes latents, which `encode` makes of images: give --image-size as there";
                    return Err(Failure::Usage(message.into()));
                }
                resolve::take_shape(&mut data, &of);
            }
            inspect(&data, contact_sheet.as_deref(), *seed)?;
            match advise {
                true => self::advise(data, device),
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

fn inspect(data: &DataConfig, contact_sheet: Option<&Path>, seed: u64) -> Result<()> {
    if let Some(path) = contact_sheet {
        PictureFormat::of(path)?;
    }
    let source = data.open()?;
    if contact_sheet.is_some() && source.latent_space().is_some() {
        return Err(Failure::Usage(format!(
            "{} holds latents, which are no pictures: give --contact-sheet with the images that they are of",
            data.source
        )));
    }
    // Images in the size of training are shown as they are.
    let largest = match data.image_size {
        Some(size) => u32::try_from(size).unwrap_or(u32::MAX),
        None => LARGEST_TILE,
    };
    let sheet = ContactSheet::new(source.class_names(), TILES, largest);
    let mut sheet = sheet.at_random(seed);
    let length = source.known_len().unwrap_or_default() as u64;
    let reading = Progress::new("reading", length, "images");
    let mut observe = |sample: &Sample| {
        reading.add();
        if contact_sheet.is_some() {
            sheet.add(sample);
        }
    };
    let statistics = Statistics::gather_as(&*source, &data.options(), &mut observe)?;
    drop(reading);
    if let Some(path) = contact_sheet {
        output::write_grid(path, &sheet.into_grid(1))?;
    }
    output::json(&statistics);
    print(&statistics, data);
    match contact_sheet {
        Some(path) => output::wrote_as("contact sheet", path),
        None if statistics.latents.is_some() => {}
        None => output::note("add --contact-sheet FILE.png for a picture of each class"),
    }
    Ok(())
}

fn print(found: &Statistics, data: &DataConfig) {
    let (classes, what) = (
        found.classes.len(),
        match &found.latents {
            None => "images",
            Some(_) => "latents",
        },
    );
    output::say(&format!(
        "{}: {} {what}, {}",
        found.source,
        found.images,
        output::class_count(classes)
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
    output::say(&format!("splits: {}", found.split_rule));
    output::say("");
    let sizes = found.sizes.iter().map(|size| {
        let (w, h, c) = (size.width, size.height, size.channels);
        format!("{w}x{h}x{c} ({})", size.count)
    });
    output::say(&format!(
        "sizes (width x height x channels): {}",
        shortened(sizes)
    ));
    if found.oblong > 0 {
        let (oblong, cut) = (found.oblong, 100.0 * found.cut);
        output::say(&match data.fit {
            Fit::Crop => format!(
                "no squares: {oblong} images; training cuts out their middles, {cut:.0} % of all images' areas are lost (--fit \
                 pad keeps all and adds white)"
            ),
            Fit::Pad => format!("no squares: {oblong} images; training adds white beside them"),
        });
    }
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
    for group in found.leaks.iter().take(LEAKS) {
        let names = group
            .iter()
            .map(|one| format!("{} ({})", one.id, one.split.name()));
        output::say(&format!("  {}", shortened(names)));
    }
    if found.leaks.len() > LEAKS {
        output::say("  all of them with --json");
    }
    if !found.skipped.is_empty() {
        let names = shortened(found.skipped.iter().cloned());
        output::say(&format!("left out, no images: {names}"));
    }
    for note in &found.notes {
        let names = shortened(note.of.iter().cloned());
        output::say(&format!("{}: {names}", note.what));
    }
    if !found.broken.is_empty() {
        output::say(&format!("broken images: {}", found.broken.len()));
        found
            .broken
            .iter()
            .for_each(|one| output::say(&format!("  {one}")));
    }
}
