//! Which files of other programs are read, refused or warned of: one table, which is also what `docs/formats.md` shows.
//!
//! Each line is tried with the program. The page is written from the same table; where it differs, the test fails, and
//! `LEARNGENE_WRITE_DOCS=1 cargo test --release -p learngene-cli --test formats` writes it again. A page on another kind of
//! files can do the same with `page::require`.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../page/mod.rs"]
mod page;
mod table;

use burn::tensor::Device;
use common::{contents, run};
use learngene_transfer::interop::autoencoder;
use page::Row;
use std::fs;
use std::path::{Path, PathBuf};
use table::Outcome::{Read, Refused, Warned};
use table::{ADAPTERS, AUTOENCODERS, CHECKPOINTS, Case};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../transfer/tests/fixtures")
}

fn copy(from: &Path, to: &Path) {
    for (path, bytes) in contents(from) {
        let to = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    }
}

const WEIGHTS: &str = "diffusion_pytorch_model";

/// All that the table names: the fixtures, and copies of them put together otherwise.
fn folder() -> tempfile::TempDir {
    let whole = tempfile::tempdir().unwrap();
    let at = |name: &str| whole.path().join(name);
    copy(&fixtures().join("foreign"), whole.path());
    copy(
        &fixtures().join("diffusers/transformer"),
        &at("transformer"),
    );
    copy(&fixtures().join("vae/vae"), &at("vae"));
    copy(&at("vae"), &at("with-vae/vae"));
    let rename = |folder: &str, from: &str, to: &str| {
        fs::rename(at(folder).join(from), at(folder).join(to)).unwrap();
    };
    let safetensors = format!("{WEIGHTS}.safetensors");
    for name in ["ema", "twice", "sharded-bin", "variant", "variants"] {
        copy(&at("transformer"), &at(name));
    }
    fs::copy(at("ema-config.json"), at("ema/config.json")).unwrap();
    for name in ["variant", "variants"] {
        rename(name, &safetensors, &format!("{WEIGHTS}.fp16.safetensors"));
    }
    let twin = format!("variants/{WEIGHTS}.bf16.safetensors");
    fs::copy(at("transformer").join(&safetensors), at(&twin)).unwrap();
    in_shards(&at("sharded-bin"), "bin");
    in_shards(&at("twice"), "safetensors");
    // The whole file that is left holds other weights.
    fs::copy(at("f32.safetensors"), at("twice").join(&safetensors)).unwrap();
    for scheduler in fs::read_dir(at("schedulers")).unwrap() {
        let path = scheduler.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let pipe = at(&format!("pipe-{name}"));
        copy(&at("transformer"), &pipe.join("transformer"));
        fs::create_dir_all(pipe.join("scheduler")).unwrap();
        fs::copy(&path, pipe.join("scheduler/scheduler_config.json")).unwrap();
    }
    let names = r#"{"id2label": {"0": "heron", "1": "magpie, pica", "2": "wren", "3": "owl", "4": "kite"}}"#;
    fs::write(at("pipe-published/model_index.json"), names).unwrap();
    adapters(whole.path());
    for name in ["vae-ema", "vae-variant", "vae-alone"] {
        copy(&at("vae"), &at(name));
    }
    let text = fs::read_to_string(at("vae/config.json")).unwrap();
    let average = text.replacen(
        '{',
        "{\"decay\": 0.9, \"power\": 0.75, \"optimization_step\": 3,",
        1,
    );
    fs::write(at("vae-ema/config.json"), average).unwrap();
    rename(
        "vae-variant",
        &safetensors,
        &format!("{WEIGHTS}.fp16.safetensors"),
    );
    fs::remove_file(at("vae-alone/config.json")).unwrap();
    whole
}

/// Adapters that lie about, or lack, their description.
fn adapters(folder: &Path) {
    let at = |name: &str| folder.join(name);
    for name in ["alone", "rank", "later"] {
        copy(&at("adapters/gaussian"), &at(name));
    }
    fs::remove_file(at("alone/adapter_config.json")).unwrap();
    let text = fs::read_to_string(at("rank/adapter_config.json")).unwrap();
    for (name, from, to) in [
        ("rank", "\"r\": 4", "\"r\": 8"),
        ("later", "\"r\": 4", "\"use_tomorrow\": 3, \"r\": 4"),
    ] {
        assert!(text.contains(from), "{text}");
        let path = at(name).join("adapter_config.json");
        fs::write(path, text.replace(from, to)).unwrap();
    }
    fs::create_dir(at("of-diffusers")).unwrap();
    let file = at("of-diffusers/pytorch_lora_weights.safetensors");
    fs::copy(at("adapters/header.safetensors"), file).unwrap();
}

/// Cuts a folder's weights in two, with an index.
fn in_shards(folder: &Path, end: &str) {
    use learngene_formats::container::{self, Contents};
    let whole = folder.join(format!("{WEIGHTS}.safetensors"));
    let mut first = container::read(&whole).unwrap().tensors;
    fs::remove_file(whole).unwrap();
    let middle = first.keys().nth(first.len() / 2).unwrap().clone();
    let second = first.split_off(&middle);
    let mut map = serde_json::Map::new();
    for (i, tensors) in [first, second].into_iter().enumerate() {
        let file = format!("{WEIGHTS}-0000{}-of-00002.{end}", i + 1);
        let names = tensors.keys().cloned();
        map.extend(names.map(|name| (name, file.clone().into())));
        if end == "bin" {
            learngene_formats::torch::write(folder.join(file), &tensors).unwrap();
        } else {
            let contents = Contents {
                tensors,
                ..Contents::default()
            };
            container::write(folder.join(file), &contents).unwrap();
        }
    }
    let index = serde_json::json!({"weight_map": map}).to_string();
    fs::write(folder.join(format!("{WEIGHTS}.{end}.index.json")), index).unwrap();
}

/// Whether it was read, and what was said.
fn imported(folder: &Path, line: &str) -> (bool, String) {
    let words = format!("import {line} --out out.safetensors");
    let out = run(folder, &words.split(' ').collect::<Vec<_>>());
    let said = String::from_utf8(out.stderr).unwrap();
    (out.status.success(), said)
}

fn is_right(case: &Case, (read, said): (bool, String)) {
    let Case { what, of, line, .. } = case;
    let about = format!("{of}, {what} ({line}): read {read}, said {said}");
    match case.outcome {
        Read => assert!(read && !said.contains("warning"), "{about}"),
        Warned(words) => {
            assert!(read && said.contains("warning"), "{about}");
            assert!(said.contains(words), "{about}");
        }
        Refused(words) => assert!(!read && said.contains(words), "{about}"),
    }
}

fn row(case: &Case) -> Row {
    let outcome = match case.outcome {
        Read => "read".to_owned(),
        Warned(words) => format!("read, with a warning: {words}"),
        Refused(words) => format!("refused: {words}"),
    };
    [case.of.to_owned(), case.what.to_owned(), outcome]
}

#[test]
fn every_file_of_the_table_is_treated_as_it_says() {
    let folder = folder();
    for case in CHECKPOINTS.iter().chain(ADAPTERS) {
        is_right(case, imported(folder.path(), case.line));
    }
    for case in AUTOENCODERS {
        let read = autoencoder::read(&folder.path().join(case.line), &Device::flex());
        let said = read
            .as_ref()
            .err()
            .map_or_else(String::new, ToString::to_string);
        is_right(case, (read.is_ok(), said));
    }
}

#[test]
fn the_page_shows_the_table() {
    for (name, cases) in [
        ("checkpoints", CHECKPOINTS),
        ("adapters", ADAPTERS),
        ("autoencoders", AUTOENCODERS),
    ] {
        let rows: Vec<Row> = cases.iter().map(row).collect();
        page::require(
            "formats.md",
            name,
            ["of", "file", "what becomes of it"],
            &rows,
        );
    }
}
