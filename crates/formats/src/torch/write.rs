//! Writing what `torch.load` reads: a ZIP file with a pickle of names and shapes, and each tensor's values.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use flate2::Crc;

use crate::atomic::write_atomically;
use crate::container::{TensorEntry, write_floats};
use crate::error::Result;
use crate::zip::{self, Member};

/// Folder of everything in the ZIP file.
const FOLDER: &str = "archive";

/// Writes named tensors as an ordered dictionary of float32 tensors, whole or not at all. `torch.load` takes it with
/// `weights_only=True` too.
///
/// # Errors
/// Those of [`write_atomically`].
pub fn write(path: impl AsRef<Path>, tensors: &BTreeMap<String, TensorEntry>) -> Result<()> {
    write_atomically(path, |file| {
        let mut archive = Archive {
            file,
            members: Vec::new(),
            offset: 0,
        };
        archive.add("data.pkl", &|out| out.write_all(&pickle(tensors)))?;
        archive.add("byteorder", &|out| out.write_all(b"little"))?;
        for (i, tensor) in tensors.values().enumerate() {
            archive.add(&format!("data/{i}"), &|out| {
                write_floats(&tensor.values, out)
            })?;
        }
        archive.add("version", &|out| out.write_all(b"3\n"))?;
        let directory = zip::directory_of(&archive.members, archive.offset);
        archive.file.write_all(&directory)
    })
}

struct Archive<'a> {
    file: &'a mut dyn Write,
    members: Vec<Member>,
    offset: u64,
}

/// Checksum and length of what goes by.
#[derive(Default)]
struct Count(Crc, u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        self.1 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Archive<'_> {
    fn add(
        &mut self,
        name: &str,
        fill: &dyn Fn(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut count = Count::default();
        fill(&mut count)?;
        let name = format!("{FOLDER}/{name}");
        let member = Member::stored(&name, count.0.sum(), count.1, self.offset);
        let header = member.local_header();
        self.file.write_all(&header)?;
        fill(&mut *self.file)?;
        self.offset += header.len() as u64 + count.1;
        self.members.push(member);
        Ok(())
    }
}

/// Names, shapes, and which storage each tensor is.
fn pickle(tensors: &BTreeMap<String, TensorEntry>) -> Vec<u8> {
    const EMPTY: &[u8] = b"ccollections\nOrderedDict\n)R";
    let mut out = b"\x80\x02".to_vec();
    out.extend(EMPTY);
    out.push(b'(');
    for (i, (name, tensor)) in tensors.iter().enumerate() {
        text(&mut out, name);
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut out, "storage");
        out.extend(b"ctorch\nFloatStorage\n");
        text(&mut out, &i.to_string());
        text(&mut out, "cpu");
        number(&mut out, tensor.values.len());
        out.extend(b"tQK\x00(");
        tensor.shape.iter().for_each(|&side| number(&mut out, side));
        out.extend(b"t(");
        for after in 1..=tensor.shape.len() {
            number(&mut out, tensor.shape[after..].iter().product());
        }
        out.extend(b"t\x89");
        out.extend(EMPTY);
        out.extend(b"tR");
    }
    out.extend(b"u.");
    out
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

/// A number below 2^63, as one of 8 bytes.
fn number(out: &mut Vec<u8>, number: usize) {
    out.extend(b"\x8a\x08");
    out.extend((number as u64).to_le_bytes());
}
