//! Images from a trained model: the place where labels and gates meet the samplers, which know neither.

use crate::error::{Error, Result};
use crate::watch::Watch;
use burn::tensor::{Tensor, TensorData};
use learngene_data::{Image, Purpose, Stream, picture::Grid};
use learngene_diffusion::{Conditional, Guided, Sampling, Schedule, Target, sample};
use learngene_nn::{Autoencoder, ClassGate, Conditions, Dit, params};
use std::cell::RefCell;

/// Images generated at once.
const BATCH: usize = 48;

/// One image to generate.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The label; `None` is the null label.
    pub label: Option<usize>,
    /// Classes whose tailors are on, and their weights; superclasses follow.
    pub tailors: Vec<(usize, f32)>,
    /// Number of the image: with the seed it decides all noise.
    pub index: u64,
}

impl Request {
    /// A label with its own tailor.
    pub fn of_class(class: usize, index: u64) -> Self {
        Self {
            label: Some(class),
            tailors: vec![(class, 1.0)],
            index,
        }
    }
}

/// How images are generated.
#[derive(Clone, Debug)]
pub struct Generation {
    /// Sampler and steps.
    pub sampling: Sampling,
    /// Scale of classifier-free guidance; 1 is none.
    pub guidance: f64,
    /// Times within which guidance works; everywhere if absent.
    pub interval: Option<(f64, f64)>,
    /// Seed of all noise.
    pub seed: u64,
    /// Is told of `images`; one counts as the share of its steps that are done.
    pub watch: Watch,
}

/// A model under given labels and tailors; without them it is the learngene with the null label.
struct Conditioned<'a> {
    model: &'a Dit,
    labels: Vec<Option<usize>>,
    lists: Vec<Vec<(usize, f32)>>,
    /// The first error of the model, which the sampler's interface has no place for.
    fault: &'a RefCell<Option<learngene_nn::Error>>,
}

impl Conditioned<'_> {
    fn run(&self, x: Tensor<4>, t: f64, labels: Vec<Option<usize>>, gate: ClassGate) -> Tensor<4> {
        let conditions = Conditions {
            times: vec![t; labels.len()],
            labels,
            gate: self.model.fit_gate(gate),
        };
        self.model
            .forward(x.clone(), &conditions)
            .unwrap_or_else(|e| {
                self.fault.borrow_mut().get_or_insert(e);
                x
            })
    }
}

impl Conditional for Conditioned<'_> {
    fn conditional(&self, x: Tensor<4>, t: f64) -> Tensor<4> {
        self.run(
            x,
            t,
            self.labels.clone(),
            ClassGate::new(self.lists.clone()),
        )
    }

    fn both(&self, x: Tensor<4>, t: f64) -> Tensor<4> {
        let n = self.labels.len();
        let labels = self.labels.iter().copied().chain(vec![None; n]).collect();
        let lists = self
            .lists
            .iter()
            .cloned()
            .chain(vec![Vec::new(); n])
            .collect();
        let twice = Tensor::cat(vec![x.clone(), x], 0);
        self.run(twice, t, labels, ClassGate::new(lists))
    }
}

/// Generates the requested images, in order. `model` must not be on an autodiff device.
///
/// # Errors
/// A model of anything but images, and one that draws what is no number; settings that samplers refuse.
pub fn generate(
    model: &Dit,
    schedule: &Schedule,
    target: Target,
    how: &Generation,
    requests: &[Request],
) -> Result<Vec<Image>> {
    let [channels, height, width] = model.config().input;
    if !matches!(channels, 1 | 3) {
        return Err(Error::Latents { channels });
    }
    let [c, h, w] = [channels, height, width].map(|side| side as u32);
    let picture = |planes: &[f32]| Ok(Some(Image::from_chw(w, h, c, planes)));
    draw(model, schedule, target, how, requests, &picture)
}

/// The same for a model of latents, each decoded as soon as it is there.
///
/// # Errors
/// As [`generate`], and an autoencoder with latents of other channels.
pub fn generate_decoded(
    model: &Dit,
    schedule: &Schedule,
    target: Target,
    how: &Generation,
    requests: &[Request],
    autoencoder: &Autoencoder,
) -> Result<Vec<Image>> {
    let shape = model.config().input;
    let config = autoencoder.config();
    let by = config.reduction();
    let [c, h, w] = [config.image_channels, by * shape[1], by * shape[2]].map(|side| side as u32);
    let picture = |latent: &[f32]| {
        let planes = autoencoder.draw(latent, shape)?;
        let finite = planes.iter().all(|x| x.is_finite());
        Ok(finite.then(|| Image::from_chw(w, h, c, &planes)))
    };
    draw(model, schedule, target, how, requests, &picture)
}

/// Draws what the model makes, and a picture of each; none comes of what is not finite.
fn draw(
    model: &Dit,
    schedule: &Schedule,
    target: Target,
    how: &Generation,
    requests: &[Request],
    picture: &dyn Fn(&[f32]) -> Result<Option<Image>>,
) -> Result<Vec<Image>> {
    let [c, h, w] = model.config().input;
    let size = c * h * w;
    let device = model.device();
    let mut images = Vec::with_capacity(requests.len());
    for part in requests.chunks(BATCH) {
        let draw = |streams: &mut [Stream]| -> Tensor<4> {
            let mut values = vec![0.0; streams.len() * size];
            let each = values.chunks_mut(size).zip(streams);
            each.for_each(|(image, stream)| stream.fill_normal(image));
            Tensor::from_data(TensorData::new(values, [part.len(), c, h, w]), &device)
        };
        let streams = |purpose| -> Vec<Stream> {
            part.iter()
                .map(|r| Stream::new(how.seed, r.index, purpose))
                .collect()
        };
        let fault = RefCell::new(None);
        let conditioned = Conditioned {
            model,
            labels: part.iter().map(|r| r.label).collect(),
            lists: part.iter().map(|r| r.tailors.clone()).collect(),
            fault: &fault,
        };
        let mut guided = Guided::new(conditioned, how.guidance)?;
        if let Some((first, last)) = how.interval {
            guided = guided.within(first, last)?;
        }
        let start = draw(&mut streams(Purpose::SampleNoise));
        let mut on_the_way = streams(Purpose::SamplerNoise);
        let mut noise = |_: usize, _: [usize; 4]| draw(&mut on_the_way);
        let done = sample(
            &guided,
            schedule,
            target,
            &how.sampling,
            start,
            &mut noise,
            &mut |step, _| {
                let share = (step + 1) as f64 / how.sampling.steps.max(1) as f64;
                let done = images.len() as f64 + share.min(1.0) * part.len() as f64;
                how.watch.see("images", done, requests.len());
            },
        )?;
        if let Some(error) = fault.into_inner() {
            return Err(error.into());
        }
        let planes = params::to_vec(done);
        for (planes, request) in planes.chunks(size).zip(part) {
            // As bytes they would look like any other picture.
            let finite = planes.iter().all(|x| x.is_finite());
            let image = if finite { picture(planes)? } else { None };
            images.push(image.ok_or(Error::Drawn {
                index: request.index,
                label: request.label,
            })?);
        }
    }
    Ok(images)
}

/// Images of each class in a row of [`class_grid`].
const COLUMNS: usize = 4;

/// A picture with a row of samples for each class, as a run paints it while it trains: 25 steps, guidance 2.
pub(crate) fn class_grid(
    model: &Dit,
    schedule: &Schedule,
    target: Target,
    seed: u64,
    classes: &[String],
) -> Result<Image> {
    let how = Generation {
        sampling: Sampling {
            steps: 25,
            ..Sampling::default()
        },
        guidance: 2.0,
        interval: None,
        seed,
        watch: Watch::default(),
    };
    let request = |i: usize| Request::of_class(i / COLUMNS, i as u64);
    let requests: Vec<_> = (0..classes.len() * COLUMNS).map(request).collect();
    let images = generate(model, schedule, target, &how, &requests)?;
    let mut grid = Grid::new(2);
    for (class, row) in classes.iter().zip(images.chunks(COLUMNS)) {
        grid.push_row(class, row.to_vec());
    }
    Ok(grid.paint()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use learngene_nn::{DitConfig, FactorInit};

    #[test]
    fn an_image_that_is_no_picture_is_an_error_and_not_black() {
        let config = DitConfig::from_size("dit-micro/4", [3, 8, 8], 2).unwrap();
        let whole = Dit::init(&config, FactorInit::Orthogonal, 0, &Device::flex()).unwrap();
        let mut values = params::values(&whole);
        let table = values.get_mut("label.table").unwrap();
        // The first class alone: image 1 has the label 1.
        table.values[..config.hidden].fill(f32::NAN);
        // The output starts at zero, which would hide what goes in.
        for (name, value) in &mut values {
            if name.starts_with("output") || name.starts_with("final_modulation") {
                value.values.fill(0.01);
            }
        }
        let model = params::replace(whole, values).unwrap();
        let schedule = Schedule::new(learngene_diffusion::ScheduleKind::Cosine, 1000).unwrap();
        let how = Generation {
            sampling: Sampling {
                steps: 2,
                clip: learngene_diffusion::Clip::Range,
                ..Sampling::default()
            },
            guidance: 1.0,
            interval: None,
            seed: 0,
            watch: Watch::default(),
        };
        let of = |class| [Request::of_class(class, 7)];
        let draw = |class| generate(&model, &schedule, Target::Velocity, &how, &of(class));
        assert_eq!(draw(1).unwrap().len(), 1);
        let refused = draw(0).unwrap_err();
        assert!(
            matches!(
                refused,
                Error::Drawn {
                    index: 7,
                    label: Some(0)
                }
            ),
            "{refused}"
        );
    }
}
