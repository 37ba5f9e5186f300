//! What says how pictures are to be turned: Exif, and XMP, in a JPEG, a PNG and a WebP file.

#![no_main]

use learngene_fuzz::{files, source};

libfuzzer_sys::fuzz_target!(init: learngene_data::pass_over_caught_panics(), |data: &[u8]| {
    let [exif, xmp] = files(data);
    for picture in learngene_fuzz::pictures_with(exif, xmp) {
        source::decode(&picture);
    }
});
