//! Configurations of runs: a whole one, or one laid over another and a setting over both. What is written is read again.

#![no_main]

use learngene_fuzz::{files, tiny, write};
use learngene_train::RunConfig;

libfuzzer_sys::fuzz_target!(init: tiny::seed_run_config(), |data: &[u8]| {
    let [text, setting] = files(data);
    let path = write("config.toml", text);
    let read = match std::str::from_utf8(setting) {
        Ok("") => RunConfig::read(&path),
        Ok(setting) => tiny::CONFIG
            .with_file(&path)
            .and_then(|config| config.with_settings([setting])),
        Err(_) => return,
    };
    match read {
        Ok(config) => {
            let text = config.to_toml().expect("what was read can be written");
            let again = RunConfig::read(&write("again.toml", text.as_bytes()));
            assert_eq!(again.expect("what was written can be read"), config);
        }
        Err(error) => drop(error.to_string()),
    }
});
