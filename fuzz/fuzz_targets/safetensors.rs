//! The safetensors container, whoever wrote it.

#![no_main]

use learngene_formats::{Take, container};
use learngene_fuzz::write;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let path = write("a.safetensors", data);
    let some = container::read_taking(&path, |name| match name.len() % 3 {
        0 => Take::Floats,
        1 => Take::Numbers,
        _ => Take::Nothing,
    });
    let metadata = container::read_metadata(&path);
    match container::read(&path) {
        Ok(contents) => {
            for tensor in contents.tensors.values() {
                assert_eq!(tensor.values.len(), tensor.shape.iter().product::<usize>());
            }
            assert!(
                some.expect("a part of it can be read").tensors.len() <= contents.tensors.len()
            );
            assert_eq!(
                metadata.expect("its metadata can be read"),
                contents.metadata
            );
        }
        Err(error) => drop(error.to_string()),
    }
});
