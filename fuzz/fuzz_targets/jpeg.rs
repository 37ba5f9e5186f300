//! JPEG files.

#![no_main]

use learngene_fuzz::source;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    source::decode(data);
});
