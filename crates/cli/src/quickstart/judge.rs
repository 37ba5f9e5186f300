//! A classifier trained on real images says what generated ones look like.

use super::{JUDGED, Lab};
use crate::failure::Result;
use learngene_data::{Dataset, Image, Split};
use learngene_eval::{ImageView, Labelled, Lite0, Probe, Rates, RowMatrix};
use learngene_nn::Dit;

/// Side to which images are enlarged for the features: a third of the time of the network's own 224.
const FEATURE_SIZE: usize = 128;

/// The tailor, if any, that runs for images of a class.
type Tailor<'a> = dyn Fn(usize) -> Option<usize> + 'a;

/// Features and the classifier on them.
pub struct Judge {
    lite0: Lite0,
    probe: Probe,
}

/// What the probe says of images made with some tailor and guidance.
pub struct Verdict {
    pub name: &'static str,
    pub guidance: f64,
    /// Judged as the label.
    pub label: Rates,
    /// Judged as the class of the tailor, where that is another.
    pub tailor: Option<Rates>,
}

impl Judge {
    /// Fits on the training split, the penalty chosen on the validation split.
    pub fn train(dataset: &Dataset) -> Result<Self> {
        let lite0 = Lite0::load()?;
        let (train, train_labels) = split(&lite0, dataset, Split::Train)?;
        let (val, val_labels) = split(&lite0, dataset, Split::Val)?;
        let fit = Labelled {
            features: &train,
            labels: &train_labels,
        };
        let check = Labelled {
            features: &val,
            labels: &val_labels,
        };
        let probe = Probe::select(fit, check, dataset.classes().len(), &Probe::LAMBDAS)?.probe;
        Ok(Self { lite0, probe })
    }

    /// Rates on the real images of the test split.
    pub fn real(&self, dataset: &Dataset) -> Result<Rates> {
        let (features, labels) = split(&self.lite0, dataset, Split::Test)?;
        Ok(Rates::new(
            &labels,
            &self.probe.predict(&features)?,
            dataset.classes().len(),
        )?)
    }

    /// Rates on generated images: right tailor, none and a wrong one, guidance 1 and 2.
    pub fn swaps(&self, lab: &Lab, model: &Dit, classes: usize) -> Result<Vec<Verdict>> {
        let other = |class: usize| (class + 1) % classes;
        let kinds: [(&str, &Tailor<'_>); 3] = [
            ("right tailor", &Some),
            ("no tailor", &|_| None),
            ("wrong tailor", &|class| Some(other(class))),
        ];
        let labels: Vec<usize> = (0..classes * JUDGED).map(|i| i / JUDGED).collect();
        let swapped: Vec<usize> = labels.iter().map(|&l| other(l)).collect();
        let mut verdicts = Vec::new();
        for guidance in [1.0, 2.0] {
            for (name, tailor) in kinds {
                let images = lab.images(model, classes, JUDGED, guidance, tailor)?;
                let said = self.probe.predict(&features(&self.lite0, &images)?)?;
                let wrong = name == "wrong tailor";
                verdicts.push(Verdict {
                    name,
                    guidance,
                    label: Rates::new(&labels, &said, classes)?,
                    tailor: wrong
                        .then(|| Rates::new(&swapped, &said, classes))
                        .transpose()?,
                });
            }
        }
        Ok(verdicts)
    }
}

fn split(lite0: &Lite0, dataset: &Dataset, split: Split) -> Result<(RowMatrix, Vec<usize>)> {
    let images: Vec<Image> = (0..dataset.len(split))
        .map(|i| dataset.image(split, i))
        .collect();
    let labels = (0..dataset.len(split))
        .map(|i| dataset.class_of(split, i))
        .collect();
    Ok((features(lite0, &images)?, labels))
}

fn features(lite0: &Lite0, images: &[Image]) -> Result<RowMatrix> {
    let views: Vec<ImageView<'_>> = images
        .iter()
        .map(|i| ImageView {
            width: i.width as usize,
            height: i.height as usize,
            channels: i.channels as usize,
            pixels: &i.pixels,
        })
        .collect();
    Ok(lite0.features(&views, FEATURE_SIZE, |_, _| {})?)
}
