//! Files of torch.save of the form before ZIP. No checksum stands before the pickle.

#![no_main]

use learngene_fuzz::read_torch;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    read_torch(data);
});
