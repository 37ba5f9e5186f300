//! TIFF files.

#![no_main]

use learngene_fuzz::source;

libfuzzer_sys::fuzz_target!(init: learngene_data::pass_over_caught_panics(), |data: &[u8]| {
    source::decode(data);
});
