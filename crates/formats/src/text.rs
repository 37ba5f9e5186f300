//! Small files of text that people write: settings, class maps and trees, lists of names.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// The most bytes of such a file. A list of 300,000 classes has as many.
pub const MAX_TEXT_BYTES: u64 = 8 << 20;

/// Reads a file of text as [`fs::read_to_string`] does, but a regular one of at most [`MAX_TEXT_BYTES`] alone: a pipe would
/// keep the reader waiting, and a device would never end. A byte order mark in front is passed over.
///
/// # Errors
/// What the operating system says; no regular file, one that is too long, one that is not UTF-8.
pub fn read_text(path: impl AsRef<Path>) -> io::Result<String> {
    let path = path.as_ref();
    let wrong = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    // Asked before opening, because opening a pipe waits for its other end.
    if !fs::metadata(path)?.is_file() {
        return Err(wrong("it is no regular file, expected one of text".into()));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_TEXT_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_TEXT_BYTES {
        return Err(wrong(format!(
            "it has more than {MAX_TEXT_BYTES} bytes, expected a short text"
        )));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(wrong("it is UTF-16: save it as UTF-8".into()));
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    match std::str::from_utf8(text) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(wrong(format!("it is not UTF-8 ({error})"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_without_its_byte_order_mark() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        fs::write(&path, "\u{feff}a = 1\n").unwrap();
        assert_eq!(read_text(&path).unwrap(), "a = 1\n");
        fs::write(&path, "a = 'é'").unwrap();
        assert_eq!(read_text(&path).unwrap(), "a = 'é'");
    }

    #[test]
    fn what_is_no_short_text_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path, part: &str| {
            let text = read_text(path).unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
        };
        refused(folder.path(), "no regular file");
        refused(&folder.path().join("none"), "No such file");
        let path = folder.path().join("a.toml");
        let file = File::create(&path).unwrap();
        file.set_len(1 << 40).unwrap();
        refused(&path, "more than 8388608 bytes");
        fs::write(&path, [0xff, 0xfe, b'a', 0]).unwrap();
        refused(&path, "UTF-16");
        fs::write(&path, [b'a', 0xff]).unwrap();
        refused(&path, "not UTF-8");
        #[cfg(unix)]
        {
            refused(Path::new("/dev/zero"), "no regular file");
            let pipe = folder.path().join("pipe");
            let made = std::process::Command::new("mkfifo").arg(&pipe).status();
            if made.is_ok_and(|status| status.success()) {
                refused(&pipe, "no regular file");
            }
        }
    }
}
