//! A cache of latents: latents.json and a shard. A row of 64 @ in either becomes the hash of the recipe.

#![no_main]

use learngene_data::latents::Recipe;
use learngene_fuzz::{files, folder, source, write};
use serde_json::Value;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [manifest, shard] = files(data);
    let found: Option<Value> = serde_json::from_slice(manifest).ok();
    let recipe = found.and_then(|mut json| Some(json.get_mut("recipe")?.take()));
    let recipe: Option<Recipe> = recipe.and_then(|json| serde_json::from_value(json).ok());
    let hash = recipe.map_or([b'@'; 64].to_vec(), |recipe| recipe.hash().into_bytes());
    write("latents.json", &sealed(manifest, &hash));
    write("latents-00000.safetensors", &sealed(shard, &hash));
    source::read(folder());
});

fn sealed(bytes: &[u8], hash: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while at + hash.len() <= bytes.len() {
        match bytes[at..at + hash.len()]
            .iter()
            .rposition(|&byte| byte != b'@')
        {
            Some(other) => at += other + 1,
            None => {
                bytes[at..at + hash.len()].copy_from_slice(hash);
                at += hash.len();
            }
        }
    }
    bytes
}
