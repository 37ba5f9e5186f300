//! Files of `torch.save` that hold named tensors: ZIP files, and the older form without.
//!
//! # Threat model
//! As of [`crate::container`], and: a pickle is read as data (`pickle`), so nothing that it names is called. A ZIP's
//! members must be stored as they are, which is all that PyTorch writes, so nothing can unfold; the storages of all
//! tensors that are read may add up to no more than twice the file, so that none can be asked for a thousand times; and
//! what a pickle refers to again and again is neither copied nor gone through again. A pickle takes up to 150 times its
//! own size, which is at most 4 MiB.

mod legacy;
mod pickle;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use safetensors::Dtype;

use crate::container::{TensorEntry, open};
use crate::decode::to_f32;
use crate::error::{FormatError, Result};
use crate::zip::{self, Member, invalid};
use pickle::{Object, Unpickled, Value};

pub use write::write;

/// Largest pickle that is read; that of a DiT-XL/2 with its optimiser has half a megabyte.
const MAX_PICKLE: u64 = 4 << 20;

/// Parts of a training checkpoint in the order in which they are taken if none is asked for.
const PARTS: [&str; 3] = ["ema", "model", "state_dict"];
/// Parts that an error names.
const NAMED_PARTS: usize = 8;

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

/// The tensors of a file: of the part of that name if the file is a dictionary of several, of `ema`, `model` or
/// `state_dict` if none is named. Half-precision and double values are converted.
///
/// # Errors
/// [`FormatError::Foreign`] for anything but named tensors of floats, [`FormatError::NotAFile`] or [`FormatError::Io`].
pub fn read(path: &Path, part: Option<&str>) -> Result<BTreeMap<String, TensorEntry>> {
    let (file, length) = open(path)?;
    tensors(&mut BufReader::new(file), length, part).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput => {
            FormatError::foreign(path, error.to_string())
        }
        _ => FormatError::io("read", path, error),
    })
}

fn tensors(
    file: &mut BufReader<File>,
    length: u64,
    part: Option<&str>,
) -> io::Result<BTreeMap<String, TensorEntry>> {
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
    for (name, tensor) in chosen(&pickle, part)? {
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
        let dtype = dtype(kind).ok_or_else(|| {
            invalid(format!(
                "`{name}` is a {kind}, expected floats: convert it first"
            ))
        })?;
        let size = dtype.bitsize() / 8;
        let values = shape
            .iter()
            .try_fold(1usize, |n, &side| n.checked_mul(side));
        let whole = count.checked_mul(size);
        let span = values.and_then(|n| Some((n, whole?, offset.checked_add(n)?)));
        let Some((values, whole, _)) = span.filter(|&(.., end)| end <= *count) else {
            return Err(invalid(format!(
                "`{name}` of shape {shape:?} is larger than its storage"
            )));
        };
        if !is_contiguous(shape, strides) {
            return Err(invalid(format!(
                "`{name}` is a view with strides {strides:?}: save it as a tensor of its own"
            )));
        }
        room = room.checked_sub(whole as u64).ok_or_else(|| {
            invalid("its tensors share their storages more than twice over: save each as one of its own")
        })?;
        let range = (offset * size, values * size);
        let bytes = place.read(file, length, key, whole, range)?;
        let values = to_f32(dtype, &bytes).unwrap_or_default();
        let shape = shape.clone();
        if tensors
            .insert(name.to_owned(), TensorEntry { shape, values })
            .is_some()
        {
            return Err(invalid(format!("`{name}` stands there twice")));
        }
    }
    Ok(tensors)
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

/// Names and tensors of the part asked for.
fn chosen<'a>(pickle: &'a Unpickled, part: Option<&str>) -> io::Result<Vec<(&'a str, Value)>> {
    let no_names = || invalid("it holds no dictionary of named tensors");
    let root = pickle.dict(pickle.root).ok_or_else(no_names)?;
    let named = |entries: &'a [(Value, Value)]| {
        let name = |&(key, value): &(Value, Value)| Some((pickle.text(key)?, value));
        entries.iter().map(name).collect::<Option<Vec<_>>>()
    };
    let is_tensor = |value: Value| matches!(pickle.object(value), Some(Object::Tensor { .. }));
    let entries = named(root).ok_or_else(no_names)?;
    let whole = entries.iter().any(|&(_, value)| is_tensor(value));
    if whole && part.is_none() {
        return Ok(entries);
    }
    // Each dictionary is looked through once, however many names it has.
    let holding: BTreeSet<usize> = (0..pickle.objects().len())
        .filter(|&at| {
            let entries = pickle.dict(Value::At(at)).unwrap_or_default();
            entries.iter().any(|&(_, value)| is_tensor(value))
        })
        .collect();
    let parts: Vec<&str> = entries
        .iter()
        .filter(|(_, value)| matches!(value, Value::At(at) if holding.contains(at)))
        .map(|(name, _)| *name)
        .collect();
    let wanted = match part {
        Some(part) => parts.iter().find(|name| **name == part),
        None => PARTS.iter().find(|name| parts.contains(name)),
    };
    let Some(wanted) = wanted else {
        let asked = part.map_or_else(|| PARTS.join(", "), str::to_owned);
        let found = if whole {
            "one set of tensors".into()
        } else {
            parts[..parts.len().min(NAMED_PARTS)].join(", ")
        };
        return Err(invalid(format!(
            "it has no part {asked}; it has {}",
            match found.is_empty() {
                true => "no tensors".into(),
                false => found,
            }
        )));
    };
    let part = entries.iter().find(|(name, _)| name == wanted);
    part.and_then(|&(_, value)| named(pickle.dict(value)?))
        .ok_or_else(no_names)
}

fn dtype(kind: &str) -> Option<Dtype> {
    Some(match kind {
        "torch.FloatStorage" => Dtype::F32,
        "torch.DoubleStorage" => Dtype::F64,
        "torch.HalfStorage" => Dtype::F16,
        "torch.BFloat16Storage" => Dtype::BF16,
        _ => return None,
    })
}

/// Whether values lie one after another; the stride along a side of 1 does not matter.
fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1usize;
    shape.len() == strides.len()
        && shape.iter().zip(strides).rev().all(|(&side, &stride)| {
            let good = side <= 1 || stride == expected;
            expected = expected.saturating_mul(side.max(1));
            good
        })
}
