//! The images that rows adapt to and are measured on.

use crate::base::Bases;
use crate::config::Comparison;
use crate::error::{Error, Result};
use crate::host::Host;
use learngene_data::{Dataset, Split};
use learngene_train::DataConfig;
use std::collections::BTreeMap;

/// The target images: all of them, and as few as each budget has.
pub(crate) struct Targets {
    pub all: Dataset,
    budgets: BTreeMap<usize, (DataConfig, Dataset)>,
}

impl Targets {
    pub fn open<H: Host>(
        wanted: &Comparison,
        bases: &Bases,
        host: &mut H,
    ) -> std::result::Result<Self, H::Failure> {
        let input = bases.values().next().map(|base| base.config.model.input);
        let [channels, height, width] = input.unwrap_or_default();
        let square = (height == width).then_some(height);
        let config = DataConfig {
            image_size: wanted.data.image_size.or(square),
            channels: wanted.data.channels.or(Some(channels)),
            ..wanted.data.clone()
        };
        let all = host.data(&config)?;
        let latent = bases.values().any(|base| base.config.makes_latents());
        if latent || all.latent_space().is_some() {
            let message = "images drawn by models of latents cannot be judged here: compare models of images, on images";
            return Err(Error::unfit(all.name(), message).into());
        }
        if all.shape() != [channels, height, width] {
            let message = format!(
                "its images are {:?} (channels, height, width), the bases take {:?}",
                all.shape(),
                [channels, height, width]
            );
            return Err(Error::unfit(all.name(), message).into());
        }
        for split in [Split::Val, Split::Test] {
            if all.is_empty(split) {
                let message = format!(
                    "it has no {} images, and rates are chosen on val images and rows measured on test images: give \
                     classes more images, or a source with splits",
                    split.name()
                );
                return Err(Error::unfit(all.name(), message).into());
            }
        }
        let budget = |&count: &usize| {
            let few = (count > 0).then_some(count);
            let dataset = match few {
                None => all.clone(),
                Some(count) => all.clone().with_images(Split::Train, count)?,
            };
            let mut config = config.clone();
            config.images_per_class.train = few.or(config.images_per_class.train);
            Ok((count, (config, dataset)))
        };
        let budgets: Result<_> = wanted.images_per_class.iter().map(budget).collect();
        Ok(Self {
            budgets: budgets?,
            all,
        })
    }

    /// Those of a budget.
    pub fn of(&self, images: usize) -> (&DataConfig, &Dataset) {
        #[expect(clippy::expect_used, reason = "every budget was opened")]
        let (config, dataset) = self
            .budgets
            .get(&images)
            .expect("a budget of the comparison");
        (config, dataset)
    }

    /// What is amiss with them.
    pub fn caveats(&self, bases: &Bases) -> Vec<String> {
        let mut caveats = Vec::new();
        let names = self.all.classes();
        for split in [Split::Val, Split::Test] {
            let lacks = |&c: &usize| self.all.of_class(split, c).is_empty();
            let lacking: Vec<&str> = (0..names.len()).filter(lacks).map(|c| &*names[c]).collect();
            if !lacking.is_empty() {
                caveats.push(format!(
                    "no {} images of {}: losses leave them out",
                    split.name(),
                    lacking.join(", ")
                ));
            }
        }
        for ((base, _), opened) in bases {
            let known: Vec<&str> = (names.iter())
                .filter(|class| opened.config.classes.contains(class))
                .map(String::as_str)
                .collect();
            let line = format!(
                "base `{base}` was pre-trained on {} already",
                known.join(", ")
            );
            if !known.is_empty() && !caveats.contains(&line) {
                caveats.push(line);
            }
        }
        caveats
    }
}
