//! Folders of diffusers' DiT: `config.json` and the header of the weights, whose values are zeros.

#![no_main]

use burn::tensor::Device;
use learngene_fuzz::{files, folder, tensors, tiny, write};
use learngene_transfer::interop::diffusers;

libfuzzer_sys::fuzz_target!(init: tiny::seed_diffusers(), |data: &[u8]| {
    let [config, header] = files(data);
    write("config.json", config);
    write(
        "diffusion_pytorch_model.safetensors",
        &tensors::with_zeros(header),
    );
    match diffusers::read(folder(), &Device::flex()) {
        Ok((config, model)) => assert_eq!(config.model, *model.config()),
        Err(error) => drop(error.to_string()),
    }
});
