//! A checkpoint: the manifest and a file, which has every name that the manifest says. The manifest gets the checksum that it
//! needs, if it is one.

#![no_main]

use std::fs;

use learngene_formats::Checkpoints;
use learngene_formats::manifest::{MANIFEST_NAME, Manifest};
use learngene_fuzz::{files, folder, is_file_name};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [manifest, content] = files(data);
    let all = folder().join("checkpoints");
    let one = all.join("step-00000007");
    drop(fs::remove_dir_all(&all));
    fs::create_dir_all(&one).expect("a folder can be made below TMPDIR");
    let found: Option<Manifest> = serde_json::from_slice(manifest).ok();
    let bytes = found.as_ref().map_or(manifest.to_vec(), sealed);
    fs::write(one.join(MANIFEST_NAME), bytes).expect("a file can be written below TMPDIR");
    let names = found.iter().flat_map(|manifest| manifest.files.keys());
    for name in names.filter(|name| is_file_name(name) && *name != MANIFEST_NAME) {
        drop(fs::write(one.join(name), content));
    }
    let checkpoints = Checkpoints::at(&all);
    for found in [checkpoints.latest(), checkpoints.best()] {
        let found = found.expect("the folder can be listed");
        found
            .rejected
            .iter()
            .for_each(|error| drop(error.to_string()));
        if let Some(checkpoint) = found.checkpoint {
            assert!(checkpoint.verify().is_ok());
            for name in checkpoint.manifest.files.keys() {
                let path = checkpoint.file(name).expect("the manifest has it");
                assert_eq!(path.parent(), Some(&*checkpoint.path));
            }
        }
    }
});

/// The bytes that a writer would give it.
fn sealed(manifest: &Manifest) -> Vec<u8> {
    let json = serde_json::to_vec(manifest).expect("a manifest is JSON");
    let pretty = serde_json::to_string_pretty(manifest).expect("a manifest is JSON");
    let hash = blake3::hash(&json).to_hex();
    let inside = pretty.replace('\n', "\n  ");
    format!("{{\n  \"manifest\": {inside},\n  \"blake3\": \"{hash}\"\n}}\n").into_bytes()
}
