//! JPEG files.

#![no_main]

use learngene_fuzz::source;

libfuzzer_sys::fuzz_target!(init: source::let_caught_panics_pass(), |data: &[u8]| {
    source::decode(data);
});
