//! The files in a shard, put together to samples as the Python packages `webdataset` and `datasets` do.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Component, Path};

use serde_json::Value;
use tar::EntryType;

use super::super::notes::Notes;
use super::super::text;
use crate::error::{Error, Result};
use crate::image::format::{EXTENSIONS, unread_format};

/// The largest label that is read, bytes.
const MAX_LABEL_BYTES: u64 = 1 << 20;
/// Keys of a sample's JSON that hold its class, the first that is there.
pub(super) const KEYS: [&str; 4] = ["class_name", "cls", "label", "class"];

/// A file of a tar.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub at: u64,
    pub length: u64,
}

/// What a sample says of its class.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Label {
    /// Nothing.
    #[default]
    Missing,
    /// That it has none: -1 or null.
    None,
    /// Its name or number.
    Of(String),
}

/// The files of one sample.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub key: String,
    /// What follows the key in the names of its files.
    extensions: Vec<String>,
    image: Option<Span>,
    /// One whose extension has several parts, `0001.left.png`.
    dotted: Vec<Span>,
    cls: Label,
    json: Label,
}

impl Group {
    /// Its image: one with an extension of one part, or the only one with more.
    pub(super) fn image(&self) -> Option<Span> {
        match (self.image, &self.dotted[..]) {
            (Some(image), _) => Some(image),
            (None, [only]) => Some(*only),
            _ => None,
        }
    }

    /// Its class. Where both are there, the .cls is meant.
    pub(super) fn label(&self) -> Label {
        match &self.cls {
            Label::Missing => self.json.clone(),
            cls => cls.clone(),
        }
    }

    /// Whether `.cls` and `.json` have different numbers.
    fn is_divided(&self) -> bool {
        let number = |label: &Label| match label {
            Label::Of(name) => name.parse::<i64>().ok(),
            _ => None,
        };
        let both = number(&self.cls).zip(number(&self.json));
        both.is_some_and(|(cls, json)| cls != json)
    }
}

/// The samples of a shard. Of files that are neither an image nor a class nothing is read.
pub(super) fn list(shard: &Path, notes: &Notes) -> Result<Vec<Group>> {
    let file = File::open(shard).map_err(Error::io(shard))?;
    let size = file.metadata().map_err(Error::io(shard))?.len();
    let mut archive = tar::Archive::new(BufReader::new(file));
    let damaged = |error: std::io::Error| Error::format(shard, "a whole tar", error.to_string());
    let mut groups: Vec<Group> = Vec::new();
    for entry in archive.entries_with_seek().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let path = entry.path().map_err(damaged)?.into_owned();
        let kind = entry.header().entry_type();
        if kind == EntryType::GNUSparse || is_sparse(&mut entry, &path).map_err(damaged)? {
            let expected = format!("`{}` with all its bytes", path.display());
            let found = "a file with holes: write the tar again without --sparse";
            return Err(Error::format(shard, expected, found));
        }
        if matches!(kind, EntryType::Link | EntryType::Symlink) {
            let place = text(&shard.join(&path));
            notes.add("left out, links in a shard, which hold no bytes", place);
            continue;
        }
        if !matches!(kind, EntryType::Regular | EntryType::Continuous) {
            continue;
        }
        let Some((key, extension)) = parts(&path, shard)? else {
            continue;
        };
        let span = Span {
            at: entry.raw_file_position(),
            length: entry.size(),
        };
        if span
            .at
            .checked_add(span.length)
            .is_none_or(|end| end > size)
        {
            return Err(Error::format(
                shard,
                format!("{} bytes of `{}`", span.length, path.display()),
                "the end of the file",
            ));
        }
        if groups.last().is_none_or(|group| group.key != key) {
            groups.push(Group {
                key: key.clone(),
                ..Group::default()
            });
        }
        let Some(group) = groups.last_mut() else {
            continue;
        };
        if group.extensions.contains(&extension) {
            let expected = "each file of a sample once";
            return Err(Error::format(
                shard,
                expected,
                format!("`{}` twice", path.display()),
            ));
        }
        if let Some(format) = unread_format(&path) {
            let what = format!("left out, pictures in a format that is not read ({format})");
            notes.add(what, text(&shard.join(&path)));
        }
        let last = extension.rsplit('.').next().unwrap_or_default();
        match extension.as_str() {
            image if EXTENSIONS.contains(&image) => {
                if group.image.is_some() {
                    let place = text(&shard.join(&path));
                    notes.add("left out, further images of a sample", place);
                } else {
                    group.image = Some(span);
                }
            }
            _ if EXTENSIONS.contains(&last) => group.dotted.push(span),
            "cls" | "json" => {
                let mut bytes = Vec::new();
                let mut label = (&mut entry).take(MAX_LABEL_BYTES + 1);
                label.read_to_end(&mut bytes).map_err(damaged)?;
                let found = label_in(&bytes, &extension).map_err(|found| {
                    Error::format(shard, format!("a class in `{}`", path.display()), found)
                })?;
                match extension.as_str() {
                    "cls" => group.cls = found,
                    _ => group.json = found,
                }
                if group.is_divided() {
                    let what = "samples whose .cls and .json say different classes, of which the .cls is taken";
                    notes.add(what, text(&shard.join(&group.key)));
                }
            }
            _ => {}
        }
        group.extensions.push(extension);
    }
    Ok(groups)
}

/// Whether a file has holes in the way of POSIX: GNU tar says so in its extended header and in its name. What stands in
/// the tar is then a list of pieces and not the file.
fn is_sparse(entry: &mut tar::Entry<'_, impl Read>, path: &Path) -> std::io::Result<bool> {
    let named = |part: Component<'_>| {
        let name = part.as_os_str().to_string_lossy();
        name.starts_with("GNUSparseFile.")
    };
    if path.components().any(named) {
        return Ok(true);
    }
    let Some(extensions) = entry.pax_extensions()? else {
        return Ok(false);
    };
    for extension in extensions {
        if extension?.key_bytes().starts_with(b"GNU.sparse.") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The name of a sample, and what kind of file this is; nothing for a file that belongs to no sample: one whose name begins
/// with a dot, as those of macOS (`._0001.jpg`), or that lies in `__x__/`.
fn parts(path: &Path, shard: &Path) -> Result<Option<(String, String)>> {
    let inside = path
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !inside {
        return Err(Error::format(
            shard,
            "paths that stay inside it",
            format!("`{}`", path.display()),
        ));
    }
    let whole = text(path);
    let whole = whole.strip_prefix("./").unwrap_or(&whole);
    let front = whole.split('/').next().unwrap_or_default();
    let name = whole.rfind('/').map_or(0, |slash| slash + 1);
    let of_the_shard = front.len() > 3 && front.starts_with("__") && front.ends_with("__");
    if of_the_shard || whole[name..].starts_with('.') || whole.starts_with("__MACOSX/") {
        return Ok(None);
    }
    Ok(Some(match whole[name..].find('.') {
        Some(dot) => (
            whole[..name + dot].to_owned(),
            whole[name + dot + 1..].to_lowercase(),
        ),
        None => (whole.to_owned(), String::new()),
    }))
}

/// The class in a `.cls` file; in a `.json` file that names one.
fn label_in(bytes: &[u8], extension: &str) -> std::result::Result<Label, String> {
    if bytes.len() as u64 > MAX_LABEL_BYTES {
        return Err(format!("more than {MAX_LABEL_BYTES} bytes"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let whole = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    if extension == "cls" {
        return match whole.trim() {
            "" => Err("nothing".into()),
            "-1" => Ok(Label::None),
            label => Ok(Label::Of(label.into())),
        };
    }
    let json: Value = serde_json::from_str(whole).map_err(|error| error.to_string())?;
    let label = |value: &Value| match value {
        Value::String(label) if label.is_empty() => None,
        Value::String(label) => Some(Label::Of(label.clone())),
        Value::Number(number) => Some(match number.as_i64() {
            Some(-1) => Label::None,
            Some(whole) => Label::Of(whole.to_string()),
            None => Label::Of(number.to_string().trim_end_matches(".0").to_owned()),
        }),
        Value::Null => Some(Label::None),
        _ => None,
    };
    let named = KEYS.iter().filter_map(|key| json.get(key));
    Ok(named.filter_map(label).next().unwrap_or_default())
}
