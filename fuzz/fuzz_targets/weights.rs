//! Weight files of our own. What is written is read again.

#![no_main]

use learngene_formats::{WeightFile, fingerprint};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    match WeightFile::from_bytes(data, "a.safetensors") {
        Ok(file) => {
            let bytes = file.to_bytes().expect("what was read can be stored");
            let again = WeightFile::from_bytes(&bytes, "a.safetensors");
            let again = again.expect("what was written can be read");
            assert_eq!(again.header, file.header);
            assert_eq!(fingerprint(&again.tensors), fingerprint(&file.tensors));
        }
        Err(error) => drop(error.to_string()),
    }
});
