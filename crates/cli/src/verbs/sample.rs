//! `sample`.

use crate::failure::{Failure, Result};
use crate::{args, model, output};
use learngene_data::picture::Grid;
use learngene_diffusion::{Clip, Sampling, Schedule};
use learngene_formats::ImageArchive;
use learngene_nn::{Mode, Precision};
use learngene_train::{Generation, Request, generate};

/// `sample`.
pub fn sample(args: &args::Sample, device: &str) -> Result<()> {
    let how = generation(args)?;
    let (config, model) = model::load(&args.model, &model::device(device)?)?;
    let precision = Precision::from(args.precision);
    if !precision.is_available(&model.device()) {
        return Err(Failure::Usage(
            "--precision bf16 takes a CPU with AVX512-BF16; without it images are drawn in f32"
                .into(),
        ));
    }
    let model = model.in_mode(Mode {
        precision,
        ..Mode::default()
    });
    let known = &config.classes;
    let wanted = if args.class.is_empty() {
        known
    } else {
        &args.class
    };
    let number = |name: &String| {
        known.iter().position(|k| k == name).ok_or_else(|| {
            Failure::Usage(format!(
                "the model has no class `{name}`; its classes are {}",
                known.join(", ")
            ))
        })
    };
    let classes = wanted.iter().map(number).collect::<Result<Vec<_>>>()?;
    let count = args.count.get();
    let each = |&class: &usize| (0..count).map(move |i| Request::of_class(class, i as u64));
    let requests: Vec<Request> = classes.iter().flat_map(each).collect();
    let schedule = Schedule::new(config.train.schedule, config.train.diffusion_steps)?;
    let target = config.train.objective.target;
    let images = generate(&model, &schedule, target, &how, &requests)?;
    // The archive first: a grid of very many images is too large a picture.
    if let Some(path) = &args.npz {
        let [channels, height, width] = config.model.input;
        let labels = requests.iter().filter_map(|r| r.label);
        let archive = ImageArchive {
            height,
            width,
            channels,
            pixels: images.iter().flat_map(|i| &i.pixels).copied().collect(),
            labels: Some(labels.map(|l| l as i64).collect()),
        };
        output::make_folder_of(path)?;
        archive.write(path)?;
        output::say(&format!("wrote {}", path.display()));
    }
    if let Some(path) = &args.out {
        let mut grid = Grid::new(2);
        for (name, row) in wanted.iter().zip(images.chunks(count)) {
            grid.push_row(name, row.to_vec());
        }
        output::write(path, &grid.encode_png()?)?;
        output::say(&format!("wrote {}", path.display()));
    }
    Ok(())
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
    })
}
