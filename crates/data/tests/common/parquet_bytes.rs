//! Parquet files written by hand, so that they can claim what no writer would: two required columns, `image` of bytes and
//! `label` of 64-bit numbers or of text. The layout is that of the format's `parquet.thrift`, in Thrift's compact form.

/// Encodings, as the format numbers them.
pub const PLAIN: i64 = 0;
pub const RLE_DICTIONARY: i64 = 8;

/// A page: what its header claims, and what follows.
pub struct Page {
    pub dictionary: bool,
    pub values: i64,
    pub encoding: i64,
    /// What it claims to unpack to, bytes; what it holds, where nothing is said.
    pub unpacked: Option<i64>,
    pub bytes: Vec<u8>,
}

impl Page {
    pub fn plain(values: i64, bytes: Vec<u8>) -> Self {
        Self {
            dictionary: false,
            values,
            encoding: PLAIN,
            unpacked: None,
            bytes,
        }
    }
}

/// A column of a row group.
pub struct Chunk {
    /// 0 for none, 1 for snappy, 6 for zstd.
    pub codec: i64,
    /// What it claims to unpack to, bytes; what its pages do, where nothing is said.
    pub unpacked: Option<i64>,
    pub pages: Vec<Page>,
}

impl Chunk {
    pub fn of(pages: Vec<Page>) -> Self {
        Self {
            codec: 0,
            unpacked: None,
            pages,
        }
    }
}

/// A row group.
pub struct Group {
    pub rows: i64,
    pub image: Chunk,
    pub label: Chunk,
}

/// Byte arrays in plain encoding.
pub fn plain_bytes(values: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in values {
        bytes.extend((value.len() as u32).to_le_bytes());
        bytes.extend(*value);
    }
    bytes
}

/// Numbers in plain encoding.
pub fn plain_numbers(values: &[i64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// The bytes of a file. Its labels are text if `text`; `metadata` is what `datasets` says of the columns.
pub fn file(groups: &[Group], text: bool, metadata: Option<&str>) -> Vec<u8> {
    let mut bytes = b"PAR1".to_vec();
    let label = if text { 6 } else { 2 };
    let written: Vec<Vec<u8>> = (groups.iter())
        .map(|group| {
            let columns = vec![
                chunk(&mut bytes, &group.image, 6, "image", group.rows),
                chunk(&mut bytes, &group.label, label, "label", group.rows),
            ];
            fields(&[(1, list(12, &columns)), (2, int(0)), (3, int(group.rows))])
        })
        .collect();
    let mut schema = vec![
        fields(&[(4, string("schema")), (5, int32(2))]),
        fields(&[(1, int32(6)), (3, int32(0)), (4, string("image"))]),
    ];
    let mut of_label = vec![(1, int32(label)), (3, int32(0)), (4, string("label"))];
    if text {
        of_label.push((6, int32(0)));
    }
    schema.push(fields(&of_label));
    let rows = groups
        .iter()
        .fold(0, |n: i64, group| n.wrapping_add(group.rows));
    let mut footer = vec![
        (1, int32(1)),
        (2, list(12, &schema)),
        (3, int(rows)),
        (4, list(12, &written)),
    ];
    if let Some(metadata) = metadata {
        let pair = fields(&[(1, string("huggingface")), (2, string(metadata))]);
        footer.push((5, list(12, &[pair])));
    }
    let footer = fields(&footer);
    bytes.extend(&footer);
    bytes.extend((footer.len() as u32).to_le_bytes());
    bytes.extend(b"PAR1");
    bytes
}

/// Writes the pages of a column, and gives what the footer says of them.
fn chunk(bytes: &mut Vec<u8>, chunk: &Chunk, kind: i64, name: &str, rows: i64) -> Vec<u8> {
    let (start, mut data, mut unpacked) = (bytes.len(), None, 0);
    for page in &chunk.pages {
        let size = page.unpacked.unwrap_or(page.bytes.len() as i64);
        let mut header = vec![
            (1, int32(if page.dictionary { 2 } else { 0 })),
            (2, int32(size)),
            (3, int32(page.bytes.len() as i64)),
        ];
        let mut of_page = vec![(1, int32(page.values)), (2, int32(page.encoding))];
        if page.dictionary {
            header.push((7, (12, fields(&of_page))));
        } else {
            data.get_or_insert(bytes.len());
            of_page.extend([(3, int32(3)), (4, int32(3))]);
            header.push((5, (12, fields(&of_page))));
        }
        let header = fields(&header);
        unpacked += header.len() as i64 + size;
        bytes.extend(header);
        bytes.extend(&page.bytes);
    }
    let data = data.unwrap_or(start);
    let mut meta = vec![
        (1, int32(kind)),
        (2, list(5, &[zigzag(PLAIN)])),
        (3, list(8, &[string(name).1])),
        (4, int32(chunk.codec)),
        (5, int(rows)),
        (6, int(chunk.unpacked.unwrap_or(unpacked))),
        (7, int((bytes.len() - start) as i64)),
        (9, int(data as i64)),
    ];
    if data != start {
        meta.push((11, int(start as i64)));
    }
    fields(&[(2, int(start as i64)), (3, (12, fields(&meta)))])
}

/// A value with the number of its kind.
type Value = (u8, Vec<u8>);

fn int(value: i64) -> Value {
    (6, zigzag(value))
}

fn int32(value: i64) -> Value {
    (5, zigzag(value))
}

fn string(value: &str) -> Value {
    let mut bytes = varint(value.len() as u64);
    bytes.extend(value.as_bytes());
    (8, bytes)
}

fn list(kind: u8, values: &[Vec<u8>]) -> Value {
    let mut bytes = vec![0xf0 | kind];
    bytes.extend(varint(values.len() as u64));
    bytes.extend(values.concat());
    (9, bytes)
}

/// A struct, its fields in the order of their numbers.
fn fields(values: &[(u8, Value)]) -> Vec<u8> {
    let (mut bytes, mut last) = (Vec::new(), 0);
    for (number, (kind, value)) in values {
        bytes.push((number - last) << 4 | kind);
        bytes.extend(value);
        last = *number;
    }
    bytes.push(0);
    bytes
}

fn zigzag(value: i64) -> Vec<u8> {
    varint(((value << 1) ^ (value >> 63)) as u64)
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
