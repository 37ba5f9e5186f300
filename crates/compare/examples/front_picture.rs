//! The picture of the README, out of a folder that `learngene quickstart --out DIR` left:
//!
//!     cargo run --release -p learngene-compare --example front_picture -- DIR face,flag,clock heart,bird OUT.png
//!
//! On the left, the same noise with a class's own tailor, with none and with another class's; on the right, new classes
//! before and after their transfer. `scripts/front-picture.sh` does all of it.

#![expect(clippy::print_stdout, reason = "a program of its own")]

use burn::tensor::Device;
use learngene_compare::{Lab, first_images};
use learngene_data::image::PictureFormat;
use learngene_data::picture::{Panel, side_by_side};
use learngene_data::{Image, Split};
use learngene_diffusion::{Clip, SamplerKind, Sampling};
use learngene_train::{DataConfig, checkpoint, weights};
use std::error::Error;
use std::path::Path;

/// How images are drawn: as those that `quickstart` judges, in more steps.
const STEPS: usize = 50;
const GUIDANCE: f64 = 2.0;
const SEED: u64 = 0;
/// Images of a kind in a row, and how often their pixels are repeated.
const ABREAST: usize = 2;
const SCALE: u32 = 2;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, base, novel, out] = &args[..] else {
        return Err(
            "expected a folder of quickstart, base classes, new classes and a picture to write"
                .into(),
        );
    };
    let names = |list: &str| -> Vec<String> { list.split(',').map(String::from).collect() };
    let folder = Path::new(folder);
    let left = swaps(&folder.join("base"), &names(base))?;
    let right = transfer(&folder.join("base"), &folder.join("novel"), &names(novel))?;
    let picture = side_by_side(&[left, right])?;
    std::fs::write(out, PictureFormat::of(Path::new(out))?.encode(&picture)?)?;
    println!("wrote {out}, {} x {} pixels", picture.width, picture.height);
    Ok(())
}

fn sampling() -> Sampling {
    Sampling {
        kind: SamplerKind::Ddpm,
        steps: STEPS,
        clip: Clip::Range,
        ..Sampling::default()
    }
}

/// Rows of the wanted classes out of rows of all.
fn numbers(known: &[String], wanted: &[String]) -> Result<Vec<usize>, Box<dyn Error>> {
    let number = |name: &String| {
        let found = known.iter().position(|class| class == name);
        found.ok_or_else(|| format!("no class `{name}`, but {}", known.join(", ")).into())
    };
    wanted.iter().map(number).collect()
}

fn real(classes: &[String]) -> Result<Vec<Vec<Image>>, Box<dyn Error>> {
    let data = DataConfig {
        classes: classes.join(","),
        ..DataConfig::of("builtin:emoji")
    };
    Ok(first_images(&data.load()?, Split::Test, ABREAST)?)
}

/// Own tailor, none, and that of the class in the next row.
fn swaps(run: &Path, wanted: &[String]) -> Result<Image, Box<dyn Error>> {
    let (file, _) = checkpoint::find_model(run)?;
    let (config, model) = weights::read(&file, &Device::flex())?;
    let chosen = numbers(&config.classes, wanted)?;
    let lab = Lab::of(&config, sampling(), SEED, 1)?;
    let next = |class: usize| {
        let at = chosen.iter().position(|&c| c == class)?;
        Some(chosen[(at + 1) % chosen.len()])
    };
    let classes = config.classes.len();
    let draw = |tailor: &learngene_compare::Tailor<'_>| {
        lab.images(&model, classes, ABREAST, GUIDANCE, tailor)
    };
    let sets = [draw(&Some)?, draw(&|_| None)?, draw(&next)?];
    let heads = [
        "real images",
        "its own tailor",
        "no tailor",
        "another tailor",
    ];
    let title = "The same noise and label, only the tailor is exchanged (the other is that of the next row)";
    panel(title, &heads, wanted, &chosen, &sets)
}

/// Real images and drawn sets of the chosen classes.
fn panel(
    title: &str,
    heads: &[&str],
    names: &[String],
    chosen: &[usize],
    sets: &[Vec<Image>],
) -> Result<Image, Box<dyn Error>> {
    let row = |(name, (&class, real)): (&String, (&usize, Vec<Image>))| {
        let drawn = sets
            .iter()
            .flat_map(|set| set[class * ABREAST..][..ABREAST].to_vec());
        (name.clone(), real.into_iter().chain(drawn).collect())
    };
    let panel = Panel {
        title: title.into(),
        groups: heads
            .iter()
            .map(|head| ((*head).to_owned(), ABREAST))
            .collect(),
        rows: names
            .iter()
            .zip(chosen.iter().zip(real(names)?))
            .map(row)
            .collect(),
        scale: SCALE,
    };
    Ok(panel.paint()?)
}

/// New classes before anything was trained for them, and after.
fn transfer(base: &Path, novel: &Path, wanted: &[String]) -> Result<Image, Box<dyn Error>> {
    let device = Device::flex();
    let (config, model) = weights::read(&checkpoint::find_model(base)?.0, &device)?;
    let (adapted, moved) = weights::read(&checkpoint::find_model(novel)?.0, &device)?;
    let chosen = numbers(&adapted.classes, wanted)?;
    let settings = adapted
        .method
        .as_ref()
        .map(|method| method.settings.clone())
        .unwrap_or_default();
    let method = learngene_transfer::method("kind")?;
    let seed = config.train.seed;
    let (_, start) = learngene_transfer::adapt(
        &config,
        &model,
        &adapted.classes,
        method,
        &settings,
        seed,
        &device,
    )?;
    let lab = Lab::of(&config, sampling(), SEED, 1)?;
    let classes = adapted.classes.len();
    let sets = [&start, &moved].map(|model| lab.images(model, classes, ABREAST, GUIDANCE, &Some));
    let [before, after] = sets;
    let sets = [before?, after?];
    let heads = ["real images", "before", "after"];
    panel(
        "New classes: before and after only tailors were trained",
        &heads,
        wanted,
        &chosen,
        &sets,
    )
}
