//! Rows beside one of them, image by image and seed by seed.

use crate::aggregate::Stat;
use crate::error::Result;
use crate::findings::Summary;
use learngene_eval::metrics::Rise;
use serde::Serialize;

/// By how much a row's v loss on test images is above that of another row with as many training images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Against {
    /// The other row.
    pub row: String,
    /// In per cent, over the seeds that both have.
    pub percent: Stat,
    /// Each seed by itself, with its 95 % interval over test images.
    pub by_seed: Vec<RiseOfSeed>,
}

/// The same for one seed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RiseOfSeed {
    /// The seed.
    pub seed: u64,
    /// In per cent, with the interval.
    #[serde(flatten)]
    pub rise: Rise,
}

/// Puts every row beside the one of that name with as many training images, and bases as they are beside the one with all.
/// Rows of the same seed saw the same draws of the same images, so what makes an image hard is in no difference; nor is what
/// makes a base of that seed good or bad, where both are on it.
pub(crate) fn put_beside(rows: &mut [Summary], name: &str) -> Result<()> {
    let references: Vec<Summary> = rows.iter().filter(|r| r.name == name).cloned().collect();
    for row in rows.iter_mut().filter(|row| row.name != name) {
        let fits = |r: &&Summary| r.images_per_class == row.images_per_class;
        let Some(reference) = references.iter().find(fits) else {
            continue;
        };
        let mut by_seed = Vec::new();
        for of_seed in &row.by_seed {
            let same = |s: &&crate::OfSeed| s.seed == of_seed.seed;
            if let Some(other) = reference.by_seed.iter().find(same) {
                let (base, losses) = (&other.velocity_by_image, &of_seed.velocity_by_image);
                by_seed.push(RiseOfSeed {
                    seed: of_seed.seed,
                    rise: Rise::of(base, losses, &Rise::BOOTSTRAP)?,
                });
            }
        }
        let percent = Stat::of(by_seed.iter().map(|s| s.rise.percent));
        row.against = percent.map(|percent| Against {
            row: name.into(),
            percent,
            by_seed,
        });
    }
    Ok(())
}
