//! Where cells are judged: each once, and nothing but the chosen ones.

use crate::bench::{Bench, steps_done};
use crate::cell::{Cell, Place, RESULT, Real, TRAINED, Verdict, hash};
use crate::config::slug;
use crate::error::Result;
use crate::findings::{Cells, Show, Summary};
use crate::host::{Doing, Host};
use crate::measure::{self, Jury};
use crate::record;
use burn::module::Module;
use learngene_data::Image;
use learngene_formats::ImageArchive;
use learngene_nn::cost;
use serde_json::json;
use std::collections::BTreeMap;

impl<H: Host> Bench<'_, H> {
    /// The cell's test: what was kept of it, or a new one. Nothing else looks at test images.
    pub fn judged(&mut self, cell: &Cell) -> std::result::Result<Verdict, H::Failure> {
        let place = self.place(cell);
        let inputs = self.judging_inputs(&place);
        self.number += 1;
        if let Some(kept) = place.read(RESULT, &inputs) {
            return Ok(kept);
        }
        self.announce(Doing::Judging, &place.name)?;
        if steps_done(&place.folder)? != Some(self.wanted.steps) {
            // Dropped when another rate was chosen, or damaged since.
            let trained = self.train(cell, &place)?;
            place.write(TRAINED, &place.inputs, &trained)?;
        }
        let (config, model) = self.host.model(&place.folder)?;
        let jury = self.jury()?;
        let (judging, all) = (&self.wanted.judge, &self.data.all);
        let lab = measure::lab(&config, judging, self.host.watch())?;
        let judged =
            measure::everything(&lab, &model, all, judging, &jury, &place.folder, self.host)?;
        self.jury = Some(jury);
        Ok(place.write(RESULT, &inputs, &judged)?)
    }

    /// Hash of what decides a test.
    fn judging_inputs(&self, place: &Place) -> String {
        let judging = &self.wanted.judge;
        hash(&json!({
            "cell": place.inputs,
            "data": self.data.all.fingerprint(),
            "draws": [judging.repeats, judging.images, judging.steps],
            "guidance": judging.guidance,
            "sampler": judging.sampler,
            "measures": self.measures(),
        }))
    }

    /// What decides measures besides the images.
    fn measures(&self) -> serde_json::Value {
        json!([self.wanted.judge.resamples, self.inception])
    }

    /// The jury, which whoever is done with it puts back: all cells share it.
    fn jury(&mut self) -> std::result::Result<Jury, H::Failure> {
        match self.jury.take() {
            Some(jury) => Ok(jury),
            None => Jury::new(&self.data.all, &self.wanted.judge, self.host),
        }
    }

    /// A base with label rows at their mean and nothing trained: losses alone.
    pub fn not_adapted(&mut self, name: &str) -> std::result::Result<Summary, H::Failure> {
        let (bases, all, watch) = (self.bases, &self.data.all, self.host.watch());
        let mut judged = Vec::new();
        let mut macs = 0;
        for &seed in &self.wanted.seeds {
            let base = &bases[&(name.to_owned(), seed)];
            let what = format!("start-{}-seed{seed}", slug(name));
            let inputs = json!({ "version": env!("CARGO_PKG_VERSION"), "base": base.identity, "base_config": base.inputs() });
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
                let lab = measure::lab(&config, &self.wanted.judge, watch.clone())?;
                let found = measure::losses(&lab, &start.valid(), all)?;
                place.write(RESULT, &inputs, &found)
            };
            judged.push(measured()?);
        }
        Ok(Summary::of_base(name, macs, &self.wanted.seeds, &judged))
    }

    /// Real test images before the judge.
    pub fn real(&mut self) -> std::result::Result<Real, H::Failure> {
        let inputs = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "data": self.data.all.fingerprint(),
            "measures": self.measures(),
        });
        let place = Place::new(self.out, "real", &inputs);
        self.number += 1;
        if let Some(kept) = place.read(RESULT, &place.inputs) {
            return Ok(kept);
        }
        self.announce(Doing::Judging, &place.name)?;
        let jury = self.jury()?;
        let found = jury.real(&self.wanted.judge)?;
        self.jury = Some(jury);
        Ok(place.write(RESULT, &place.inputs, &found)?)
    }

    /// Pictures and curve of a cell, from its folder.
    pub fn show(&self, cell: &Cell, cells: &Cells) -> Result<Show> {
        let folder = self.place(cell).folder;
        let (Some(first), Some(Some(Verdict::Judged(judged)))) =
            (cells.trained.first(), cells.judged.first())
        else {
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
            probes: judged
                .drawn
                .iter()
                .map(|drawn| (drawn.guidance, drawn.probe.clone()))
                .collect(),
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
