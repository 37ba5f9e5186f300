//! Weights of InceptionV3.

#![no_main]

use learngene_eval::Inception;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    drop(Inception::from_safetensors(data).map_err(|error| error.to_string()));
});
