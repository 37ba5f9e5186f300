//! A class tree. What is written is read again.

#![no_main]

use std::path::Path;

use learngene_data::ClassTree;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let path = Path::new("tree.toml");
    match ClassTree::parse(&String::from_utf8_lossy(data), path) {
        Ok(tree) => {
            let again = ClassTree::parse(&tree.to_toml(), path);
            assert_eq!(again.expect("what was written is a class tree"), tree);
            let over = tree
                .over(&tree.classes())
                .expect("its own classes are in it");
            assert_eq!(over.len(), tree.superclasses().len());
            drop(
                tree.over(&["dog".to_owned()])
                    .map_err(|error| error.to_string()),
            );
        }
        Err(error) => drop(error.to_string()),
    }
});
