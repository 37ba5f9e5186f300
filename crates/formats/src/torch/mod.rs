//! Files of `torch.save` that hold named tensors: ZIP files, and the older form without.
//!
//! # Threat model
//! As of [`crate::container`], and: a pickle is read as data (`pickle`), so nothing that it names is called. A ZIP's
//! members must be stored as they are, which is all that PyTorch writes, so nothing can unfold; the storages of all
//! tensors that are read may add up to no more than twice the file, so that none can be asked for a thousand times; and
//! what a pickle refers to again and again is neither copied nor gone through again. A pickle takes up to 150 times its
//! own size, which is at most 4 MiB.

mod legacy;
mod parts;
mod pickle;
mod strided;
mod write;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use safetensors::Dtype;

use crate::container::{TensorEntry, open};
use crate::decode::{Take, integers_to_f32, to_f32};
use crate::error::{FormatError, Result};
use crate::zip::{self, Member, invalid};
use pickle::{Object, Unpickled, Value};
use strided::Layout;

pub use write::write;

/// Largest pickle that is read; that of a DiT-XL/2 with its optimiser has half a megabyte.
const MAX_PICKLE: u64 = 4 << 20;

/// What a file of `torch.save` holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StateDict {
    /// The tensors of one part.
    pub tensors: BTreeMap<String, TensorEntry>,
    /// Options of the program that trained it, where the file keeps them: texts, whole numbers and truth values.
    pub settings: BTreeMap<String, String>,
}

/// Whether the file begins as one of `torch.save` does.
///
/// # Errors
/// [`FormatError::NotAFile`] or [`FormatError::Io`].
pub fn is_one(path: &Path) -> Result<bool> {
    let (file, _) = open(path)?;
    let mut start = Vec::new();
    file.take(2)
        .read_to_end(&mut start)
        .map_err(|source| FormatError::io("read", path, source))?;
    Ok(start == b"PK" || start == [0x80, 2])
}

/// The tensors of a file: of the part of that name if the file is a dictionary of several, of the first of a list of
/// usual names (`ema`, `model`, `state_dict` and others) if none is named. Half-precision and double values are converted.
///
/// # Errors
/// [`FormatError::Foreign`] for anything but named tensors of floats, [`FormatError::NotAFile`] or [`FormatError::Io`].
pub fn read(path: &Path, part: Option<&str>) -> Result<BTreeMap<String, TensorEntry>> {
    Ok(read_taking(path, part, |_| Take::Floats)?.tensors)
}

/// The same, with each tensor treated as `take` says by its name, and with the options of the training.
///
/// # Errors
/// As [`read`].
pub fn read_taking(
    path: &Path,
    part: Option<&str>,
    take: impl Fn(&str) -> Take,
) -> Result<StateDict> {
    let (file, length) = open(path)?;
    let read = state_dict(&mut BufReader::new(file), length, part, &take);
    read.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput => {
            FormatError::foreign(path, error.to_string())
        }
        _ => FormatError::io("read", path, error),
    })
}

fn state_dict(
    file: &mut BufReader<File>,
    length: u64,
    part: Option<&str>,
    take: &dyn Fn(&str) -> Take,
) -> io::Result<StateDict> {
    let mut start = [0; 2];
    file.read_exact(&mut start)?;
    file.seek(SeekFrom::Start(0))?;
    let (pickle, place) = match &start {
        b"PK" => zipped(file, length)?,
        [0x80, 2] => legacy::open(file, length)?,
        _ => return Err(invalid("it is no file of torch.save")),
    };
    let mut room = length.saturating_mul(2);
    let mut tensors = BTreeMap::new();
    for (name, tensor) in parts::chosen(&pickle, part)? {
        let taken = take(name);
        if taken == Take::Nothing {
            continue;
        }
        let Some(Object::Tensor {
            storage,
            offset,
            shape,
            strides,
        }) = pickle.object(tensor)
        else {
            return Err(invalid(format!("`{name}` is no tensor")));
        };
        let Some(Object::Storage { key, kind, count }) = pickle.object(Value::At(*storage)) else {
            return Err(invalid(format!("`{name}` has no values")));
        };
        let dtype = dtype(kind).filter(|(_, floats)| *floats || taken == Take::Numbers);
        let (dtype, _) = dtype.ok_or_else(|| {
            invalid(format!(
                "`{name}` is a {kind}, expected floats: convert it first"
            ))
        })?;
        let size = dtype.bitsize() / 8;
        let layout = Layout { shape, strides };
        let span = layout.span().filter(|&(values, span)| {
            let end = offset.checked_add(span);
            values <= *count && end.is_some_and(|end| end <= *count)
        });
        let (Some((_, span)), Some(whole)) = (span, count.checked_mul(size)) else {
            return Err(invalid(format!(
                "`{name}` of shape {shape:?} is larger than its storage"
            )));
        };
        room = room.checked_sub(whole as u64).ok_or_else(|| {
            invalid("its tensors share their storages more than twice over: save each as one of its own")
        })?;
        let range = (offset * size, span * size);
        let bytes = place.read(file, length, key, whole, range)?;
        let values = to_f32(dtype, &bytes).or_else(|| integers_to_f32(dtype, &bytes));
        let values = layout.in_order(values.unwrap_or_default());
        let shape = shape.clone();
        if tensors
            .insert(name.to_owned(), TensorEntry { shape, values })
            .is_some()
        {
            return Err(invalid(format!("`{name}` stands there twice")));
        }
    }
    let settings = parts::settings(&pickle);
    Ok(StateDict { tensors, settings })
}

/// Where the values of storages lie.
enum Place {
    /// In members of a ZIP, sorted by name, below this prefix.
    Members(Vec<Member>, String),
    /// At these places of the file, by key, with their numbers of values.
    Offsets(BTreeMap<String, (u64, u64)>),
}

impl Place {
    /// Some bytes, from the first and so many, of the storage of that key, which has `size` bytes in all.
    fn read(
        &self,
        file: &mut BufReader<File>,
        length: u64,
        key: &str,
        size: usize,
        (first, count): (usize, usize),
    ) -> io::Result<Vec<u8>> {
        match self {
            Self::Members(members, prefix) => {
                let name = format!("{prefix}data/{key}");
                let member = find(members, &name)?;
                if member.size != size as u64 {
                    return Err(invalid(format!(
                        "`{name}` has {} bytes, expected {size}",
                        member.size
                    )));
                }
                let mut all = member.rest(member.open(file, length)?, size)?;
                all.drain(..first);
                all.truncate(count);
                Ok(all)
            }
            Self::Offsets(offsets) => {
                let &(start, held) = offsets
                    .get(key)
                    .ok_or_else(|| invalid(format!("there is no storage `{key}`")))?;
                if held != size as u64 {
                    return Err(invalid(format!(
                        "storage `{key}` has {held} bytes, expected {size}"
                    )));
                }
                file.seek(SeekFrom::Start(start + first as u64))?;
                let mut bytes = vec![0; count];
                file.read_exact(&mut bytes)?;
                Ok(bytes)
            }
        }
    }
}

/// A member that is stored as it is, of members sorted by name.
fn find<'a>(members: &'a [Member], name: &str) -> io::Result<&'a Member> {
    let start = members.partition_point(|member| *member.name < *name);
    let mut named = members[start..].iter().take_while(|m| m.name == name);
    match (named.next(), named.next()) {
        (Some(member), None) if member.is_stored() => Ok(member),
        (Some(_), None) => Err(invalid(format!(
            "`{name}` is compressed, which PyTorch never does: save it again"
        ))),
        (None, _) => Err(invalid(format!("it has no `{name}`"))),
        _ => Err(invalid(format!("`{name}` stands in it twice"))),
    }
}

fn zipped(file: &mut BufReader<File>, length: u64) -> io::Result<(Unpickled, Place)> {
    let mut members = zip::directory(file, length)?;
    let end = "data.pkl";
    let name = members.iter().map(|m| m.name.as_str()).find(|name| {
        let prefix = name.strip_suffix(end);
        prefix.is_some_and(|p| p.is_empty() || p.ends_with('/'))
    });
    let name =
        name.ok_or_else(|| invalid("it is a ZIP file without the data.pkl of torch.save"))?;
    let name = name.to_owned();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    let member = find(&members, &name)?;
    if member.size > MAX_PICKLE {
        return Err(invalid(format!(
            "`{name}` has {} bytes, expected at most {MAX_PICKLE}",
            member.size
        )));
    }
    let prefix = name.trim_end_matches(end).to_owned();
    let order = format!("{prefix}byteorder");
    if members.iter().any(|m| m.name == order) {
        let member = find(&members, &order)?;
        let stated = member.rest(member.open(file, length)?, member.size.min(16) as usize)?;
        if stated != b"little" {
            return Err(invalid(
                "its numbers are big-endian: save it on another machine",
            ));
        }
    }
    let bytes = member.rest(member.open(file, length)?, member.size as usize)?;
    let pickle = pickle::unpickle(&bytes).map_err(invalid)?;
    Ok((pickle, Place::Members(members, prefix)))
}

/// The type of the values of a storage, and whether they are floats.
fn dtype(kind: &str) -> Option<(Dtype, bool)> {
    Some(match kind {
        "torch.FloatStorage" => (Dtype::F32, true),
        "torch.DoubleStorage" => (Dtype::F64, true),
        "torch.HalfStorage" => (Dtype::F16, true),
        "torch.BFloat16Storage" => (Dtype::BF16, true),
        "torch.LongStorage" => (Dtype::I64, false),
        "torch.IntStorage" => (Dtype::I32, false),
        "torch.ShortStorage" => (Dtype::I16, false),
        "torch.CharStorage" => (Dtype::I8, false),
        "torch.ByteStorage" => (Dtype::U8, false),
        "torch.BoolStorage" => (Dtype::BOOL, false),
        _ => return None,
    })
}
