//! Ways to adapt a model, side by side.
//!
//! In: a [`Comparison`] (base models, target data, rows of methods, budgets, seeds) and a [`Host`] that opens models and
//! data, extracts features and shows progress.
//! Out: a folder with a run for every cell, and [`Findings`]: means and deviations over seeds, as tables and as a page.
//! Must not know: the terminal; how a method works or a step trains; how a metric is computed.
//!
//! Rows are compared on equal terms: the same steps and images, the same sweep of the learning rate chosen on validation
//! images, the same draws of (time, noise), the same noise of samples. Test images are looked at by chosen cells alone.
//! Everything a cell finds lies in its folder, and the tables are made of nothing else, so a comparison that was killed
//! goes on where it was, and one that is finished makes the same tables again.

mod against;
mod aggregate;
mod base;
mod bench;
mod cell;
mod config;
mod csv;
mod drawn;
mod error;
mod findings;
mod host;
mod judge;
mod lab;
mod latex;
mod measure;
mod notes;
mod page;
mod record;
mod run;
mod table;
mod targets;
mod trial;

pub use against::{Against, RiseOfSeed};
pub use aggregate::Stat;
pub use base::Pretraining;
pub use config::{Comparison, Judging, Row, Sweep, SweepSeeds};
pub use csv::{classes_csv, csv, seeds_csv};
pub use error::{Error, Result};
pub use findings::{
    CostSummary, DrawnOfSeed, DrawnSummary, Findings, MeasureOfSeed, MeasureSummary, OfSeed,
    Reference, Summary, SweepPoint,
};
pub use host::{Doing, Host, Notice};
pub use judge::{Judge, first_images};
pub use lab::{Lab, Tailor};
pub use latex::latex;
pub use notes::notes;
pub use page::report;
pub use record::{Course, read as course};
pub use run::run;
pub use table::tables;
