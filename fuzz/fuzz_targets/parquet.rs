//! Parquet: a file of encoded images and classes. The library panics on some damage, which the reader catches; libFuzzer's
//! hook would end the process before it can. A panic that nobody catches still does.

#![no_main]

use learngene_fuzz::{folder, source, write};

libfuzzer_sys::fuzz_target!(init: std::panic::set_hook(Box::new(|_| {})), |data: &[u8]| {
    write("table.parquet", data);
    source::read(&folder().join("table.parquet"));
});
