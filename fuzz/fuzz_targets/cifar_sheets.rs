//! CIFAR-10 as PNG sheets: a sheet and its labels.

#![no_main]

use learngene_fuzz::{files, folder, source, write};

libfuzzer_sys::fuzz_target!(init: learngene_data::pass_over_caught_panics(), |data: &[u8]| {
    let [sheet, labels] = files(data);
    write("test_batch.png", sheet);
    write("test_lables.json", labels);
    source::read(folder());
});
