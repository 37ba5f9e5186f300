//! Image folders: names of a class and of a file, and the file, twice.

#![no_main]

use std::fs;

use learngene_fuzz::{files, folder, is_file_name, source};

libfuzzer_sys::fuzz_target!(init: learngene_data::pass_over_caught_panics(), |data: &[u8]| {
    let root = folder().join("images");
    drop(fs::remove_dir_all(&root));
    let [class, name, image, other_class, other_name, other_image] = files(data);
    for (class, name, image) in [(class, name, image), (other_class, other_name, other_image)] {
        let [class, name] = [class, name].map(String::from_utf8_lossy);
        if is_file_name(&class) && is_file_name(&name) {
            fs::create_dir_all(root.join(&*class)).expect("a folder can be made below TMPDIR");
            drop(fs::write(root.join(&*class).join(&*name), image));
        }
    }
    source::read(&root);
});
