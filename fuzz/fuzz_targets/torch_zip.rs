//! Files of torch.save as they are.

#![no_main]

use learngene_fuzz::read_torch;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    read_torch(data);
});
