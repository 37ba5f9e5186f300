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

/// A PNG file of one picture, and what stands in front of the pixels of a JPEG and of a WebP file, all with this Exif and
/// this XMP.
pub fn pictures_with(exif: &[u8], xmp: &[u8]) -> [Vec<u8>; 3] {
    let picture = learngene_data::Image::filled(3, 2, &[1, 2, 3]);
    let png = learngene_data::image::encode_png(&picture).expect("a whole picture can be encoded");
    let length = |bytes: &[u8]| (bytes.len() as u32).to_be_bytes();
    let chunk = |name: &[u8], contents: &[u8]| {
        // A checksum is passed over when the reader is compiled for fuzzing.
        [&length(contents)[..], name, contents, &[0; 4]].concat()
    };
    let text = [b"XML:com.adobe.xmp\0\0\0\0\0", xmp].concat();
    let (head, rest) = png.split_at(33);
    let png = [head, &chunk(b"eXIf", exif), &chunk(b"iTXt", &text), rest].concat();
    let segment = |name: &[u8], contents: &[u8]| {
        let contents = &contents[..contents.len().min(60_000)];
        let length = (2 + name.len() + contents.len()) as u16;
        [b"\xff\xe1", &length.to_be_bytes()[..], name, contents].concat()
    };
    let jpeg = [
        b"\xff\xd8".to_vec(),
        segment(b"Exif\0\0", exif),
        segment(b"http://ns.adobe.com/xap/1.0/\0", xmp),
        b"\xff\xd9".to_vec(),
    ];
    let part = |name: &[u8], contents: &[u8]| {
        let length = (contents.len() as u32).to_le_bytes();
        let fill = vec![0; contents.len() % 2];
        [name, &length, contents, &fill].concat()
    };
    let webp = [
        b"RIFF\0\0\0\0WEBP".to_vec(),
        part(b"EXIF", exif),
        part(b"XMP ", xmp),
    ];
    [png, jpeg.concat(), webp.concat()]
}
