//! Parquet: a file of encoded images and classes.

#![no_main]

use learngene_fuzz::{folder, source, write};

libfuzzer_sys::fuzz_target!(init: source::let_caught_panics_pass(), |data: &[u8]| {
    write("table.parquet", data);
    source::read(&folder().join("table.parquet"));
});
