//! The form before ZIP files: three pickles of constants, the pickle of the object, the list of storages, then the
//! values of each behind their number.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::pickle::{Object, Unpickled, Value, unpickle};
use super::{MAX_PICKLE, Place};
use crate::zip::invalid;

const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const PROTOCOL: i128 = 1001;

/// Reads the pickles and finds the storages.
pub(super) fn open(file: &mut BufReader<File>, length: u64) -> io::Result<(Unpickled, Place)> {
    let mut bytes = Vec::new();
    file.take(MAX_PICKLE).read_to_end(&mut bytes)?;
    let mut at = 0;
    let mut next = || {
        let pickle = unpickle(&bytes[at..]).map_err(invalid)?;
        at += pickle.length;
        Ok::<_, io::Error>((pickle, at))
    };
    for expected in [MAGIC, PROTOCOL] {
        if next()?.0.root != Value::Int(expected) {
            return Err(invalid("it is a pickle, but not one of torch.save"));
        }
    }
    // Sizes of numbers on the machine that wrote it, which have been these ever since.
    next()?;
    let (object, _) = next()?;
    let (keys, end) = next()?;
    let Some(Object::List(list)) = keys.object(keys.root) else {
        return Err(invalid("it has no list of storages"));
    };
    let sizes = sizes(&object);
    let mut offsets = BTreeMap::new();
    let mut start = end as u64;
    for key in list {
        let key = keys
            .text(*key)
            .ok_or_else(|| invalid("a storage has no key"))?;
        let size = *sizes
            .get(key)
            .ok_or_else(|| invalid(format!("no tensor says what storage `{key}` holds")))?;
        let mut count = [0; 8];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut count)?;
        let held = u64::from_le_bytes(count).checked_mul(size);
        let end = held.and_then(|held| Some((held, (start + 8).checked_add(held)?)));
        let Some((held, end)) = end.filter(|&(_, end)| end <= length) else {
            return Err(invalid(format!("storage `{key}` is cut short")));
        };
        offsets.insert(key.to_owned(), (start + 8, held));
        start = end;
    }
    Ok((object, Place::Offsets(offsets)))
}

/// Bytes of a value in each storage.
fn sizes(pickle: &Unpickled) -> BTreeMap<String, u64> {
    let storages = pickle.objects().iter().filter_map(|object| match object {
        Object::Storage { key, kind, .. } => Some((key.clone(), kind.as_str())),
        _ => None,
    });
    let bytes = |kind: &str| match kind {
        "torch.DoubleStorage" | "torch.LongStorage" => 8,
        "torch.FloatStorage" | "torch.IntStorage" => 4,
        "torch.HalfStorage" | "torch.BFloat16Storage" | "torch.ShortStorage" => 2,
        _ => 1,
    };
    storages.map(|(key, kind)| (key, bytes(kind))).collect()
}
