//! Where cells are trained: each once, or the rest of it.

use crate::aggregate::Stat;
use crate::base::{Base, Bases};
use crate::cell::{Cell, Place, TRAINED, Trained};
use crate::config::Comparison;
use crate::error::{Error, Result};
use crate::findings::SweepPoint;
use crate::host::{Doing, Host, Notice};
use crate::measure::Jury;
use crate::record;
use crate::targets::Targets;
use burn::tensor::Device;
use learngene_data::Batches;
use learngene_formats::Checkpoints;
use learngene_nn::{Dit, cost};
use learngene_train::{self as train, Run, RunConfig};
use std::path::Path;
use std::sync::atomic::Ordering;

/// Where cells are made.
pub(crate) struct Bench<'a, H> {
    pub wanted: &'a Comparison,
    pub out: &'a Path,
    pub device: Device,
    pub bases: &'a Bases,
    pub data: &'a Targets,
    pub host: &'a mut H,
    /// Hash of the weights of InceptionV3, if it is asked.
    pub inception: Option<String>,
    pub jury: Option<Jury>,
    /// Pieces of work done or found done.
    pub number: usize,
}

impl<H: Host> Bench<'_, H> {
    /// Pieces of work in all.
    fn count(&self) -> usize {
        let (wanted, sweeps) = (self.wanted, self.wanted.sweep_seeds().len());
        let (rows, seeds) = (
            wanted.row.len() * wanted.images_per_class.len(),
            wanted.seeds.len(),
        );
        // A seed of the sweep trains its chosen cell there; the others train theirs, and each judges one.
        let trainings = sweeps * wanted.sweep.factors.len() + (seeds - sweeps);
        rows * (trainings + seeds) + self.base_names().len() * seeds + 1
    }

    pub fn base_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.bases.keys().map(|(name, _)| name.clone()).collect();
        names.dedup();
        names
    }

    fn base(&self, cell: &Cell) -> &Base {
        &self.bases[&(self.wanted.row[cell.row].base.clone(), cell.seed)]
    }

    pub fn place(&self, cell: &Cell) -> Place {
        let fingerprint = self.data.of(cell.images).1.fingerprint();
        cell.place(self.wanted, self.base(cell), fingerprint, self.out)
    }

    fn start(&self, cell: &Cell) -> Result<(RunConfig, Dit)> {
        let (config, dataset) = self.data.of(cell.images);
        let classes = dataset.classes();
        cell.start(self.wanted, self.base(cell), classes, config, &self.device)
    }

    /// Says what is done next, and stops here if that is wanted.
    pub fn announce(&mut self, doing: Doing, name: &str) -> Result<()> {
        if self.host.stop().load(Ordering::Relaxed) {
            return Err(Error::Interrupted { cell: name.into() });
        }
        let (number, count) = (self.number, self.count());
        self.host.notice(&Notice::Cell {
            number,
            count,
            doing,
            name,
        });
        Ok(())
    }

    /// Every row makes its start once before the first is trained, so that a misfit costs no hours.
    pub fn require_that_rows_start(&self) -> Result<()> {
        let wanted = self.wanted;
        for (number, row) in wanted.row.iter().enumerate() {
            for &images in &wanted.images_per_class {
                let cell = Cell {
                    row: number,
                    images,
                    seed: wanted.seeds[0],
                    factor: wanted.sweep.factors[0],
                };
                let place = self.place(&cell);
                if place.read::<Trained>(TRAINED, &place.inputs).is_some() {
                    continue;
                }
                let startable = || {
                    let (config, _) = self.start(&cell)?;
                    let train = &config.train;
                    let dataset = self.data.of(images).1;
                    Batches::new(dataset, train.order(), train.seed, train.flip)?;
                    Ok(())
                };
                startable().map_err(|error: Error| error.in_row(&row.name))?;
            }
        }
        Ok(())
    }

    /// Trains the row with every factor; the one with the lowest validation loss is chosen.
    pub fn sweep(
        &mut self,
        row: usize,
        images: usize,
    ) -> std::result::Result<Vec<SweepPoint>, H::Failure> {
        let wanted = self.wanted;
        let seeds = wanted.sweep_seeds();
        if seeds.is_empty() {
            return Ok(Vec::new());
        }
        let mut points = Vec::new();
        for &factor in &wanted.sweep.factors {
            let mut losses = Vec::new();
            for &seed in seeds {
                let cell = Cell {
                    row,
                    images,
                    seed,
                    factor,
                };
                losses.extend(self.trained(&cell)?.validation.map(|v| v.velocity));
            }
            points.push(SweepPoint {
                row: wanted.row[row].name.clone(),
                images_per_class: images,
                factor,
                diverged: seeds.len() - losses.len(),
                validation: Stat::of(losses),
                chosen: false,
            });
        }
        choose(&mut points);
        let chosen = points.iter().find(|p| p.chosen).map(|p| p.factor);
        for factor in wanted.sweep.factors.iter().copied() {
            if Some(factor) != chosen {
                for &seed in seeds {
                    self.drop_checkpoints(&Cell {
                        row,
                        images,
                        seed,
                        factor,
                    })?;
                }
            }
        }
        // They are counted again when they are asked for as the cells of these seeds.
        self.number -= seeds.len();
        Ok(points)
    }

    /// What was not chosen keeps its numbers and its record, not its weights.
    fn drop_checkpoints(&self, cell: &Cell) -> Result<()> {
        let folder = self.place(cell).folder.join("checkpoints");
        match folder.exists() {
            true => std::fs::remove_dir_all(&folder).map_err(|e| Error::file("remove", &folder, e)),
            false => Ok(()),
        }
    }

    /// The cell's training: what was kept of it, or the rest of an unfinished run, or a new one.
    pub fn trained(&mut self, cell: &Cell) -> std::result::Result<Trained, H::Failure> {
        let place = self.place(cell);
        self.number += 1;
        if let Some(kept) = place.read(TRAINED, &place.inputs) {
            return Ok(kept);
        }
        self.announce(Doing::Training, &place.name)?;
        let trained = self.train(cell, &place)?;
        Ok(place.write(TRAINED, &place.inputs, &trained)?)
    }

    /// Trains it, or what is left of it.
    pub fn train(
        &mut self,
        cell: &Cell,
        place: &Place,
    ) -> std::result::Result<Trained, H::Failure> {
        let data = self.data;
        let dataset = data.of(cell.images).1;
        let run = self.open_run(cell, place)?;
        let config = run.config().clone();
        let (done, steps) = (run.done(), config.train.steps);
        let order = config.train.order();
        let batches = Batches::new(dataset, order, config.train.seed, config.train.flip);
        let batch = batches.map_err(Error::from)?.batch_size() as u64;
        self.host.notice(&Notice::Training { done, steps });
        let stop = self.host.stop();
        let outcome = run.train(dataset, stop, &mut |e| self.host.notice(&Notice::Event(e)));
        self.host.notice(&Notice::Trained);
        let mut trained = Trained {
            rate: config.train.lr,
            images: steps * batch,
            trained_parameters: learngene_transfer::trained_parameters(&config),
            macs: cost::plan(&config.model).total.macs,
            ship_bytes: 0,
            seconds: 0.0,
            validation: None,
            diverged: None,
        };
        let outcome = match outcome {
            Ok(outcome) if outcome.interrupted => {
                let cell = place.name.clone();
                return Err(Error::Interrupted { cell }.into());
            }
            Ok(outcome) => outcome,
            Err(train::Error::NotFinite { step, what, .. }) => {
                trained.diverged = Some(format!("at step {step}: {what} is not finite"));
                return Ok(trained);
            }
            Err(other) => return Err(Error::from(other).into()),
        };
        let shipped = learngene_transfer::ship(&config, &outcome.model, &place.folder);
        if let Some(shipped) = shipped.map_err(Error::from)? {
            let path = shipped.path();
            let about = std::fs::metadata(path).map_err(|e| Error::file("look at", path, e))?;
            trained.ship_bytes = about.len();
        }
        if let Ok((merged, _)) = learngene_transfer::merge(&config, &outcome.model) {
            trained.macs = trained.macs.min(cost::plan(&merged.model).total.macs);
        }
        trained.seconds = record::read(&place.folder, batch)?.seconds;
        match outcome.validation {
            Some(v) if !(v.velocity.is_finite() && v.epsilon.is_finite()) => {
                trained.diverged = Some("in its validation loss".into());
            }
            found => trained.validation = found,
        }
        Ok(trained)
    }

    fn open_run(&mut self, cell: &Cell, place: &Place) -> std::result::Result<Run, H::Failure> {
        if steps_done(&place.folder)?.is_some() {
            let resumed = Run::resume(&place.folder, &self.device).map_err(Error::from)?;
            for reason in resumed.1 {
                let text = format!("passed over a damaged checkpoint: {reason}");
                self.host.notice(&Notice::Warning(&text));
            }
            return Ok(resumed.0);
        }
        // Killed before its first checkpoint, or without one to go on from: nothing in it is worth keeping.
        if place.folder.exists() {
            std::fs::remove_dir_all(&place.folder)
                .map_err(|e| Error::file("remove", &place.folder, e))?;
        }
        let (config, start) = self.start(cell)?;
        Ok(Run::create(&place.folder, config, start).map_err(Error::from)?)
    }
}

/// Marks the point with the lowest validation loss; a rate at which any seed diverged only if there is no other.
fn choose(points: &mut [SweepPoint]) {
    let loss = |p: &SweepPoint| p.validation.map_or(f64::INFINITY, |v| v.mean);
    let order = |a: &&mut SweepPoint, b: &&mut SweepPoint| {
        (a.diverged.cmp(&b.diverged)).then(loss(a).total_cmp(&loss(b)))
    };
    if let Some(best) = points.iter_mut().min_by(order) {
        best.chosen = true;
    }
}

/// Step of the newest whole checkpoint of a run; none if there is nothing to go on from.
pub(crate) fn steps_done(run: &Path) -> Result<Option<u64>> {
    let folder = run.join("checkpoints");
    if !folder.is_dir() || !run.join("config.toml").is_file() {
        return Ok(None);
    }
    let newest = Checkpoints::at(folder).latest()?.checkpoint;
    Ok(newest.map(|checkpoint| checkpoint.step()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(factor: f64, losses: &[f64], diverged: usize) -> SweepPoint {
        SweepPoint {
            row: "a".into(),
            images_per_class: 0,
            factor,
            validation: Stat::of(losses.iter().copied()),
            diverged,
            chosen: false,
        }
    }

    #[test]
    fn the_lowest_validation_loss_is_chosen_among_rates_that_hold() {
        let chosen = |mut points: Vec<SweepPoint>| {
            choose(&mut points);
            let chosen = points.iter().filter(|p| p.chosen).map(|p| p.factor);
            chosen.collect::<Vec<_>>()
        };
        let (low, high) = (point(0.5, &[0.3, 0.1], 0), point(1.0, &[0.3, 0.2], 0));
        assert_eq!(chosen(vec![high.clone(), low.clone()]), [0.5]);
        // one seed at 0.05 and one gone is no better
        let broken = point(2.0, &[0.05], 1);
        assert_eq!(chosen(vec![low, broken.clone(), high]), [0.5]);
        let gone = point(4.0, &[], 2);
        assert_eq!(chosen(vec![gone, broken]), [2.0]);
    }
}
