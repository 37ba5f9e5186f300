//! Files that are made of named pieces: PNG and WebP.

/// A piece: its name and its contents.
type Chunk<'a> = (&'a [u8], &'a [u8]);

/// The pieces of a PNG file, as far as they are whole.
pub(super) fn png(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut rest = bytes.get(8..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (head, after) = rest.split_at_checked(8)?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let (contents, next) = after.split_at_checked(length)?;
        // A checksum stands behind each of them.
        rest = next.get(4..).unwrap_or_default();
        Some((&head[4..], contents))
    })
}

/// The pieces of a WebP file, as far as they are whole.
pub(super) fn webp(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut rest = bytes.get(12..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (head, after) = rest.split_at_checked(8)?;
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let (contents, next) = after.split_at_checked(length)?;
        // They are filled up to an even length.
        rest = next.get(length % 2..).unwrap_or_default();
        Some((&head[..4], contents))
    })
}
