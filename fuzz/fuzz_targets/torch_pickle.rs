//! The pickle of a file of torch.save and two storages, in an archive that is whole.

#![no_main]

use learngene_fuzz::{files, read_torch, zip};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [pickle, first, second] = files(data);
    read_torch(&zip::of(&[
        ("a/data.pkl", pickle),
        ("a/data/0", first),
        ("a/data/1", second),
    ]));
});
