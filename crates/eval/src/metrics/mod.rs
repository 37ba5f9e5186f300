//! Distances and scores of generated images against real ones, computed on feature vectors.
//!
//! Every result is a [`Measure`]: it has a name that says which features it is of, the numbers of images, an
//! interval and what has to be known to read it.

mod bootstrap;
mod extraction;
mod features;
mod frechet;
mod inception_score;
mod kernel;
mod manifold;
mod measure;
mod pairwise;
mod rise;

pub use bootstrap::Bootstrap;
pub use extraction::{Extraction, Metric};
pub use features::{Features, Layer, Network, Origin, Pair};
pub use frechet::frechet_distance;
pub use inception_score::{SPLITS, inception_score};
pub use kernel::{SubsetEstimate, kernel_distance, kernel_distance_over_subsets};
pub use manifold::{DENSITY_NEIGHBOURS, Manifold, PRECISION_NEIGHBOURS, manifold};
pub use measure::{Caveat, Interval, Measure};
pub use rise::Rise;
