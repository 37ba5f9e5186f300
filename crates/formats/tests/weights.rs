//! Weight files there and back, against files and hashes made by other programs.

use std::collections::BTreeMap;
use std::fs;

use learngene_formats::{
    FormatError, Header, Kind, TensorEntry, WeightFile, container, fingerprint,
};
use proptest::prelude::*;
use serde_json::json;

fn entry(shape: &[usize], values: &[f32]) -> TensorEntry {
    TensorEntry {
        shape: shape.to_vec(),
        values: values.to_vec(),
    }
}

fn two_tensors() -> BTreeMap<String, TensorEntry> {
    BTreeMap::from([
        ("b".to_owned(), entry(&[], &[0.1])),
        (
            "a.weight".to_owned(),
            entry(&[2, 3], &[1.0, -2.5, 0.0, 0.5, 3.0, 7.0]),
        ),
    ])
}

/// ```python
/// import numpy as n, safetensors.numpy as s   # safetensors 0.8.0
/// s.save({"h": n.array([[1, -2.5], [1/3, 65504]], dtype="<f2"), "d": n.array([0.1], dtype="<f8"),
///         "s": n.array(7, dtype="<f4")}, metadata={"by": "python"}).hex()
/// ```
const BY_PYTHON: &str = "c8000000000000007b225f5f6d657461646174615f5f223a7b226279223a22707974686f6e227d2c2264223a\
    7b226474797065223a22463634222c227368617065223a5b315d2c22646174615f6f666673657473223a5b302c385d7d2c2273223a7b22\
    6474797065223a22463332222c227368617065223a5b5d2c22646174615f6f666673657473223a5b382c31325d7d2c2268223a7b226474\
    797065223a22463136222c227368617065223a5b322c325d2c22646174615f6f666673657473223a5b31322c32305d7d7d2020202020\
    9a9999999999b93f0000e040003c00c15535ff7b";

#[test]
fn a_file_by_python_is_read_but_not_taken_for_a_weight_file() {
    let bytes: Vec<u8> = (0..BY_PYTHON.len() / 2)
        .map(|at| u8::from_str_radix(&BY_PYTHON[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("python.safetensors");
    fs::write(&path, bytes).unwrap();

    let contents = container::read(&path).unwrap();
    assert_eq!(
        contents.metadata,
        BTreeMap::from([("by".to_owned(), "python".to_owned())])
    );
    let third = 0.333_251_95; // float(numpy.float16(1/3)) = 0.333251953125
    let expected = BTreeMap::from([
        ("d".to_owned(), entry(&[1], &[0.1])),
        ("h".to_owned(), entry(&[2, 2], &[1.0, -2.5, third, 65504.0])),
        ("s".to_owned(), entry(&[], &[7.0])),
    ]);
    assert_eq!(contents.tensors, expected);
    assert!(matches!(
        WeightFile::read(&path),
        Err(FormatError::NotLearngene { .. })
    ));
}

#[test]
fn the_fingerprint_is_blake3_of_names_shapes_and_bits() {
    // h = blake3.blake3()   # PyPI blake3
    // for name, shape, values in [("a.weight", [2, 3], [1, -2.5, 0, 0.5, 3, 7]), ("b", [], [0.1])]:
    //     h.update(struct.pack("<Q", len(name)) + name.encode() + struct.pack("<Q", len(shape))
    //              + struct.pack(f"<{len(shape)}Q", *shape) + struct.pack(f"<{len(values)}f", *values))
    let tensors = two_tensors();
    let expected = "0c0de5319677d0f6e694a244f058101e44dd3951844820bbd879fa0282a840c9";
    assert_eq!(fingerprint(&tensors), expected);
    assert_eq!(
        fingerprint(tensors.iter().rev()),
        expected,
        "whatever the order"
    );

    let change = |change: fn(&mut BTreeMap<String, TensorEntry>)| {
        let mut changed = two_tensors();
        change(&mut changed);
        assert_ne!(fingerprint(&changed), expected);
    };
    change(|t| t.get_mut("a.weight").unwrap().shape = vec![3, 2]);
    change(|t| t.get_mut("a.weight").unwrap().values[2] = -0.0);
    change(|t| drop(t.remove("b")));
    change(|t| {
        let b = t.remove("b").unwrap();
        t.insert("c".into(), b);
    });
}

#[test]
fn equal_contents_are_equal_bytes_in_sorted_order() {
    let mut header = Header::new(Kind::Ema, json!({"z": 1, "a": {"lr": 0.0015}}));
    header.extra = BTreeMap::from([("step".into(), "18446744073709551615".into())]);
    let bytes = WeightFile::new(header, two_tensors()).to_bytes().unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    assert_eq!(length % 8, 0, "tensors start aligned");
    let text = std::str::from_utf8(&bytes[8..8 + length]).unwrap();
    let at = |part: &str| {
        text.find(part)
            .unwrap_or_else(|| panic!("{part} not in {text}"))
    };
    assert!(at("__metadata__") < at("class_names") && at("class_names") < at("config"));
    assert!(at("format_version") < at("kind") && at("kind") < at("\"step\""));
    assert!(at("\"step\"") < at("a.weight") && at("a.weight") < at("\"b\""));
    assert_eq!(bytes.len(), 8 + length + 7 * 4);
}

#[test]
fn what_cannot_be_stored_is_refused_before_a_file_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let refused = |header: Header, tensors: BTreeMap<String, TensorEntry>| {
        let error = WeightFile::new(header, tensors).write(&path).unwrap_err();
        assert!(!path.exists());
        error
    };
    let header = Header::new(Kind::Model, json!({}));
    let short = BTreeMap::from([("w".to_owned(), entry(&[2, 2], &[1.0]))]);
    assert!(matches!(
        refused(header.clone(), short),
        FormatError::ValueCount { found: 1, .. }
    ));
    let taken = BTreeMap::from([("__metadata__".to_owned(), entry(&[], &[1.0]))]);
    assert!(matches!(
        refused(header.clone(), taken),
        FormatError::Name { .. }
    ));
    let mut extra = header;
    extra.extra.insert("kind".into(), "ema".into());
    assert!(matches!(
        refused(extra, BTreeMap::new()),
        FormatError::Name { .. }
    ));
}

#[test]
fn the_header_is_read_without_the_tensors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let mut header = Header::new(Kind::Learngene, json!({"depth": 12}));
    header.class_names = vec!["cat".into(), "dog".into()];
    let file = WeightFile::new(header.clone(), two_tensors());
    file.write(&path).unwrap();
    assert_eq!(Header::read(&path).unwrap(), header);
    let mut streamed = Vec::new();
    file.write_to(&mut streamed).unwrap();
    assert_eq!(fs::read(&path).unwrap(), streamed);
    assert_eq!(WeightFile::read(&path).unwrap().path(), path);
}

proptest! {
    #[test]
    fn every_bit_survives(
        names in prop::collection::btree_set(".{0,12}", 0..5),
        bits in prop::collection::vec(any::<u32>(), 0..40),
        rate in any::<f64>(),
        class in ".{0,8}",
        kind in prop::sample::select(&Kind::ALL[..]),
    ) {
        let values: Vec<f32> = bits.iter().map(|bits| f32::from_bits(*bits)).collect();
        let tensors: BTreeMap<_, _> =
            names.into_iter().map(|name| (name, entry(&[1, values.len()], &values))).collect();
        let mut header = Header::new(kind, json!({"rate": rate, "name": class}));
        header.class_names = vec![class];
        header.learngene = Some(fingerprint(&tensors));
        let bytes = WeightFile::new(header.clone(), tensors.clone()).to_bytes().unwrap();
        let back = WeightFile::from_bytes(&bytes, "memory").unwrap();
        prop_assert_eq!(&back.header, &header);
        prop_assert_eq!(fingerprint(&back.tensors), fingerprint(&tensors));
        prop_assert_eq!(back.to_bytes().unwrap(), bytes);
    }
}
