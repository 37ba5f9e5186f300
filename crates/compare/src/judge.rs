//! A classifier trained on real images says what generated ones look like.

use learngene_data::{Dataset, Image, Split};
use learngene_eval::metrics::{Extraction, Pair};
use learngene_eval::{EvalError, Labelled, Probe, Rates};

/// What real images say: their features and the classifier on them.
#[derive(Debug)]
pub struct Judge {
    probe: Probe,
    classes: usize,
    /// What the network says of the real images of the training split.
    pub train: Extraction,
    /// Of those of the test split.
    pub test: Extraction,
    /// What the classifier says of those.
    pub real: Rates,
}

impl Judge {
    /// Fits on the training split, the penalty chosen on the validation split, and tries itself on the test split.
    ///
    /// # Errors
    /// Features that are not finite, equations without a solution, and what `features` reports, which gets images and a
    /// name for them.
    pub fn train<E: From<crate::Error>>(
        dataset: &Dataset,
        mut features: impl FnMut(&[Image], &str) -> Result<Extraction, E>,
    ) -> Result<Self, E> {
        let mut split = |split: Split| {
            let all = 0..dataset.len(split);
            let labels: Vec<usize> = all.map(|i| dataset.class_of(split, i)).collect();
            Ok::<_, E>((of_split(dataset, split, &mut features)?, labels))
        };
        let (train, train_labels) = split(Split::Train)?;
        let (val, val_labels) = split(Split::Val)?;
        let (test, test_labels) = split(Split::Test)?;
        let fit = Labelled {
            features: train.pooled.rows(),
            labels: &train_labels,
        };
        let check = Labelled {
            features: val.pooled.rows(),
            labels: &val_labels,
        };
        let classes = dataset.classes().len();
        let fitted = || {
            let probe = Probe::select(fit, check, classes, &Probe::LAMBDAS)?.probe;
            let real = Rates::new(&test_labels, &probe.predict(test.pooled.rows())?, classes)?;
            Ok::<_, EvalError>((probe, real))
        };
        let (probe, real) = fitted().map_err(crate::Error::from)?;
        Ok(Self {
            probe,
            classes,
            train,
            test,
            real,
        })
    }

    /// How often images are taken for what they should be.
    ///
    /// # Errors
    /// Features of another network or weights than the classifier was trained on.
    pub fn rates(&self, found: &Extraction, labels: &[usize]) -> crate::Result<Rates> {
        Pair::new(&self.train.pooled, &found.pooled)?;
        let said = self.probe.predict(found.pooled.rows())?;
        Ok(Rates::new(labels, &said, self.classes)?)
    }
}

/// What `features` says of all images of a split.
pub(crate) fn of_split<E: From<crate::Error>>(
    dataset: &Dataset,
    split: Split,
    features: &mut impl FnMut(&[Image], &str) -> Result<Extraction, E>,
) -> Result<Extraction, E> {
    let images = (0..dataset.len(split)).map(|i| dataset.image(split, i));
    let images: Result<Vec<Image>, _> = images.collect();
    let images = images.map_err(crate::Error::from)?;
    features(&images, &format!("real {} images", split.name()))
}

/// The first few real images of each class of a split.
///
/// # Errors
/// An image that cannot be read.
pub fn first_images(
    dataset: &Dataset,
    split: Split,
    count: usize,
) -> crate::Result<Vec<Vec<Image>>> {
    let of_class = |class: usize| {
        let all = (0..dataset.len(split)).filter(|&i| dataset.class_of(split, i) == class);
        let images = all.take(count).map(|i| dataset.image(split, i));
        Ok(images.collect::<learngene_data::Result<_>>()?)
    };
    (0..dataset.classes().len()).map(of_class).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use learngene_data::LoadOptions;
    use learngene_eval::RowMatrix;
    use learngene_eval::metrics::{Features, Layer, Network, Origin};

    fn features(weights: &str, images: &[Image]) -> Extraction {
        let origin = Origin {
            network: Network::Lite0,
            layer: Layer::Pooled,
            weights: weights.into(),
            resize: "none".into(),
        };
        // The mean of each channel tells the two classes apart.
        let mean = |image: &Image, c: usize| {
            let channel = image.pixels.iter().skip(c).step_by(3);
            channel.map(|&p| f32::from(p)).sum::<f32>()
        };
        let rows = images.iter().flat_map(|i| [0, 1, 2].map(|c| mean(i, c)));
        let rows = RowMatrix::new(3, rows.collect()).unwrap();
        Extraction {
            pooled: Features::new(origin, rows).unwrap(),
            spatial: None,
            logits: None,
        }
    }

    #[test]
    fn features_of_other_weights_are_refused() {
        let classes = "heart,bird".parse().unwrap();
        let data = Dataset::load("builtin:emoji", &classes, &LoadOptions::default()).unwrap();
        let extract = |images: &[Image], _: &str| Ok::<_, crate::Error>(features("a", images));
        let judge = Judge::train(&data, extract).unwrap();
        let images = [0, 1].map(|i| data.image(Split::Test, i).unwrap());
        let labels = [0, 1].map(|i| data.class_of(Split::Test, i));
        let rates = judge.rates(&features("a", &images), &labels).unwrap();
        assert_eq!(rates.overall.count, 2);
        let refused = judge.rates(&features("b", &images), &labels);
        let text = refused.unwrap_err().to_string();
        assert!(
            text.contains("weights a") && text.contains("weights b"),
            "{text}"
        );
    }
}
