//! A classifier trained on real images says what generated ones look like.

use super::lab::{Lab, Tailor};
use crate::failure::Result;
use crate::features::views;
use learngene_data::{Dataset, Image, Split};
use learngene_eval::{Labelled, Lite0, Probe, Rates, RowMatrix};
use learngene_nn::Dit;
use serde::Serialize;

/// Side to which images are enlarged for the features: the network's own. At 160 real images are judged as well, but
/// generated ones fall from 0.33 to 0.25: the smaller the picture, the more the seams between patches count.
const FEATURE_SIZE: usize = 224;
/// Scales of guidance.
const GUIDANCE: [f64; 2] = [1.0, 2.0];

/// The class whose tailor is the wrong one for a class.
pub fn other(class: usize, classes: usize) -> usize {
    (class + 1) % classes
}

/// Features and the classifier on them.
pub struct Judge {
    lite0: Lite0,
    probe: Probe,
    /// Rates on the real images of the test split.
    pub real: Rates,
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
}

impl Judge {
    /// Fits on the training split, the penalty chosen on the validation split, and tries itself on the test split.
    pub fn train(dataset: &Dataset) -> Result<Self> {
        let lite0 = Lite0::load()?;
        let (train, train_labels) = split(&lite0, dataset, Split::Train)?;
        let (val, val_labels) = split(&lite0, dataset, Split::Val)?;
        let (test, test_labels) = split(&lite0, dataset, Split::Test)?;
        let fit = Labelled {
            features: &train,
            labels: &train_labels,
        };
        let check = Labelled {
            features: &val,
            labels: &val_labels,
        };
        let classes = dataset.classes().len();
        let probe = Probe::select(fit, check, classes, &Probe::LAMBDAS)?.probe;
        let real = Rates::new(&test_labels, &probe.predict(&test)?, classes)?;
        Ok(Self { lite0, probe, real })
    }

    /// Verdicts with the right tailor, none and a wrong one.
    pub fn swaps(&self, lab: &Lab, model: &Dit, classes: usize) -> Result<Vec<Verdict>> {
        let kinds: [(&str, &Tailor<'_>); 3] = [
            ("right tailor", &Some),
            ("no tailor", &|_| None),
            ("wrong tailor", &|class| Some(other(class, classes))),
        ];
        let pairs = GUIDANCE.iter().flat_map(|&g| kinds.map(|kind| (g, kind)));
        pairs
            .map(|(guidance, (gate, tailor))| {
                self.verdict(lab, model, classes, guidance, gate, tailor)
            })
            .collect()
    }

    /// Verdicts on a model as it is used: each class with its own tailor, if it has any.
    pub fn own(&self, lab: &Lab, model: &Dit, classes: usize) -> Result<Vec<Verdict>> {
        let of = |guidance| self.verdict(lab, model, classes, guidance, "as trained", &Some);
        GUIDANCE.into_iter().map(of).collect()
    }

    fn verdict(
        &self,
        lab: &Lab,
        model: &Dit,
        classes: usize,
        guidance: f64,
        gate: &'static str,
        tailor: &Tailor<'_>,
    ) -> Result<Verdict> {
        let judged = lab.effort.judged;
        let images = lab.images(model, classes, judged, guidance, tailor)?;
        let said = self.probe.predict(&features(&self.lite0, &images)?)?;
        let labels: Vec<usize> = (0..images.len()).map(|i| i / judged).collect();
        let tailors: Option<Vec<usize>> = labels.iter().map(|&l| tailor(l)).collect();
        let swapped = tailors.filter(|t| *t != labels);
        Ok(Verdict {
            gate,
            guidance,
            label: Rates::new(&labels, &said, classes)?,
            tailor: swapped
                .map(|tailors| Rates::new(&tailors, &said, classes))
                .transpose()?,
        })
    }
}

fn split(lite0: &Lite0, dataset: &Dataset, split: Split) -> Result<(RowMatrix, Vec<usize>)> {
    let all = 0..dataset.len(split);
    let images: Vec<Image> = all.clone().map(|i| dataset.image(split, i)).collect();
    let labels = all.map(|i| dataset.class_of(split, i)).collect();
    Ok((features(lite0, &images)?, labels))
}

fn features(lite0: &Lite0, images: &[Image]) -> Result<RowMatrix> {
    Ok(lite0.features(&views(images), FEATURE_SIZE, |_, _| {})?)
}
