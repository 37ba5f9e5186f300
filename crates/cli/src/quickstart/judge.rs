//! A classifier trained on real images says what generated ones look like.

use crate::failure::Result;
use crate::features::{Extractor, views};
use learngene_compare::{Lab, Tailor};
use learngene_data::{Dataset, Image, Split};
use learngene_eval::Rates;
use learngene_eval::metrics::Extraction;
use learngene_nn::Dit;
use serde::Serialize;

/// Scales of guidance.
const GUIDANCE: [f64; 2] = [1.0, 2.0];

/// The class whose tailor is the wrong one for a class.
pub fn other(class: usize, classes: usize) -> usize {
    (class + 1) % classes
}

/// The classifier, and the network whose features it sees.
pub struct Judge {
    extractor: Extractor,
    judge: learngene_compare::Judge,
}

/// What is drawn to be judged.
#[derive(Clone, Copy)]
pub struct Drawing<'a> {
    pub lab: &'a Lab,
    pub model: &'a Dit,
    pub classes: usize,
    /// Images of each class, and the first of them that are kept to be shown.
    pub judged: usize,
    pub shown: usize,
}

/// What the probe says of images made with some tailor and guidance.
#[derive(Serialize)]
pub struct Verdict {
    pub gate: &'static str,
    pub guidance: f64,
    /// Judged as the label.
    pub label: Rates,
    /// Judged as the class of the tailor, by that class, where it is another than the label.
    pub tailor: Option<Rates>,
    /// The first images of each class.
    #[serde(skip)]
    pub shown: Vec<Vec<Image>>,
}

impl Judge {
    /// Fits on the data set.
    pub fn train(dataset: &Dataset) -> Result<Self> {
        let extractor = Extractor::load(None)?;
        let features = |images: &[Image], what: &str| features(&extractor, images, what);
        let judge = learngene_compare::Judge::train(dataset, features)?;
        Ok(Self { extractor, judge })
    }

    /// Rates on the real images of the test split.
    pub fn real(&self) -> &Rates {
        &self.judge.real
    }

    /// Verdicts with the right tailor, none and a wrong one.
    pub fn swaps(&self, drawing: Drawing<'_>) -> Result<Vec<Verdict>> {
        let classes = drawing.classes;
        let kinds: [(&str, &Tailor<'_>); 3] = [
            ("right tailor", &Some),
            ("no tailor", &|_| None),
            ("wrong tailor", &|class| Some(other(class, classes))),
        ];
        let pairs = GUIDANCE.iter().flat_map(|&g| kinds.map(|kind| (g, kind)));
        pairs
            .map(|(guidance, (gate, tailor))| self.verdict(drawing, guidance, gate, tailor))
            .collect()
    }

    /// Verdicts on a model as it is used: each class with its own tailor, if it has any.
    pub fn own(&self, drawing: Drawing<'_>) -> Result<Vec<Verdict>> {
        let of = |guidance| self.verdict(drawing, guidance, "as trained", &Some);
        GUIDANCE.into_iter().map(of).collect()
    }

    fn verdict(
        &self,
        drawing: Drawing<'_>,
        guidance: f64,
        gate: &'static str,
        tailor: &Tailor<'_>,
    ) -> Result<Verdict> {
        let Drawing {
            lab,
            model,
            classes,
            judged,
            shown,
        } = drawing;
        let images = lab.images(model, classes, judged, guidance, tailor)?;
        let found = features(&self.extractor, &images, gate)?;
        let labels: Vec<usize> = (0..images.len()).map(|i| i / judged).collect();
        let tailors: Option<Vec<usize>> = labels.iter().map(|&l| tailor(l)).collect();
        let swapped = tailors.filter(|t| *t != labels);
        let of_class = images.chunks(judged);
        Ok(Verdict {
            gate,
            guidance,
            label: self.judge.rates(&found, &labels)?,
            tailor: swapped
                .map(|tailors| self.judge.rates(&found, &tailors))
                .transpose()?,
            shown: of_class
                .map(|images| images[..shown.min(judged)].to_vec())
                .collect(),
        })
    }

    /// For each image the training image that is nearest to it in what the network sees of both.
    pub fn nearest(&self, images: &[Image], dataset: &Dataset) -> Result<Vec<Image>> {
        let found = features(&self.extractor, images, "nearest images")?;
        let nearest = found.pooled.rows().nearest(self.judge.train.pooled.rows());
        let image = |number| dataset.image(Split::Train, number);
        Ok(nearest
            .into_iter()
            .flatten()
            .map(image)
            .collect::<learngene_data::Result<_>>()?)
    }
}

fn features(extractor: &Extractor, images: &[Image], what: &str) -> Result<Extraction> {
    extractor.extract(&views(images), what, None)
}
