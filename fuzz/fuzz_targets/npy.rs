//! The arrays of an .npz, in an archive that is whole.

#![no_main]

use learngene_formats::ImageArchive;
use learngene_fuzz::{files, write, zip};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [images, labels] = files(data);
    let mut members = vec![("arr_0.npy", images)];
    members.extend((!labels.is_empty()).then_some(("arr_1.npy", labels)));
    match ImageArchive::read(write("a.npz", &zip::of(&members))) {
        Ok(archive) => {
            let count = archive.images().len();
            assert_eq!(count * archive.image_bytes(), archive.pixels.len());
            assert!(archive.labels.is_none_or(|labels| labels.len() == count));
        }
        Err(error) => drop(error.to_string()),
    }
});
