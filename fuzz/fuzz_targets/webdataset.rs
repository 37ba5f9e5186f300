//! WebDataset: a shard, and names of classes. Checksums are made right.

#![no_main]

use learngene_fuzz::{files, folder, source, tar, write};

libfuzzer_sys::fuzz_target!(init: learngene_data::pass_over_caught_panics(), |data: &[u8]| {
    let [shard, names] = files(data);
    match names {
        [] => drop(std::fs::remove_file(folder().join("classes.txt"))),
        names => drop(write("classes.txt", names)),
    }
    write("shard.tar", &tar::with_checksums(shard));
    source::read(folder());
});
