//! What one trained model is worth: losses on test images, and images beside real ones.

use crate::cell::{Drawn, Judged, Measured, Real, Verdict};
use crate::config::Judging;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::judge::{Judge, of_split};
use crate::lab::Lab;
use learngene_data::{Dataset, Image, Split};
use learngene_eval::EvalError;
use learngene_eval::metrics::{Extraction, Metric};
use learngene_formats::ImageArchive;
use learngene_nn::Dit;
use learngene_train::{self as train, Gating, RunConfig, Watch};
use std::path::{Path, PathBuf};

/// Seed of the noise of all samples: rows and seeds differ in their models alone.
const NOISE: u64 = 0;

/// Whoever judges images.
pub(crate) struct Jury {
    /// The class probe, on features of the built-in network.
    judge: Judge,
    /// What InceptionV3 says of real images of the training and the test split, if it is asked.
    inception: Option<[Extraction; 2]>,
}

impl Jury {
    /// Looks at the real images.
    pub fn new<H: Host>(
        dataset: &Dataset,
        judging: &Judging,
        host: &mut H,
    ) -> std::result::Result<Self, H::Failure> {
        let judge = Judge::train(dataset, |images, what| host.features(None, images, what))?;
        let inception = match judging.inception.as_deref() {
            None => None,
            weights => {
                let mut features = |images: &[Image], what: &str| {
                    host.features(weights, images, &format!("{what}, InceptionV3"))
                };
                let mut of = |split| of_split(dataset, split, &mut features);
                Some([of(Split::Train)?, of(Split::Test)?])
            }
        };
        Ok(Self { judge, inception })
    }

    /// What it says of real test images: the bar.
    pub fn real(&self, judging: &Judging) -> Result<Real> {
        let test = self.inception.as_ref().map(|[_, test]| test);
        Ok(Real {
            probe: self.judge.real.clone(),
            measured: self.measured(&self.judge.test, test, judging)?,
        })
    }

    /// What it says of drawn images, `count` of each class one after another.
    fn drawn<H: Host>(
        &self,
        images: &[Image],
        judging: &Judging,
        guidance: f64,
        host: &mut H,
    ) -> std::result::Result<Drawn, H::Failure> {
        let what = format!("guidance {guidance}");
        let found = host.features(None, images, &what)?;
        let inception = match judging.inception.as_deref() {
            None => None,
            weights => Some(host.features(weights, images, &format!("{what}, InceptionV3"))?),
        };
        let labels: Vec<usize> = (0..images.len()).map(|i| i / judging.images).collect();
        Ok(Drawn {
            guidance,
            probe: self.judge.rates(&found, &labels)?,
            measured: self.measured(&found, inception.as_ref(), judging)?,
        })
    }

    /// Images beside the training images.
    fn measured(
        &self,
        found: &Extraction,
        inception: Option<&Extraction>,
        judging: &Judging,
    ) -> Result<Measured> {
        let real = self.inception.as_ref().map(|[train, _]| train);
        let pairs = [(&self.judge.train, found)].into_iter();
        let mut measured = Measured {
            measures: Vec::new(),
            missing: Vec::new(),
        };
        for (real, found) in pairs.chain(real.zip(inception)) {
            for metric in Metric::ALL {
                match metric.of(real, found, &judging.bootstrap(), || {}) {
                    Ok(measures) => measured.measures.extend(measures),
                    Err(EvalError::TooFewImages { set, found, least }) => {
                        let what = metric.names();
                        measured.missing.push(format!(
                            "{what}: not measured, for {least} {set} images are needed and there are {found}"
                        ));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(measured)
    }
}

/// The lab of a run.
pub(crate) fn lab(config: &RunConfig, judging: &Judging, watch: Watch) -> Result<Lab> {
    Ok(Lab {
        watch,
        ..Lab::of(config, judging.sampling(), NOISE, judging.repeats)?
    })
}

/// Losses on the test images alone.
pub(crate) fn losses(lab: &Lab, model: &Dit, dataset: &Dataset) -> Result<Judged> {
    let mut losses = lab.losses(model, dataset, Split::Test, Gating::Right)?;
    if !(losses.velocity.is_finite() && losses.epsilon.is_finite()) {
        return Err(Error::NotFinite {
            what: "the loss on test images".into(),
        });
    }
    Ok(Judged {
        velocity_by_image: std::mem::take(&mut losses.velocity_by_image),
        losses,
        drawn: Vec::new(),
    })
}

/// Losses and images. The images stay in the cell's folder as archives. A model whose numbers are none is a verdict too:
/// it says something of its row, and takes nothing from the others.
pub(crate) fn everything<H: Host>(
    lab: &Lab,
    model: &Dit,
    dataset: &Dataset,
    judging: &Judging,
    jury: &Jury,
    folder: &Path,
    host: &mut H,
) -> std::result::Result<Verdict, H::Failure> {
    let not_finite = |what: String| Ok(Verdict::NotFinite { not_finite: what });
    let mut judged = match losses(lab, model, dataset) {
        Err(Error::NotFinite { what }) => return not_finite(what),
        other => other?,
    };
    let (classes, count) = (dataset.classes().len(), judging.images);
    for &guidance in &judging.guidance {
        let images = match lab.images(model, classes, count, guidance, &Some) {
            Err(Error::Train(train::Error::Drawn { .. })) => {
                return not_finite(format!("an image drawn with guidance {guidance}"));
            }
            other => other?,
        };
        write(&archive(folder, guidance), &images, count)?;
        judged
            .drawn
            .push(jury.drawn(&images, judging, guidance, host)?);
    }
    Ok(Verdict::Judged(judged))
}

/// Where a cell keeps its images of a guidance.
pub(crate) fn archive(folder: &Path, guidance: f64) -> PathBuf {
    folder
        .join("drawn")
        .join(format!("guidance-{guidance}.npz"))
}

fn write(path: &Path, images: &[Image], count: usize) -> Result<()> {
    let Some(first) = images.first() else {
        return Ok(());
    };
    let archive = ImageArchive {
        height: first.height as usize,
        width: first.width as usize,
        channels: first.channels as usize,
        pixels: images.iter().flat_map(|i| &i.pixels).copied().collect(),
        labels: Some((0..images.len()).map(|i| (i / count) as i64).collect()),
    };
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder).map_err(|e| Error::file("make", folder, e))?;
    Ok(archive.write(path)?)
}
