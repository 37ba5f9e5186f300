//! Folders of diffusers' `AutoencoderKL`: `config.json` and the header of the weights, whose values are zeros.

#![no_main]

use burn::tensor::Device;
use learngene_fuzz::{files, folder, tensors, tiny, write};
use learngene_transfer::interop::autoencoder;

libfuzzer_sys::fuzz_target!(init: tiny::seed_autoencoder(), |data: &[u8]| {
    let [config, header] = files(data);
    write("config.json", config);
    write(
        "diffusion_pytorch_model.safetensors",
        &tensors::with_zeros(header),
    );
    match autoencoder::read(folder(), &Device::flex()) {
        Ok(read) => assert!(read.config().validate().is_ok()),
        Err(error) => drop(error.to_string()),
    }
});
