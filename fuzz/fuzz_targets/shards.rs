//! Weights in several files: the index and two of them, as safetensors and as what torch.save writes.

#![no_main]

use learngene_formats::shards;
use learngene_fuzz::{files, folder, write};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [index, first, second] = files(data);
    write("w.safetensors.index.json", index);
    write("1.safetensors", first);
    write("2.safetensors", second);
    drop(shards::read(folder(), "w").map_err(|error| error.to_string()));
    write("v.bin.index.json", index);
    drop(shards::read(folder(), "v").map_err(|error| error.to_string()));
});
