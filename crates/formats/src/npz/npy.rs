//! The head of a stored array (NumPy Enhancement Proposal 1).

use std::io::{self, Read};

use super::invalid;

/// Length in bytes to which a head is padded.
const ALIGNMENT: usize = 64;
const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// The longest head that is read; NumPy's own limit for untrusted files.
const MAX_HEAD: usize = 10_000;

/// Types of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Uint8,
    Int32,
    Int64,
    Other,
}

impl Kind {
    const NAMED: [(Self, &'static str); 3] = [
        (Self::Uint8, "|u1"),
        (Self::Int32, "<i4"),
        (Self::Int64, "<i8"),
    ];

    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::Int64 => 8,
            Self::Int32 => 4,
            Self::Uint8 | Self::Other => 1,
        }
    }

    fn name(self) -> &'static str {
        let named = Self::NAMED.iter().find(|(kind, _)| *kind == self);
        named.map_or("", |(_, name)| name)
    }
}

/// What a head says.
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) shape: Vec<usize>,
}

/// The head of an array in row-major order; its values follow.
pub(super) fn head(kind: Kind, shape: &[usize]) -> Vec<u8> {
    let sides: Vec<String> = shape.iter().map(usize::to_string).collect();
    // Python's tuple of one number.
    let comma = if shape.len() == 1 { "," } else { "" };
    let mut text = format!(
        "{{'descr': '{}', 'fortran_order': False, 'shape': ({}{comma}), }}",
        kind.name(),
        sides.join(", ")
    );
    let before = MAGIC.len() + 4;
    let padded = (before + text.len() + 1).next_multiple_of(ALIGNMENT) - before;
    while text.len() + 1 < padded {
        text.push(' ');
    }
    text.push('\n');
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

/// Reads a head, and how many bytes it had.
pub(super) fn read_head(data: &mut impl Read) -> io::Result<(Head, u64)> {
    let mut start = [0; 8];
    data.read_exact(&mut start)?;
    let mut length = [0; 4];
    // Version 1 states its length in two bytes, later ones in four.
    let wide = match (start.starts_with(MAGIC), start[6]) {
        (true, 1) => 2,
        (true, 2 | 3) => 4,
        _ => return Err(invalid("an array does not begin as NumPy's do")),
    };
    data.read_exact(&mut length[..wide])?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_HEAD {
        return Err(invalid(format!("an array has a head of {length} bytes")));
    }
    let mut text = vec![0; length];
    data.read_exact(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let head = parse(&text)
        .ok_or_else(|| invalid(format!("the head of an array is `{}`", text.trim_end())))?;
    Ok((head, (start.len() + wide + length) as u64))
}

/// Reads `{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }`.
fn parse(text: &str) -> Option<Head> {
    let value = |key: &str| {
        let (_, rest) = text.split_once(&format!("'{key}':"))?;
        Some(rest.trim_start())
    };
    let (kind, _) = value("descr")?.strip_prefix('\'')?.split_once('\'')?;
    let kind = Kind::NAMED.iter().find(|(_, name)| *name == kind);
    let kind = kind.map_or(Kind::Other, |(kind, _)| *kind);
    if !value("fortran_order")?.starts_with("False") {
        return None;
    }
    let (sides, _) = value("shape")?.strip_prefix('(')?.split_once(')')?;
    let sides = sides.split(',').map(str::trim).filter(|s| !s.is_empty());
    let shape: Result<Vec<usize>, _> = sides.map(str::parse).collect();
    Some(Head {
        kind,
        shape: shape.ok()?,
    })
}

/// Whole numbers of 4 or 8 bytes.
pub(super) fn integers(kind: Kind, bytes: &[u8]) -> Vec<i64> {
    match kind {
        Kind::Int32 => {
            let numbers = bytes.as_chunks().0.iter();
            numbers.map(|&b| i64::from(i32::from_le_bytes(b))).collect()
        }
        _ => {
            let numbers = bytes.as_chunks().0.iter();
            numbers.map(|&b| i64::from_le_bytes(b)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_has_the_bytes_that_numpy_gives_it() {
        // python3 -c "import io, numpy as n; b = io.BytesIO(); n.save(b, n.zeros((2,), '<i8')); print(b.getvalue()[:128])"
        let expected =
            b"\x93NUMPY\x01\x00v\x00{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }";
        let head = head(Kind::Int64, &[2]);
        assert_eq!(&head[..expected.len()], expected);
        assert_eq!((head.len(), head.last()), (128, Some(&b'\n')));
        let (read, length) = read_head(&mut &head[..]).unwrap();
        assert_eq!((read.kind, read.shape, length), (Kind::Int64, vec![2], 128));
    }
}
