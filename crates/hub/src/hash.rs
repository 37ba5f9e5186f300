//! Whether a file is the one that a revision's tree lists.
//!
//! The tree names every file by git's hash: SHA-1 of `blob LENGTH\0CONTENT`. For a file in large file storage the content
//! that git sees is a pointer, three lines with the SHA-256 and the length of the file. So the one hash vouches for
//! both kinds.

use sha1::{Digest, Sha1};
use sha2::Sha256;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Bytes read at once.
const BUFFER: usize = 1 << 20;

/// A file as the tree lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Git's hash of it or of its pointer.
    pub oid: String,
}

impl Listed {
    /// In what the file at `path` differs, if it does.
    ///
    /// # Errors
    /// Those of reading.
    pub fn difference(&self, path: &Path) -> io::Result<Option<String>> {
        let mut file = File::open(path)?;
        let found = file.metadata()?.len();
        if found != self.bytes {
            let expected = self.bytes;
            return Ok(Some(format!("expected {expected} bytes, found {found}")));
        }
        let mut git = Sha1::new_with_prefix(format!("blob {found}\0"));
        let mut sha256 = Sha256::new();
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            git.update(&buffer[..read]);
            sha256.update(&buffer[..read]);
        }
        let (git, sha256) = (hex(&git.finalize()), hex(&sha256.finalize()));
        let same = [&git, &pointer(&sha256, found)].contains(&&self.oid);
        let expected = &self.oid;
        Ok((!same).then(|| format!("expected git hash {expected}, found {git}")))
    }
}

/// Git's hash of the pointer to a file in large file storage.
fn pointer(sha256: &str, bytes: u64) -> String {
    let text =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {bytes}\n");
    hex(&Sha1::digest(format!("blob {}\0{text}", text.len())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the documentation of `list_repo_tree` in Python's huggingface_hub 2.4.0, which shows the tree of
    /// openai-community/gpt2.
    #[test]
    fn pointers_have_the_hashes_that_the_hub_lists() {
        for (sha256, bytes, oid) in [
            (
                "9be78edb5b928eba33aa88f431551348f7466ba9f5ef3daf1d552398722a5436",
                548_123_560,
                "64eaa9c526867e404b68f2c5d66fd78e27026523",
            ),
            (
                "d88b0d6a6ff9c3f8151f9d3228f57092aaea997f09af009eefd7373a77b5abb9",
                497_764_107,
                "8095a62ccb4d806da7666fcda07467e2d150218e",
            ),
        ] {
            assert_eq!(pointer(sha256, bytes), oid);
        }
    }

    /// The hash is that of `printf 'hello\n' | git hash-object --stdin`.
    #[test]
    fn a_file_is_told_from_others_by_length_and_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let listed = Listed {
            name: "x".into(),
            bytes: 6,
            oid: "ce013625030ba8dba906f756967f9e9ca394464a".into(),
        };
        std::fs::write(&path, "hello\n").unwrap();
        assert_eq!(listed.difference(&path).unwrap(), None);
        std::fs::write(&path, "hallo\n").unwrap();
        let difference = listed.difference(&path).unwrap().unwrap();
        assert!(
            difference.contains("expected git hash ce0136"),
            "{difference}"
        );
        std::fs::write(&path, "hell").unwrap();
        let difference = listed.difference(&path).unwrap().unwrap();
        assert_eq!(difference, "expected 6 bytes, found 4");
    }
}
