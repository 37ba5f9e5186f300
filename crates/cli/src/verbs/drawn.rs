//! Where drawn images go: a sheet, or a folder with a file for each, which says how it was drawn.

use crate::failure::{Failure, Result};
use crate::{args, model, output};
use learngene_data::Image;
use learngene_data::image::{PictureFormat, encode_png_with_texts};
use learngene_formats::atomic::write_bytes_atomically;
use learngene_formats::{FolderWriter, FormatError};
use serde_json::json;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Bytes of a class in the name of a file; file systems take 255 in all.
const NAME_BYTES: usize = 100;

/// What `--out` names.
pub enum Out {
    /// One picture of all images, in the format that the name ends in.
    Sheet(PathBuf),
    /// A PNG file for each image.
    Folder(PathBuf),
}

impl Out {
    /// A folder is what ends with a slash, is one already, or has no ending.
    pub fn of(path: &Path) -> Result<Self> {
        let slash = path.as_os_str().as_encoded_bytes().last();
        let slash = slash.is_some_and(|last| std::path::is_separator(char::from(*last)));
        if slash || path.is_dir() || path.extension().is_none() {
            return Ok(Self::Folder(path.to_owned()));
        }
        match PictureFormat::of(path) {
            Ok(_) => Ok(Self::Sheet(path.to_owned())),
            Err(error) => Err(Failure::Usage(format!(
                "failed to {error}; for a folder with a file for each image, end the name with a slash"
            ))),
        }
    }
}

/// What all images of a call have in common.
pub struct Settings {
    /// The weight file.
    file: String,
    hash: String,
    /// What to type after `learngene sample MODEL` and before `--out`.
    options: Vec<String>,
    common: serde_json::Value,
    line: String,
}

impl Settings {
    /// Of a call that draws with the model at that path. The weight file is read once more, for its hash.
    pub fn of(
        args: &args::Sample,
        weights: &Path,
        device: &str,
        encoder: Option<&str>,
    ) -> Result<Self> {
        let path = model::find(weights)?;
        // Pictures are passed on: they name no folder of whoever drew them.
        let name = |path: &Path| match path.file_name() {
            Some(name) => name.to_string_lossy().into_owned(),
            None => String::new(),
        };
        let unreadable = |source| Failure::Read {
            path: path.display().to_string(),
            source,
        };
        let mut hasher = blake3::Hasher::new();
        let file = File::open(&path).map_err(unreadable)?;
        hasher.update_reader(file).map_err(unreadable)?;
        let args::Sample {
            steps,
            cfg,
            sampler,
            precision,
            seed,
            count,
            ..
        } = args;
        let precision = precision.name();
        let options = [
            ("--count", count.to_string()),
            ("--steps", steps.to_string()),
            ("--cfg", cfg.to_string()),
            ("--sampler", sampler.clone()),
            ("--precision", precision.into()),
            ("--seed", seed.to_string()),
            ("--device", device.into()),
        ];
        // What is drawn beside an image decides how its sums are rounded, so it belongs to how the image was made.
        let classes = args.class.iter().map(|name| ("--class", name.clone()));
        let blends = args.blend.iter().map(|blend| ("--blend", blend.clone()));
        let vae = args.vae.iter().map(|vae| ("--vae", name(vae)));
        let options = classes.chain(blends).chain(vae).chain(options);
        let raw = args.raw.then(|| "--raw".to_owned()).into_iter();
        Ok(Self {
            file: name(&path),
            hash: hasher.finalize().to_hex().to_string(),
            options: raw
                .chain(options.flat_map(|(name, value)| [name.to_owned(), value]))
                .collect(),
            common: json!({
                "steps": steps, "cfg": cfg, "sampler": sampler, "precision": precision, "seed": seed, "device": device,
                "encoder": encoder,
            }),
            line: format!(
                "Steps: {steps}, Sampler: {sampler}, CFG scale: {cfg}, Seed: {seed}, Precision: {precision}"
            ),
        })
    }

    /// The texts of one image: `parameters` as other programs write and show it, `learngene` with everything that drew it.
    fn texts(
        &self,
        kind: &str,
        name: &str,
        index: usize,
        image: &Image,
    ) -> [(&'static str, String); 2] {
        let (width, height) = (image.width, image.height);
        let version = env!("CARGO_PKG_VERSION");
        let mut all = json!({
            "version": version, "model": self.file, "model_blake3": self.hash, kind: name, "index": index,
            "width": width, "height": height, "options": self.options,
        });
        if let (Some(all), Some(common)) = (all.as_object_mut(), self.common.as_object()) {
            all.extend(common.clone());
        }
        let short = self.hash.get(..10).unwrap_or_default();
        let line = format!(
            "{name}\n{}, Size: {width}x{height}, Model hash: {short}, Image: {index}, Version: learngene {version}",
            self.line
        );
        [("parameters", line), ("learngene", all.to_string())]
    }

    /// Writes `count` images of each class or blend, one after another, to `CLASS-0000.png` and so on. Files that have
    /// these names are replaced.
    pub fn write(
        &self,
        folder: &Path,
        kind: &str,
        names: &[String],
        images: &[Image],
    ) -> Result<usize> {
        // Beside what a folder holds, each file is written whole; any other folder is made as a whole.
        let made = match FolderWriter::check(folder) {
            Ok(()) => Some(FolderWriter::begin(folder)?),
            Err(FormatError::Occupied { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let place = match &made {
            Some(made) => made.path(),
            None => folder.to_owned(),
        };
        let count = images.len() / names.len().max(1);
        let digits = count.saturating_sub(1).to_string().len().max(4);
        let mut written = Vec::with_capacity(images.len());
        let each = file_names(names)
            .into_iter()
            .zip(names)
            .zip(images.chunks(count.max(1)));
        for ((file, name), row) in each {
            for (index, image) in row.iter().enumerate() {
                let texts = self.texts(kind, name, index, image);
                let texts = texts
                    .each_ref()
                    .map(|(keyword, text)| (*keyword, &text[..]));
                let file = format!("{file}-{index:0digits$}.png");
                let png = encode_png_with_texts(image, &texts)?;
                write_bytes_atomically(place.join(&file), &png)?;
                written.push(folder.join(file));
            }
        }
        if let Some(made) = made {
            made.finish()?;
        }
        written.iter().for_each(|path| output::keep(path));
        output::say(&format!(
            "wrote {} images in {}",
            images.len(),
            folder.display()
        ));
        Ok(images.len())
    }
}

/// Names that every file system takes and tells apart: letters, digits, `.`, `-` and `_`; where two differ in nothing
/// but case or what was left out, the later one gets its number.
fn file_names(names: &[String]) -> Vec<String> {
    let mut taken: Vec<String> = Vec::new();
    let mut named = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let plain = |c: char| c.is_alphanumeric() || ".-_".contains(c);
        let mut safe: String = name
            .chars()
            .map(|c| if plain(c) { c } else { '_' })
            .collect();
        while safe.len() > NAME_BYTES {
            safe.pop();
        }
        // A leading point would hide the file, a leading dash looks like an option.
        if !safe.starts_with(char::is_alphanumeric) {
            safe.insert(0, '_');
        }
        let mut free = safe.clone();
        let mut more = number;
        while taken.contains(&free.to_lowercase()) {
            free = format!("{safe}_{more}");
            more += 1;
        }
        taken.push(free.to_lowercase());
        named.push(free);
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_safe_and_differ() {
        let names = [
            "face",
            "Face",
            "a/b",
            "a b",
            "../../etc/passwd",
            "",
            ".",
            "-rf",
            "naïve",
            "a,b",
            "face_1",
            "CON",
            "x\u{1b}[31m",
        ];
        let long = "ü".repeat(300);
        let names: Vec<String> = names
            .iter()
            .map(|n| n.to_string())
            .chain([long.clone(), long])
            .collect();
        let files = file_names(&names);
        assert_eq!(
            files[..13],
            [
                "face",
                "Face_1",
                "a_b",
                "a_b_3",
                "_.._.._etc_passwd",
                "_",
                "_.",
                "_-rf",
                "naïve",
                "a_b_9",
                "face_1_10",
                "CON",
                "x__31m"
            ]
        );
        assert_eq!(files[13].len(), NAME_BYTES);
        let mut lower: Vec<String> = files.iter().map(|f| f.to_lowercase()).collect();
        lower.sort();
        lower.dedup();
        assert_eq!(lower.len(), files.len());
        assert!(
            files
                .iter()
                .all(|f| f.len() < 120 && !f.contains(['/', '\\', ':', '\u{1b}']))
        );
    }

    #[test]
    fn a_folder_is_told_from_a_picture() {
        let folder = tempfile::tempdir().unwrap();
        let dotted = folder.path().join("v1.0");
        std::fs::create_dir(&dotted).unwrap();
        for path in ["new/", "new.png/", "new", "a/b/new"]
            .map(Path::new)
            .into_iter()
            .chain([dotted.as_path()])
        {
            assert!(
                matches!(Out::of(path), Ok(Out::Folder(_))),
                "{}",
                path.display()
            );
        }
        for path in ["a.png", "b.JPG", "c.jpeg", "a/d.webp"] {
            assert!(
                matches!(Out::of(Path::new(path)), Ok(Out::Sheet(_))),
                "{path}"
            );
        }
        for path in ["a.gif", "v1.0", "a.npz"] {
            let Err(error) = Out::of(Path::new(path)) else {
                panic!("{path} is taken")
            };
            let text = error.to_string();
            assert!(
                text.contains(path) && text.contains(".webp") && text.contains("slash"),
                "{text}"
            );
        }
    }
}
