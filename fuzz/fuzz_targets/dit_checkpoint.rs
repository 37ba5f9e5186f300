//! Tensors of a published DiT checkpoint, in safetensors: the targets of `torch` have the other container.

#![no_main]

use burn::tensor::Device;
use learngene_fuzz::{tiny, write};
use learngene_transfer::interop::checkpoint::{self, Asked};

libfuzzer_sys::fuzz_target!(init: tiny::seed_dit_checkpoint(), |data: &[u8]| {
    let path = write("a.safetensors", data);
    drop(checkpoint::is_one(&path).map_err(|error| error.to_string()));
    for heads in [None, Some(2)] {
        let asked = Asked {
            heads,
            classes: heads,
            part: None,
        };
        match checkpoint::read(&path, &asked, &Device::flex()) {
            Ok(read) => assert_eq!(read.config.model, *read.model.config()),
            Err(error) => drop(error.to_string()),
        }
    }
});
