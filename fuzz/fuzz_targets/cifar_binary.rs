//! CIFAR-10's binary batches: a batch, and names of classes. Once as it is, once filled up to whole records.

#![no_main]

use learngene_fuzz::{files, folder, source, write};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [batch, names] = files(data);
    match names {
        [] => drop(std::fs::remove_file(folder().join("batches.meta.txt"))),
        names => drop(write("batches.meta.txt", names)),
    }
    let mut whole = batch.to_vec();
    whole.resize(batch.len().next_multiple_of(3073), 0);
    source::read(&write("test_batch.bin", batch));
    source::read(&write("data_batch_1.bin", &whole));
});
