//! LoRA of PEFT (`adapter_config.json` and the header of the weights), as folder and as file, and, without a configuration,
//! of other programs, with what they keep in the header. Values are zeros.

#![no_main]

use learngene_fuzz::{files, folder, tensors, tiny, write};
use learngene_transfer::interop::lora::Lora;

libfuzzer_sys::fuzz_target!(init: tiny::seed_lora(), |data: &[u8]| {
    let [config, header] = files(data);
    let weights = write("adapter_model.safetensors", &tensors::with_zeros(header));
    let described = folder().join("adapter_config.json");
    let paths = match config {
        [] => {
            drop(std::fs::remove_file(described));
            vec![weights]
        }
        config => {
            write("adapter_config.json", config);
            vec![folder().to_path_buf(), weights]
        }
    };
    for path in paths {
        match Lora::read(&path, &tiny::CONFIG.model) {
            Ok(read) => drop(format!("{:?}", read.remarks)),
            Err(error) => drop(error.to_string()),
        }
    }
});
