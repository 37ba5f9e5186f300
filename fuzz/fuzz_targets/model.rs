//! Files of our own as what they are: models, tailors, adapters. The input is the header, values are zeros.

#![no_main]

use burn::tensor::Device;
use learngene_fuzz::{tensors, tiny, write};
use learngene_train::weights;
use learngene_transfer::{Adapter, TailorSet};

libfuzzer_sys::fuzz_target!(init: tiny::seed_model(), |data: &[u8]| {
    let path = write("a.safetensors", &tensors::with_zeros(data));
    match weights::read(&path, &Device::flex()) {
        Ok((config, model)) => assert_eq!(config.model, *model.config()),
        Err(error) => drop(error.to_string()),
    }
    match TailorSet::read(&path) {
        Ok(set) => assert!(!set.classes().is_empty()),
        Err(error) => drop(error.to_string()),
    }
    match Adapter::read(&path) {
        Ok(adapter) => drop(adapter.method().map_err(|error| error.to_string())),
        Err(error) => drop(error.to_string()),
    }
});
