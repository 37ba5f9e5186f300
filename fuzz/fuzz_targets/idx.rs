//! MNIST's idx: a file of images and one of labels.

#![no_main]

use learngene_fuzz::{files, folder, source, write};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [images, labels] = files(data);
    write("train-images-idx3-ubyte", images);
    write("train-labels-idx1-ubyte", labels);
    source::read(folder());
});
