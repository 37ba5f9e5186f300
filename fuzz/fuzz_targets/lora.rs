//! LoRA of PEFT (`adapter_config.json` and the header of the weights) and, without a configuration, of other programs.
//! Values are zeros.

#![no_main]

use learngene_fuzz::{files, folder, tensors, tiny, write};
use learngene_transfer::interop::lora::Lora;

libfuzzer_sys::fuzz_target!(init: tiny::seed_lora(), |data: &[u8]| {
    let [config, header] = files(data);
    let weights = write("adapter_model.safetensors", &tensors::with_zeros(header));
    let path = match config {
        [] => &weights,
        config => {
            write("adapter_config.json", config);
            folder()
        }
    };
    match Lora::read(path, &tiny::CONFIG.model) {
        Ok(_) => {}
        Err(error) => drop(error.to_string()),
    }
});
