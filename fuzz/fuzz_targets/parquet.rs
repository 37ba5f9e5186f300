//! Parquet: a file of encoded images and classes.

#![no_main]

use learngene_fuzz::{folder, source, write};

libfuzzer_sys::fuzz_target!(init: learngene_data::pass_over_caught_panics(), |data: &[u8]| {
    write("table.parquet", data);
    source::read(&folder().join("table.parquet"));
});
