//! The page that a training leaves in its run folder.

use crate::failure::Result;
use crate::page::{curve, figure, section, settings_of, strings};
use crate::progress;
use crate::quickstart::{sampling, swaps};
use crate::verbs::{cost_rows, machine};
use learngene_compare::{Course, Lab, course};
use learngene_data::{Dataset, Image, Split};
use learngene_diffusion::Sampling;
use learngene_eval::Report;
use learngene_eval::report::{Block, Figure, Gallery, Table};
use learngene_nn::cost;
use learngene_train::{Outcome, RunConfig};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file in the run folder.
const FILE: &str = "report.html";
/// Steps in which images are drawn, and their guidance.
const STEPS: usize = 16;
const GUIDANCE: f64 = 2.0;
/// At most so many classes, and images of each.
const CLASSES: usize = 24;
const IMAGES: usize = 3;
/// Seconds that drawing may take.
const SECONDS: f64 = 8.0;
/// A training step of an image is about so many passes; drawing takes one with the label and one without a step.
const PASSES: f64 = 3.0;

/// A training that has ended.
pub struct Ended<'a> {
    pub folder: &'a Path,
    pub config: &'a RunConfig,
    pub dataset: &'a Dataset,
    pub outcome: &'a Outcome,
}

/// How many images are drawn: of the first so many classes, so many each.
#[derive(Debug, PartialEq)]
struct Shown {
    classes: usize,
    images: usize,
}

impl Shown {
    /// As many as can be drawn in the time, by the pace of the training.
    fn of(classes: usize, images_per_second: f64) -> Self {
        let of_one = 2.0 * STEPS as f64 / (PASSES * images_per_second);
        // Of no pace, one image.
        let all = (SECONDS / of_one) as usize;
        let classes = classes.min(CLASSES).min(all.max(1));
        Self {
            images: (all / classes.max(1)).clamp(1, IMAGES),
            classes,
        }
    }
}

impl Ended<'_> {
    /// Writes the page.
    pub fn write(&self) -> Result<PathBuf> {
        let order = self.config.train.order();
        let batch = order.images(self.config.classes.len()) as u64;
        let course = course(self.folder, batch)?;
        let path = self.folder.join(FILE);
        let page = self.page(&course, batch)?.to_html();
        crate::output::write(&path, page.as_bytes())?;
        Ok(path)
    }

    fn page(&self, course: &Course, batch: u64) -> Result<Report> {
        let (config, outcome) = (self.config, self.outcome);
        let images = outcome.step * batch;
        let rate = images as f64 / course.seconds;
        let shown = Shown::of(config.classes.len(), rate);
        let mut top = Vec::new();
        let mut sections = vec![section("Loss", vec![Block::Curve(curve(course))])];
        if config.makes_latents() {
            let text = "The model makes latents; `learngene sample --vae` draws images of them.";
            sections.push(section("Images", vec![Block::Text(text.into())]));
        } else {
            top.push(Block::Gallery(self.gallery(&shown)?));
        }
        let plan = cost::plan(&config.model);
        sections.push(section(
            "Costs",
            vec![Block::Table(Table {
                caption: format!(
                    "{images} images in {} of training, {rate:.0} a second. A pass of one image takes the multiply-accumulates \
                     (MACs) of what runs for it.",
                    progress::time(Duration::try_from_secs_f64(course.seconds).unwrap_or_default())
                ),
                columns: strings(["part", "parameters", "MACs an image", "bytes"]),
                rows: cost_rows(&plan),
                total: true,
                ..Table::default()
            })],
        ));
        let name = self.folder.file_name().unwrap_or_default().display();
        let mut settings = vec![
            ("images".to_owned(), config.data.source.clone()),
            ("classes".to_owned(), config.classes.join(", ")),
        ];
        let method = config.method.as_ref();
        settings.extend(method.map(|method| ("method".to_owned(), method.name.clone())));
        settings.extend(settings_of(config));
        Ok(Report {
            title: format!("Training run {name}"),
            summary: vec![self.summary()],
            top,
            figures: self.figures(course, plan.total.parameters),
            sections,
            how_to_read: vec![
                "The v loss is the mean squared error of what the model predicts, on images it was not trained on, with times and \
                 noise that never change; lower is better, and a model that predicts nothing has about 1. A few hundred steps show \
                 whether it learns; pictures become better long after the loss hardly falls."
                    .into(),
                format!(
                    "Images are drawn by the averaged weights in {STEPS} steps with guidance {GUIDANCE}, none chosen. \
                     `learngene sample` draws more, with more steps; `learngene inspect --diversion` shows what the tailors do."
                ),
            ],
            settings,
            machine: machine(),
        })
    }

    fn summary(&self) -> String {
        let (config, dataset, step) = (self.config, self.dataset, self.outcome.step);
        let [train, val, test] = Split::ALL.map(|split| dataset.len(split));
        let stopped = match self.outcome.interrupted {
            true => format!(
                " of {}: it was stopped, and `learngene resume` goes on",
                config.train.steps
            ),
            false => String::new(),
        };
        format!(
            "A model of {} classes, trained on {train} images; {val} are kept to validate and {test} to test. {step} steps{stopped}.",
            config.classes.len()
        )
    }

    fn figures(&self, course: &Course, parameters: u64) -> Vec<Figure> {
        let raw = course.raw.last().map_or_else(String::new, |(_, raw)| {
            format!("; {raw:.4} by the raw ones")
        });
        let validation = self.outcome.validation.as_ref().map(|v| {
            figure(
                format!("{:.4}", v.velocity),
                "validation v loss",
                format!("by the averaged weights, n = {} draws{raw}", v.draws),
            )
        });
        let size = figure(
            format!("{:.2} M", parameters as f64 / 1e6),
            "parameters",
            match learngene_transfer::trained_parameters(self.config) {
                trained if trained == parameters => "all trained".into(),
                trained => format!("{:.2} M trained", trained as f64 / 1e6),
            },
        );
        validation.into_iter().chain([size]).collect()
    }

    fn gallery(&self, shown: &Shown) -> Result<Gallery> {
        let (config, count) = (self.config, shown.images);
        let sampling = Sampling {
            steps: STEPS,
            ..sampling()
        };
        let lab = Lab {
            watch: progress::watch(),
            ..Lab::of(config, sampling, config.train.seed, 1)?
        };
        let model = &self.outcome.model;
        let drawn = lab.images(model, shown.classes, count, GUIDANCE, &Some)?;
        let rows = config.classes.iter().zip(drawn.chunks(count)).enumerate();
        let real = (0..shown.classes).map(|class| self.real(class, count));
        let real = real.collect::<Result<Vec<_>>>()?;
        let beside = real.iter().map(Vec::len).max().unwrap_or(0);
        let row = |(class, (name, drawn)): (usize, (&String, &[Image]))| {
            // Where a class has fewer images, white ones stand in, so that columns stay columns.
            let mut row = swaps::aligned([&real[class][..]], beside)?;
            row.extend(swaps::aligned([drawn], count)?);
            Ok((name.clone(), row))
        };
        let columns = std::iter::repeat_n("real images", beside);
        let columns = columns.chain(std::iter::repeat_n("drawn", count));
        let rest = match config.classes.len() - shown.classes {
            0 => String::new(),
            more => format!(" {more} more classes are not shown."),
        };
        Ok(Gallery {
            caption: format!("Left real images, right what the model draws of the class.{rest}"),
            columns: columns.map(String::from).collect(),
            rows: rows.map(row).collect::<Result<_>>()?,
        })
    }

    /// Real images of a class, first those that the model was not trained on.
    fn real(&self, class: usize, count: usize) -> Result<Vec<Image>> {
        let splits = [Split::Val, Split::Test, Split::Train];
        let all = splits.into_iter().flat_map(|split| {
            let numbers = self.dataset.of_class(split, class).iter();
            numbers.map(move |&i| (split, i))
        });
        let images = all
            .take(count)
            .map(|(split, i)| self.dataset.image(split, i));
        Ok(images.collect::<learngene_data::Result<_>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_models_draw_fewer_images() {
        let of = |classes, rate| {
            let shown = Shown::of(classes, rate);
            (shown.classes, shown.images)
        };
        assert_eq!(of(12, 300.0), (12, 3));
        // 0.8 images fit into the time; one there must be.
        assert_eq!(of(12, 1.0), (1, 1));
        assert_eq!(of(12, 20.0), (12, 1));
        assert_eq!(of(1000, 300.0), (24, 3));
        assert_eq!(of(3, f64::NAN), (1, 1));
    }
}
