//! MNIST's idx, gzipped.

#![no_main]

use learngene_fuzz::{files, folder, source, write};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [images, labels] = files(data);
    write("train-images-idx3-ubyte.gz", images);
    write("train-labels-idx1-ubyte.gz", labels);
    source::read(folder());
});
