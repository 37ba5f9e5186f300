//! What the fuzz targets share: bytes become files, and what was read is held against what its reader promises.

pub mod source;
pub mod tar;
pub mod tensors;
#[cfg(feature = "models")]
pub mod tiny;
pub mod zip;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Stands between the files of an input that is several.
pub const SEPARATOR: &[u8] = b"\n====\n";

/// The first `N` files of an input; those it lacks are empty.
pub fn files<const N: usize>(mut data: &[u8]) -> [&[u8]; N] {
    let mut files: [&[u8]; N] = [&[]; N];
    for file in &mut files {
        let mut places = data.windows(SEPARATOR.len());
        // The first byte alone at first: the fuzzer follows every comparison of several.
        match places.position(|window| window[0] == SEPARATOR[0] && window == SEPARATOR) {
            Some(at) => (*file, data) = (&data[..at], &data[at + SEPARATOR.len()..]),
            None => (*file, data) = (data, &[]),
        }
    }
    files
}

/// A folder of this process's own below `TMPDIR`; it stays when the process ends.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let name = format!("learngene-fuzz-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder can be made below TMPDIR");
        folder
    })
}

/// Makes `bytes` a file of that name in [`folder`].
pub fn write(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    fs::write(&path, bytes).expect("a file can be written below TMPDIR");
    path
}

/// Writes `files` as one input for `target` to begin from.
pub fn seed(target: &str, name: &str, files: &[&[u8]]) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), files.join(SEPARATOR))
}

/// Whether a file in a folder can have this name, and one that a fuzzer may write.
pub fn is_file_name(name: &str) -> bool {
    let taken = ["", ".", ".."].contains(&name);
    !taken && name.len() <= 100 && !name.contains(['/', '\0'])
}

/// Reads a file of `torch.save`, all of it and a part.
pub fn read_torch(bytes: &[u8]) {
    let path = write("a.pt", bytes);
    drop(learngene_formats::torch::is_one(&path));
    for part in [None, Some("model")] {
        match learngene_formats::torch::read(&path, part) {
            Ok(tensors) => {
                for tensor in tensors.values() {
                    assert_eq!(tensor.values.len(), tensor.shape.iter().product::<usize>());
                }
            }
            Err(error) => drop(error.to_string()),
        }
    }
}
