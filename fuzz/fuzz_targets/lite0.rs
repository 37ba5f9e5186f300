//! Weights of EfficientNet-Lite0.

#![no_main]

use learngene_eval::Lite0;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    drop(Lite0::from_safetensors(data).map_err(|error| error.to_string()));
});
