//! NumPy's .npz as it is.

#![no_main]

use learngene_formats::ImageArchive;
use learngene_fuzz::write;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let read = ImageArchive::read(write("a.npz", data));
    drop(read.map_err(|error| error.to_string()));
});
