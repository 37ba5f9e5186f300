//! Configurations of runs, and settings laid over one. What is written is read again.

#![no_main]

use learngene_fuzz::{files, tiny, write};
use learngene_train::RunConfig;

libfuzzer_sys::fuzz_target!(init: tiny::seed_run_config(), |data: &[u8]| {
    let [text, setting] = files(data);
    let path = write("config.toml", text);
    for read in [RunConfig::read(&path), tiny::CONFIG.clone().with_file(&path)] {
        match read {
            Ok(config) => {
                let text = config.to_toml().expect("what was read can be written");
                let again = RunConfig::read(&write("again.toml", text.as_bytes()));
                assert_eq!(again.expect("what was written can be read"), config);
            }
            Err(error) => drop(error.to_string()),
        }
    }
    if let Ok(setting) = std::str::from_utf8(setting) {
        let over = tiny::CONFIG.clone().with_settings([setting]);
        drop(over.map_err(|error| error.to_string()));
    }
});
