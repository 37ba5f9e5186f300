//! Files that are damaged or made to harm: each gives an error that names the file; none panics or allocates much.
#![expect(clippy::panic, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use learngene_formats::{
    FormatError, Header, Kind, Result, TensorEntry, WeightFile, container, fingerprint,
};
use serde_json::json;

fn sound() -> WeightFile {
    let mut header = Header::new(Kind::Model, json!({"size": "dit-nano/4", "lr": 0.0015}));
    header.class_names = vec!["cat".into(), "h\u{fc}hnchen \"x\"".into()];
    let tensor = |shape: &[usize], values: &[f32]| TensorEntry {
        shape: shape.to_vec(),
        values: values.to_vec(),
    };
    let tensors = BTreeMap::from([
        (
            "a.weight".to_owned(),
            tensor(&[2, 3], &[1.0, -2.5, 0.0, 1e-40, f32::MAX, 7.0]),
        ),
        ("b".to_owned(), tensor(&[], &[0.1])),
        ("empty".to_owned(), tensor(&[0, 4], &[])),
    ]);
    WeightFile::new(header, tensors)
}

fn read(bytes: &[u8]) -> Result<WeightFile> {
    WeightFile::from_bytes(bytes, "evil.safetensors")
}

/// A file of this JSON header and this many zero bytes of data.
fn file(json: &str, data: usize) -> Vec<u8> {
    [
        &(json.len() as u64).to_le_bytes()[..],
        json.as_bytes(),
        &vec![0; data],
    ]
    .concat()
}

/// The text of the [`FormatError::Malformed`] that the bytes must give.
fn malformed(bytes: &[u8]) -> String {
    match read(bytes) {
        Err(error @ FormatError::Malformed { .. }) => error.to_string(),
        other => panic!("expected a malformed file, found {other:?}"),
    }
}

const OURS: &str = r#""format_version":"1","kind":"model","config":"{}","class_names":"[]""#;

/// A file of our metadata and the given tensors, JSON members with a leading comma.
fn with_tensors(members: &str, data: usize) -> Vec<u8> {
    file(&format!(r#"{{"__metadata__":{{{OURS}}}{members}}}"#), data)
}

/// A file of the given metadata and no tensors.
fn with_metadata(members: &str) -> Vec<u8> {
    file(&format!(r#"{{"__metadata__":{{{members}}}}}"#), 0)
}

#[test]
fn the_helpers_build_sound_files() {
    let bytes = with_tensors(
        r#","a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#,
        8,
    );
    assert_eq!(read(&bytes).unwrap().tensors["a"].values, [0.0, 0.0]);
    assert!(read(&with_metadata(OURS)).unwrap().tensors.is_empty());
}

#[test]
fn cut_short_at_every_length() {
    let bytes = sound().to_bytes().unwrap();
    for length in 0..bytes.len() {
        let text = malformed(&bytes[..length]);
        assert!(
            text.starts_with("evil.safetensors is not"),
            "{length}: {text}"
        );
    }
    malformed(&[&bytes[..], &[0]].concat());
    assert_eq!(read(&bytes).unwrap().tensors, sound().tensors);
}

#[test]
fn every_flipped_bit_is_an_error_or_a_readable_file() {
    let bytes = sound().to_bytes().unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let _either = read(&flipped);
    }
}

#[test]
fn header_lengths_beyond_the_file_or_the_limit() {
    let mut bytes = with_metadata(OURS);
    for length in [
        1 << 60,
        u64::MAX,
        u64::MAX - 7,
        container::MAX_HEADER_BYTES + 1,
    ] {
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        assert!(malformed(&bytes).contains(&format!("claims {length} bytes, more than")));
    }
    bytes[..8].copy_from_slice(&container::MAX_HEADER_BYTES.to_le_bytes());
    assert!(malformed(&bytes).contains("left"));
    bytes[..8].fill(0);
    malformed(&bytes);
}

#[test]
fn offsets_that_overlap_leave_gaps_or_run_backwards() {
    let two = |a: &str, b: &str, data| {
        let tensor = |name, offsets| {
            format!(r#","{name}":{{"dtype":"F32","shape":[2],"data_offsets":{offsets}}}"#)
        };
        malformed(&with_tensors(&(tensor("a", a) + &tensor("b", b)), data))
    };
    assert!(two("[0,8]", "[4,12]", 12).contains("offset for tensor `b`"));
    assert!(two("[0,8]", "[0,8]", 8).contains("offset"));
    assert!(two("[0,8]", "[12,20]", 20).contains("offset for tensor `b`"));
    assert!(two("[4,12]", "[12,20]", 20).contains("offset for tensor `a`"));
    assert!(two("[8,0]", "[8,16]", 16).contains("offset"));
    assert!(two("[0,8]", "[8,16]", 15).contains("take 16 bytes, the file has 15"));
    assert!(two("[0,8]", "[8,16]", 17).contains("take 16 bytes, the file has 17"));
    two("[0,8]", "[8,-16]", 16);
    two("[0,8]", "[8,16,24]", 16);
    two("[0,8]", "[8,1e30]", 16);
}

#[test]
fn sizes_that_overflow() {
    let one = |shape: &str, end: u64, data| {
        let tensor = format!(r#","a":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}"#);
        malformed(&with_tensors(&tensor, data))
    };
    assert!(one("[4294967296,4294967296]", 8, 8).contains("overflow"));
    assert!(
        one("[4611686018427387904]", 0, 0).contains("overflow"),
        "2^62 values of 32 bits"
    );
    assert!(one("[1152921504606846976,16,0]", 0, 0).contains("overflow"));
    assert!(one("[3]", 8, 8).contains("shape"));
    assert!(one("[1000000000000]", 4_000_000_000_000, 8).contains("the file has 8"));

    // Nine tensors of 2^61 - 8 bytes: their end wraps around 2^64.
    let size = (1u64 << 61) - 8;
    let mut members = String::new();
    for index in 0..9u64 {
        let (start, end) = (size.wrapping_mul(index), size.wrapping_mul(index + 1));
        let values = size / 8;
        members += &format!(
            r#","t{index}":{{"dtype":"F64","shape":[{values}],"data_offsets":[{start},{end}]}}"#
        );
    }
    malformed(&with_tensors(&members, 64));

    // Eight of them stay below: 8 + header + end alone would wrap, and must not match the length of the file.
    let members: String = (0..8u64)
        .map(|index| {
            let (start, end) = (size * index, size * (index + 1));
            format!(
                r#","t{index}":{{"dtype":"F64","shape":[{}],"data_offsets":[{start},{end}]}}"#,
                size / 8
            )
        })
        .collect();
    for data in [0, 8, 64] {
        assert!(malformed(&with_tensors(&members, data)).contains("take"));
    }
}

#[test]
fn headers_that_are_no_json_object_of_tensors() {
    for json in [
        "",
        " ",
        "null",
        "[]",
        "{",
        "{}{}",
        r#"{"a":NaN}"#,
        r#"{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}"#,
        r#"{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1]}}"#,
        r#"{"a":null}"#,
        r#"{"__metadata__":{"a":1}}"#,
        r#"{"__metadata__":null}"#,
    ] {
        malformed(&file(json, 4));
    }
    malformed(&file(&"[".repeat(1_000_000), 0));
    let mut not_utf8 = with_tensors(r#","?":{"dtype":"F32","shape":[],"data_offsets":[0,4]}"#, 4);
    let position = not_utf8.iter().position(|byte| *byte == b'?').unwrap();
    not_utf8[position] = 0xff;
    malformed(&not_utf8);
}

#[test]
fn names_that_stand_twice() {
    let tensor = r#","a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}"#;
    assert!(malformed(&with_tensors(&tensor.repeat(2), 4)).contains("`a` stands there twice"));
    // The same name, once escaped.
    let escaped = tensor.replace("\"a\"", "\"\\u0061\"");
    assert!(malformed(&with_tensors(&format!("{tensor}{escaped}"), 4)).contains("`a` stands"));
    assert!(
        malformed(&with_metadata(&format!(r#"{OURS},"kind":"ema""#))).contains("`kind` stands")
    );
    let twice = file(
        &format!(r#"{{"__metadata__":{{{OURS}}},"__metadata__":{{{OURS}}}}}"#),
        0,
    );
    assert!(malformed(&twice).contains("`__metadata__` stands"));
}

#[test]
fn metadata_of_others_of_later_versions_and_without_sense() {
    let error = |members: &str| read(&with_metadata(members)).unwrap_err();
    let with = |key: &str, value: &str| {
        let old = OURS.split(',').find(|member| member.contains(key)).unwrap();
        error(&OURS.replace(old, &format!(r#""{key}":"{value}""#)))
    };
    assert!(matches!(error(""), FormatError::NotLearngene { .. }));
    assert!(matches!(
        error(r#""format":"pt""#),
        FormatError::NotLearngene { .. }
    ));
    let plain = read(&file("{}", 0)).unwrap_err();
    assert!(
        plain.to_string().contains("without learngene metadata"),
        "{plain}"
    );

    let newer = with("format_version", "2");
    assert!(newer.to_string().contains("upgrade learngene"), "{newer}");
    assert!(matches!(
        newer,
        FormatError::NewerVersion {
            found: 2,
            supported: 1,
            ..
        }
    ));
    for (key, value) in [
        ("format_version", "0"),
        ("format_version", "-1"),
        ("format_version", "99999999999"),
        ("kind", "Model"),
        ("kind", "spell"),
        ("config", "{"),
        ("config", "NaN"),
        ("class_names", "{}"),
        ("class_names", "[1]"),
    ] {
        let found = with(key, value);
        assert!(
            matches!(&found, FormatError::Metadata { key: named, .. } if named == key),
            "{found}"
        );
    }
    assert!(
        error(r#""format_version":"1","kind":"model""#)
            .to_string()
            .contains("`config`")
    );
    let hash = error(&format!(r#"{OURS},"learngene_blake3":"abc""#));
    assert!(
        hash.to_string().contains("64 lower-case hex digits"),
        "{hash}"
    );
}

#[test]
fn types_that_are_no_floats() {
    for (dtype, bytes) in [
        ("I64", 8),
        ("U8", 1),
        ("BOOL", 1),
        ("F8_E4M3", 1),
        ("C64", 8),
    ] {
        let tensor =
            format!(r#","a":{{"dtype":"{dtype}","shape":[1],"data_offsets":[0,{bytes}]}}"#);
        let error = read(&with_tensors(&tensor, bytes)).unwrap_err().to_string();
        assert!(error.contains("`a`") && error.contains(dtype), "{error}");
    }
}

#[test]
fn paths_that_are_no_weight_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.safetensors");
    fs::write(&path, "").unwrap();
    let empty = WeightFile::read(&path).unwrap_err();
    assert!(matches!(empty, FormatError::Malformed { .. }), "{empty}");
    let readers: [fn(&Path) -> Result<()>; 3] = [
        |path| WeightFile::read(path).map(drop),
        |path| Header::read(path).map(drop),
        |path| container::read(path).map(drop),
    ];
    for read in readers {
        assert!(matches!(
            read(folder.path()),
            Err(FormatError::NotAFile { .. })
        ));
        assert!(matches!(
            read(&folder.path().join("none")),
            Err(FormatError::Io { .. })
        ));
        #[cfg(unix)]
        assert!(matches!(
            read(Path::new("/dev/zero")),
            Err(FormatError::NotAFile { .. })
        ));
    }
}

#[test]
fn the_wrong_file_is_refused_with_everything_that_is_wrong() {
    let mut tailor = sound();
    tailor.header.kind = Kind::Tailor;
    let ours = fingerprint(&tailor.tensors);
    let theirs = "f".repeat(64);
    tailor.header.learngene = Some(theirs.clone());
    let tailor = read(&tailor.to_bytes().unwrap()).unwrap();

    tailor.require_kind(Kind::Tailor).unwrap();
    let text = tailor
        .require_kind(Kind::Learngene)
        .unwrap_err()
        .to_string();
    assert!(text.contains("holds tailor, expected learngene"), "{text}");
    tailor.require_learngene(&theirs).unwrap();
    let text = tailor.require_learngene(&ours).unwrap_err().to_string();
    assert!(text.contains(&ours) && text.contains(&theirs), "{text}");
    let text = sound().require_learngene(&ours).unwrap_err().to_string();
    assert!(text.contains("learngene none"), "{text}");

    let expected = [
        ("a.weight", vec![3, 2]),
        ("b", vec![]),
        ("c", vec![1]),
        ("d", vec![2]),
    ];
    let expected = expected
        .map(|(name, shape)| (name.to_owned(), shape))
        .into();
    let text = tailor.check_strict(&expected).unwrap_err().to_string();
    assert_eq!(
        text,
        "evil.safetensors does not fit the model: missing 2: c, d; unexpected 1: empty; \
         wrong shape 1: a.weight expected [3, 2] found [2, 3]"
    );
    let fitting = tailor
        .tensors
        .iter()
        .map(|(name, t)| (name.clone(), t.shape.clone()))
        .collect();
    tailor.check_strict(&fitting).unwrap();
}
