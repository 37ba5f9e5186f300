//! Folders of diffusers' DiT: `config.json` and the header of the weights, whose values are zeros, and of the pipeline
//! around them the scheduler and the index.

#![no_main]

use burn::tensor::Device;
use learngene_fuzz::{files, folder, tensors, tiny, write};
use learngene_transfer::interop::diffusers;

libfuzzer_sys::fuzz_target!(init: tiny::seed_diffusers(), |data: &[u8]| {
    let [config, header, scheduler, index] = files(data);
    for inner in ["transformer", "scheduler"] {
        std::fs::create_dir_all(folder().join(inner)).expect("a folder can be made below TMPDIR");
    }
    write("transformer/config.json", config);
    write(
        "transformer/diffusion_pytorch_model.safetensors",
        &tensors::with_zeros(header),
    );
    for (name, bytes) in [
        ("scheduler/scheduler_config.json", scheduler),
        ("model_index.json", index),
    ] {
        match bytes {
            [] => drop(std::fs::remove_file(folder().join(name))),
            bytes => drop(write(name, bytes)),
        }
    }
    match diffusers::read(&folder().join("transformer"), &Device::flex()) {
        Ok(read) => assert_eq!(read.config.model, *read.model.config()),
        Err(error) => drop(error.to_string()),
    }
});
