//! A class map, laid over a source of four classes.

#![no_main]

use std::path::Path;

use learngene_data::{ClassMap, Image, Result, Sample, Source};
use learngene_fuzz::source;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let map = ClassMap::parse(&text, Path::new("map.toml"));
    let names = ["a", "b", "cat", "dog"].map(str::to_owned).into();
    match map.and_then(|map| map.apply(Box::new(Four(names)))) {
        Ok(mapped) => source::go_through(Box::new(mapped)),
        Err(error) => drop(error.to_string()),
    }
});

/// An image of each of these classes.
#[derive(Debug)]
struct Four(Vec<String>);

impl Source for Four {
    fn name(&self) -> &str {
        "four"
    }

    fn class_names(&self) -> &[String] {
        &self.0
    }

    fn samples(&self) -> Box<dyn Iterator<Item = Result<Sample>> + '_> {
        Box::new(self.0.iter().enumerate().map(|(class, name)| {
            Ok(Sample {
                content: Image::filled(2, 2, &[7]).into(),
                class,
                split: None,
                id: name.clone(),
            })
        }))
    }
}
