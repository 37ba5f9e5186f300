//! Which classes take part: the choice on the command line, and the class map file.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use learngene_formats::read_text;

use crate::class_list;
use crate::error::{Error, Hint, Result};
use crate::latents::{Content, Entry, LatentSpace};
use crate::source::{Indexed, Note, Partition, Sample, Source};

/// The classes to load, in the order their numbers will have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClassSelection {
    /// The classes of pre-training.
    Base,
    /// The classes of transfer.
    Novel,
    /// Every class of the source.
    All,
    /// These, in this order.
    Names(Vec<String>),
    /// Those in a text, as [`class_list`] reads it.
    Typed(String),
}

impl FromStr for ClassSelection {
    type Err = Error;

    /// `base`, `novel`, `all`, or names as in [`class_list`].
    fn from_str(text: &str) -> Result<Self> {
        match text.trim() {
            "base" => return Ok(Self::Base),
            "novel" => return Ok(Self::Novel),
            "all" => return Ok(Self::All),
            _ => {}
        }
        let names = class_list::names(text, &[])?;
        match first_repeated(&names) {
            Some(name) => Err(Error::ClassList {
                list: text.to_owned(),
                reason: format!("`{name}` stands there twice"),
            }),
            None => Ok(Self::Typed(text.to_owned())),
        }
    }
}

impl ClassSelection {
    /// The names of the selected classes of `source`.
    ///
    /// # Errors
    /// [`Error::NoPartition`] for base or novel where the source does not say; [`Error::UnknownClass`] with the nearest
    /// name; [`Error::ClassList`] if nothing or something twice is selected.
    pub fn resolve(&self, source: &dyn Source) -> Result<Vec<String>> {
        let part = |which: &'static str, pick: fn(&Partition) -> &Vec<String>| match source
            .partition()
            .map(pick)
        {
            Some(names) if !names.is_empty() => Ok(names.clone()),
            // Where there is nothing else that it could mean, a class of that name.
            _ if source.class_names().iter().any(|name| name == which) => Ok(vec![which.into()]),
            _ => Err(Error::NoPartition {
                which,
                origin: source.name().to_owned(),
            }),
        };
        let names = match self {
            Self::Base => part("base", |partition| &partition.base)?,
            Self::Novel => part("novel", |partition| &partition.novel)?,
            Self::All => source.class_names().to_vec(),
            Self::Names(names) => names.clone(),
            Self::Typed(text) => class_list::names(text, source.class_names())?,
        };
        let wrong = |reason: String| Error::ClassList {
            list: names.join(","),
            reason,
        };
        if names.is_empty() {
            return Err(wrong("no class is selected".to_owned()));
        }
        if let Some(name) = first_repeated(&names) {
            return Err(wrong(format!("`{name}` stands there twice")));
        }
        let known: HashSet<&String> = source.class_names().iter().collect();
        match names.iter().find(|name| !known.contains(name)) {
            Some(name) => Err(Error::unknown_class(
                name,
                source.name(),
                source.class_names(),
            )),
            None => Ok(names),
        }
    }
}

pub(crate) fn first_repeated(names: &[String]) -> Option<&String> {
    let mut seen = HashSet::new();
    names.iter().find(|name| !seen.insert(*name))
}

/// The first place of each name.
pub(crate) fn places(names: &[String]) -> HashMap<&str, usize> {
    let mut places = HashMap::new();
    for (place, name) in names.iter().enumerate() {
        places.entry(name.as_str()).or_insert(place);
    }
    places
}

/// A class map: classes renamed and merged, and a base/novel partition, written as TOML.
///
/// ```toml
/// base = ["vehicle", "bird"]
/// novel = ["pet"]
///
/// [classes]                       # left out: the source's own classes
/// vehicle = ["automobile", "truck"]
/// bird = ["bird"]
/// pet = ["cat", "dog"]            # source classes named nowhere are left out
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassMap {
    path: PathBuf,
    classes: Option<Vec<(String, Vec<String>)>>,
    partition: Partition,
}

impl ClassMap {
    const KEYS: [&str; 3] = ["classes", "base", "novel"];

    /// Reads a class map file.
    ///
    /// # Errors
    /// [`Error::ClassMap`] for text that is no TOML, unknown keys, wrong types and contradictions.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&read_text(path).map_err(Error::io(path))?, path)
    }

    /// Reads a class map from text; `path` is for errors.
    ///
    /// # Errors
    /// As [`ClassMap::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let wrong = |reason: String| Error::ClassMap {
            path: path.to_owned(),
            reason,
        };
        let table: toml::Table =
            toml::from_str(text).map_err(|error| wrong(error.to_string().trim().to_owned()))?;
        if let Some(key) = table.keys().find(|key| !Self::KEYS.contains(&key.as_str())) {
            let hint = Hint::nearest(key, &Self::KEYS);
            return Err(wrong(format!(
                "unknown key `{key}`{hint}; known are {}",
                Self::KEYS.join(", ")
            )));
        }
        let names = |key: &str, value: &toml::Value| -> Result<Vec<String>> {
            let list = value.as_array().and_then(|values| {
                values
                    .iter()
                    .map(|v| v.as_str().map(str::to_owned))
                    .collect()
            });
            list.filter(|names: &Vec<String>| !names.is_empty())
                .ok_or_else(|| {
                    wrong(format!(
                        "`{key}` must be a list of class names, as in {key} = [\"a\", \"b\"]"
                    ))
                })
        };
        let classes = match table.get("classes") {
            None => None,
            Some(toml::Value::Table(classes)) => Some(
                classes
                    .iter()
                    .map(|(name, of)| Ok((name.clone(), names(name, of)?)))
                    .collect::<Result<_>>()?,
            ),
            Some(_) => {
                return Err(wrong(
                    "`classes` must be a table of lists, as in [classes] pet = [\"cat\"]"
                        .to_owned(),
                ));
            }
        };
        let list = |key| {
            table
                .get(key)
                .map_or(Ok(Vec::new()), |value| names(key, value))
        };
        let map = Self {
            path: path.to_owned(),
            classes,
            partition: Partition {
                base: list("base")?,
                novel: list("novel")?,
            },
        };
        let merged = map
            .classes
            .iter()
            .flatten()
            .flat_map(|(_, of)| of.clone())
            .collect::<Vec<_>>();
        if let Some(name) = first_repeated(&merged) {
            return Err(wrong(format!(
                "source class `{name}` is used twice under [classes]"
            )));
        }
        let partitioned = [map.partition.base.clone(), map.partition.novel.clone()].concat();
        if let Some(name) = first_repeated(&partitioned) {
            return Err(wrong(format!("`{name}` stands twice in base and novel")));
        }
        Ok(map)
    }

    /// Lays the map over a source.
    ///
    /// # Errors
    /// [`Error::UnknownClass`] for a name that the source (under `[classes]`) or the map (in base, novel) does not have.
    pub fn apply(self, source: Box<dyn Source>) -> Result<MappedSource> {
        let known = source.class_names();
        let places_of_known = places(known);
        let origin = || format!("{} (class map {})", source.name(), self.path.display());
        let position = |name: &String| {
            let place = places_of_known.get(name.as_str()).copied();
            place.ok_or_else(|| Error::unknown_class(name, origin(), known))
        };
        let mut renumbered = vec![None; known.len()];
        let classes: Vec<String> = match &self.classes {
            None => {
                renumbered = (0..known.len()).map(Some).collect();
                known.to_vec()
            }
            Some(classes) => {
                for (number, (_, of)) in classes.iter().enumerate() {
                    for name in of {
                        renumbered[position(name)?] = Some(number);
                    }
                }
                classes.iter().map(|(name, _)| name.clone()).collect()
            }
        };
        let mapped: HashSet<&String> = classes.iter().collect();
        for name in self.partition.base.iter().chain(&self.partition.novel) {
            if !mapped.contains(name) {
                return Err(Error::unknown_class(name, origin(), &classes));
            }
        }
        let own_partition = self
            .classes
            .is_none()
            .then(|| source.partition().cloned())
            .flatten();
        let partition = if self.partition == Partition::default() {
            own_partition
        } else {
            Some(self.partition)
        };
        let kept = source.indexed().map(|samples| {
            let kept = |i: &usize| renumbered[samples.entry(*i).class].is_some();
            (0..samples.count()).filter(kept).collect()
        });
        Ok(MappedSource {
            source,
            classes,
            partition,
            renumbered,
            kept,
        })
    }
}

/// A source seen through a class map.
#[derive(Debug)]
pub struct MappedSource {
    source: Box<dyn Source>,
    classes: Vec<String>,
    partition: Option<Partition>,
    renumbered: Vec<Option<usize>>,
    /// Of an indexed source: the samples that are in one of the classes.
    kept: Option<Vec<usize>>,
}

impl MappedSource {
    /// The samples beneath, and the number of sample `i` there.
    fn beneath(&self, i: usize) -> (&dyn Indexed, usize) {
        match (self.source.indexed(), &self.kept) {
            (Some(samples), Some(kept)) => (samples, kept[i]),
            _ => unreachable!("only had where the source beneath is indexed"),
        }
    }
}

impl Indexed for MappedSource {
    fn count(&self) -> usize {
        self.kept.as_ref().map_or(0, Vec::len)
    }

    fn entry(&self, i: usize) -> Entry {
        let (samples, i) = self.beneath(i);
        let entry = samples.entry(i);
        let class = self.renumbered[entry.class].unwrap_or_default();
        Entry { class, ..entry }
    }

    fn content(&self, i: usize) -> Result<Content> {
        let (samples, i) = self.beneath(i);
        samples.content(i)
    }

    fn block(&self, i: usize) -> usize {
        let (samples, i) = self.beneath(i);
        samples.block(i)
    }

    fn stored_bytes(&self, i: usize) -> Option<u64> {
        let (samples, i) = self.beneath(i);
        samples.stored_bytes(i)
    }

    fn window(&self) -> usize {
        self.source.indexed().map_or(1, Indexed::window)
    }
}

impl Source for MappedSource {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn class_names(&self) -> &[String] {
        &self.classes
    }

    fn partition(&self) -> Option<&Partition> {
        self.partition.as_ref()
    }

    fn skipped(&self) -> &[PathBuf] {
        self.source.skipped()
    }

    fn notes(&self) -> Vec<Note> {
        self.source.notes()
    }

    fn latent_space(&self) -> Option<&LatentSpace> {
        self.source.latent_space()
    }

    fn indexed(&self) -> Option<&dyn Indexed> {
        self.kept.as_ref().map(|_| self as &dyn Indexed)
    }

    fn samples(&self) -> Box<dyn Iterator<Item = Result<Sample>> + '_> {
        Box::new(self.source.samples().filter_map(|sample| match sample {
            Ok(sample) => self.renumbered[sample.class].map(|class| Ok(Sample { class, ..sample })),
            Err(error) => Some(Err(error)),
        }))
    }
}
