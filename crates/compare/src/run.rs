//! A comparison from its beginning to its end.

use crate::aggregate::Stat;
use crate::base::{self, Base, Bases};
use crate::cell::{Cell, Judged, Place, RESULT, Real, TRAINED, Trained, hash};
use crate::config::{Comparison, slug};
use crate::error::{Error, Result};
use crate::findings::{Cells, Findings, Reference, Show, Summary, SweepPoint};
use crate::host::{Doing, Host, Notice};
use crate::judge::Judge;
use crate::{measure, record};
use burn::module::Module;
use burn::tensor::Device;
use learngene_data::{Batches, Dataset, Image, Split};
use learngene_formats::{Checkpoints, ImageArchive};
use learngene_nn::cost;
use learngene_train::{self as train, DataConfig, Run, RunConfig};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;

/// Runs what is missing in `out` and puts together what is there.
///
/// # Errors
/// A comparison that cannot be, before anything is trained; [`Error::Interrupted`] when the host asks to stop, after
/// which the same call goes on; what the host, training and metrics report.
pub fn run<H: Host>(
    wanted: &Comparison,
    out: &Path,
    device: &Device,
    host: &mut H,
) -> std::result::Result<Findings, H::Failure> {
    wanted.validate()?;
    let bases = base::open(wanted, host)?;
    let data = Data::open(wanted, &bases, host)?;
    let (pretraining, mut caveats) = base::pretraining(wanted, &bases);
    caveats.extend(data.caveats(&bases));
    caveats
        .iter()
        .for_each(|c| host.notice(&Notice::Warning(c)));
    let mut bench = Bench {
        wanted,
        out,
        device: device.clone().autodiff(),
        bases: &bases,
        data: &data,
        host,
        judge: None,
        number: 0,
    };
    bench.require_that_rows_start()?;

    let (mut rows, mut sweep, mut shows) = (Vec::new(), Vec::new(), Vec::new());
    for &images in &wanted.images_per_class {
        for (number, row) in wanted.row.iter().enumerate() {
            let points = bench.sweep(number, images)?;
            let chosen = points.iter().find(|point| point.chosen);
            let factor = chosen.map_or(wanted.sweep.factors[0], |point| point.factor);
            sweep.extend(points);
            let cell = |&seed: &u64| Cell {
                row: number,
                images,
                seed,
                factor,
            };
            let mut cells = Cells {
                trained: Vec::new(),
                judged: Vec::new(),
            };
            for cell in wanted.seeds.iter().map(cell) {
                let trained = bench.trained(&cell)?;
                match &trained.diverged {
                    Some(why) => caveats.push(format!(
                        "`{}`, seed {}: diverged {why}; it is in no mean",
                        row.name, cell.seed
                    )),
                    None => cells.judged.push(bench.judged(&cell)?),
                }
                cells.trained.push(trained);
            }
            shows.push(bench.show(&cell(&wanted.seeds[0]), &cells)?);
            for caveat in cells
                .judged
                .iter()
                .flat_map(|j| &j.drawn)
                .flat_map(|d| &d.caveats)
            {
                if !caveats.contains(caveat) {
                    caveats.push(caveat.clone());
                }
            }
            rows.push(Summary::of_row(
                row,
                images,
                factor,
                wanted.seeds.len(),
                &cells,
            ));
        }
    }
    for name in bench.base_names() {
        rows.push(bench.not_adapted(&name)?);
    }
    let real = Reference::new(bench.real()?);
    Ok(Findings {
        comparison: wanted.clone(),
        classes: data.all.classes().to_vec(),
        pretraining,
        real,
        rows,
        sweep,
        caveats,
        shows,
    })
}

/// The target images: all of them, and as few as each budget has.
struct Data {
    all: Dataset,
    budgets: BTreeMap<usize, (DataConfig, Dataset)>,
}

impl Data {
    fn open<H: Host>(
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
                Some(count) => all.with_train_images(count)?,
            };
            let config = DataConfig {
                images_per_class: few,
                ..config.clone()
            };
            Ok((count, (config, dataset)))
        };
        let budgets: Result<_> = wanted.images_per_class.iter().map(budget).collect();
        Ok(Self {
            budgets: budgets?,
            all,
        })
    }

    fn of(&self, images: usize) -> (&DataConfig, &Dataset) {
        #[expect(clippy::expect_used, reason = "every budget was opened")]
        let (config, dataset) = self
            .budgets
            .get(&images)
            .expect("a budget of the comparison");
        (config, dataset)
    }

    fn caveats(&self, bases: &Bases) -> Vec<String> {
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
        for ((base, seed), opened) in bases {
            let known: Vec<&str> = (names.iter())
                .filter(|class| opened.config.classes.contains(class))
                .map(String::as_str)
                .collect();
            let line = format!(
                "base `{base}` was pre-trained on {} already",
                known.join(", ")
            );
            if !known.is_empty() && !caveats.contains(&line) {
                let _ = seed;
                caveats.push(line);
            }
        }
        caveats
    }
}

/// Where cells are made.
struct Bench<'a, H> {
    wanted: &'a Comparison,
    out: &'a Path,
    device: Device,
    bases: &'a Bases,
    data: &'a Data,
    host: &'a mut H,
    judge: Option<Judge>,
    /// Pieces of work done or found done.
    number: usize,
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

    fn base_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.bases.keys().map(|(name, _)| name.clone()).collect();
        names.dedup();
        names
    }

    fn base(&self, cell: &Cell) -> &Base {
        &self.bases[&(self.wanted.row[cell.row].base.clone(), cell.seed)]
    }

    fn place(&self, cell: &Cell) -> Place {
        let fingerprint = self.data.of(cell.images).1.fingerprint();
        cell.place(self.wanted, self.base(cell), fingerprint, self.out)
    }

    fn start(&self, cell: &Cell) -> Result<(RunConfig, learngene_nn::Dit)> {
        let (config, dataset) = self.data.of(cell.images);
        let classes = dataset.classes();
        cell.start(self.wanted, self.base(cell), classes, config, &self.device)
    }

    /// Says what is done next, and stops here if that is wanted.
    fn announce(&mut self, doing: Doing, name: &str) -> Result<()> {
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
    fn require_that_rows_start(&self) -> Result<()> {
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
    fn sweep(
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
                // The chosen one is counted again when it is asked for as a cell.
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
    fn trained(&mut self, cell: &Cell) -> std::result::Result<Trained, H::Failure> {
        let place = self.place(cell);
        self.number += 1;
        if let Some(kept) = place.read(TRAINED, &place.inputs) {
            return Ok(kept);
        }
        self.announce(Doing::Training, &place.name)?;
        let trained = self.train(cell, &place)?;
        Ok(place.write(TRAINED, &place.inputs, &trained)?)
    }

    fn train(&mut self, cell: &Cell, place: &Place) -> std::result::Result<Trained, H::Failure> {
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
        if has_checkpoint(&place.folder)? {
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

    /// The cell's test: what was kept of it, or a new one. Nothing else looks at test images.
    fn judged(&mut self, cell: &Cell) -> std::result::Result<Judged, H::Failure> {
        let place = self.place(cell);
        let inputs = self.judging_inputs(&place);
        self.number += 1;
        if let Some(kept) = place.read(RESULT, &inputs) {
            return Ok(kept);
        }
        self.announce(Doing::Judging, &place.name)?;
        if !has_checkpoint(&place.folder)? {
            // Dropped when another rate was chosen.
            let trained = self.train(cell, &place)?;
            place.write(TRAINED, &place.inputs, &trained)?;
        }
        let (config, model) = self.host.model(&place.folder)?;
        self.open_judge()?;
        let (judging, all) = (&self.wanted.judge, &self.data.all);
        let lab = measure::lab(&config, judging)?;
        let Some(judge) = &self.judge else {
            return Err(Error::unfit("the cell", "there is no judge").into());
        };
        let judged =
            measure::everything(&lab, &model, all, judging, judge, &place.folder, self.host)?;
        Ok(place.write(RESULT, &inputs, &judged)?)
    }

    /// Hash of what decides a test.
    fn judging_inputs(&self, place: &Place) -> String {
        let judging = &self.wanted.judge;
        hash(&json!({
            "cell": place.inputs,
            "data": self.data.all.fingerprint(),
            "judge": [json!(judging.repeats), json!(judging.images), json!(judging.guidance), json!(judging.sampler), json!(judging.steps)],
        }))
    }

    fn open_judge(&mut self) -> std::result::Result<(), H::Failure> {
        if self.judge.is_none() {
            self.judge = Some(Judge::train(&self.data.all, |images, what| {
                self.host.features(images, what)
            })?);
        }
        Ok(())
    }

    /// A base with label rows at their mean and nothing trained: losses alone.
    fn not_adapted(&mut self, name: &str) -> std::result::Result<Summary, H::Failure> {
        let (bases, all) = (self.bases, &self.data.all);
        let mut judged = Vec::new();
        let mut macs = 0;
        for &seed in &self.wanted.seeds {
            let base = &bases[&(name.to_owned(), seed)];
            let what = format!("start-{}-seed{seed}", slug(name));
            let inputs = json!({ "version": env!("CARGO_PKG_VERSION"), "base": base.identity, "base_config": base.config });
            let place = Place::new(self.out, &what, &inputs);
            let inputs = self.judging_inputs(&place);
            self.number += 1;
            macs = cost::plan(&base.config.model).learngene_only.macs;
            if let Some(kept) = place.read(RESULT, &inputs) {
                judged.push(kept);
                continue;
            }
            self.announce(Doing::Judging, &place.name)?;
            let measured = || {
                let (config, start) = learngene_transfer::adapt(
                    &base.config,
                    &base.model,
                    all.classes(),
                    learngene_transfer::method("labels")?,
                    &BTreeMap::new(),
                    seed,
                    &self.device,
                )?;
                let lab = measure::lab(&config, &self.wanted.judge)?;
                let found = measure::losses(&lab, &start.valid(), all)?;
                place.write(RESULT, &inputs, &found)
            };
            judged.push(measured()?);
        }
        Ok(Summary::of_base(
            name,
            macs,
            self.wanted.seeds.len(),
            &judged,
        ))
    }

    /// Real test images before the judge.
    fn real(&mut self) -> std::result::Result<Real, H::Failure> {
        let inputs =
            json!({ "version": env!("CARGO_PKG_VERSION"), "data": self.data.all.fingerprint() });
        let place = Place::new(self.out, "real", &inputs);
        self.number += 1;
        if let Some(kept) = place.read(RESULT, &place.inputs) {
            return Ok(kept);
        }
        self.announce(Doing::Judging, &place.name)?;
        self.open_judge()?;
        let Some(judge) = &self.judge else {
            return Err(Error::unfit("real images", "there is no judge").into());
        };
        let found = measure::real(judge)?;
        Ok(place.write(RESULT, &place.inputs, &found)?)
    }

    /// Pictures and curve of a cell, from its folder.
    fn show(&self, cell: &Cell, cells: &Cells) -> Result<Show> {
        let folder = self.place(cell).folder;
        let Some(first) = cells.trained.first().filter(|t| t.diverged.is_none()) else {
            return Ok(Show::default());
        };
        let judging = &self.wanted.judge;
        let batch = first.images / self.wanted.steps;
        let strips = judging.guidance.iter().map(|&guidance| {
            let archive = ImageArchive::read(measure::archive(&folder, guidance))?;
            let images: Vec<Image> = archive.images().map(|p| image(&archive, p)).collect();
            let classes = images.chunks(judging.images);
            let strip =
                classes.map(|of_class| of_class[..judging.shown.min(of_class.len())].to_vec());
            Ok((guidance, strip.collect()))
        });
        Ok(Show {
            course: record::read(&folder, batch)?,
            strips: strips.collect::<Result<_>>()?,
        })
    }
}

fn image(archive: &ImageArchive, pixels: &[u8]) -> Image {
    Image {
        width: archive.width as u32,
        height: archive.height as u32,
        channels: archive.channels as u32,
        pixels: pixels.to_vec(),
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

fn has_checkpoint(run: &Path) -> Result<bool> {
    let folder = run.join("checkpoints");
    if !folder.is_dir() || !run.join("config.toml").is_file() {
        return Ok(false);
    }
    Ok(Checkpoints::at(folder).latest()?.checkpoint.is_some())
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
