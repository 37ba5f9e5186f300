//! WordNet's data.noun, and a tree over all synsets that stand in it.

#![no_main]

use std::path::Path;

use learngene_data::WordNet;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    match WordNet::parse(&text, Path::new("data.noun")) {
        Ok(nouns) => {
            let offsets = text.lines().filter_map(|line| line.get(..8));
            for class in offsets.map(|offset| format!("n{offset}")) {
                for depth in [0, 6, usize::MAX] {
                    let tree = nouns.tree(std::slice::from_ref(&class), depth);
                    drop(tree.map_err(|error| error.to_string()));
                }
            }
        }
        Err(error) => drop(error.to_string()),
    }
});
