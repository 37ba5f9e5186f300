//! What one trained model is worth: losses on test images, and images beside real ones.

use crate::cell::{Drawn, Judged, Real, Verdict};
use crate::config::Judging;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::judge::Judge;
use crate::lab::Lab;
use learngene_data::{Dataset, Image, Split};
use learngene_eval::metrics::{Bootstrap, Features, Pair, frechet_distance, kernel_distance};
use learngene_formats::ImageArchive;
use learngene_nn::Dit;
use learngene_train::{self as train, Gating, RunConfig};
use std::path::{Path, PathBuf};

/// No intervals within a cell: the spread that counts is that between seeds.
const NO_INTERVAL: Bootstrap = Bootstrap {
    seed: 0,
    resamples: 0,
};
/// Seed of the noise of all samples: rows and seeds differ in their models alone.
const NOISE: u64 = 0;

/// The lab of a run.
pub(crate) fn lab(config: &RunConfig, judging: &Judging) -> Result<Lab> {
    Lab::of(config, judging.sampling(), NOISE, judging.repeats)
}

/// Losses on the test images alone.
pub(crate) fn losses(lab: &Lab, model: &Dit, dataset: &Dataset) -> Result<Judged> {
    let losses = lab.losses(model, dataset, Split::Test, Gating::Right)?;
    if !(losses.velocity.is_finite() && losses.epsilon.is_finite()) {
        return Err(Error::NotFinite {
            what: "the loss on test images".into(),
        });
    }
    Ok(Judged {
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
    judge: &Judge,
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
        let features = host.features(&images, &format!("guidance {guidance}"))?;
        judged.drawn.push(drawn(judge, &features, guidance, count)?);
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

fn drawn(judge: &Judge, features: &Features, guidance: f64, count: usize) -> Result<Drawn> {
    let pair = Pair::new(&judge.train, features)?;
    let frechet = frechet_distance(&pair, &NO_INTERVAL, || {})?;
    let kernel = kernel_distance(&pair, &NO_INTERVAL)?;
    let labels: Vec<usize> = (0..features.rows().rows()).map(|i| i / count).collect();
    let measures = [&frechet, &kernel];
    let caveats = measures.iter().flat_map(|measure| {
        let line = |caveat| format!("{}: {caveat}", measure.name);
        measure.caveats.iter().map(line)
    });
    Ok(Drawn {
        guidance,
        frechet: frechet.value,
        kernel: kernel.value,
        probe: judge.rates(features, &labels)?,
        caveats: caveats.collect(),
    })
}

/// What the judge says of real test images.
pub(crate) fn real(judge: &Judge) -> Result<Real> {
    let pair = Pair::new(&judge.train, &judge.test)?;
    Ok(Real {
        probe: judge.real.clone(),
        kernel: kernel_distance(&pair, &NO_INTERVAL)?.value,
    })
}
