//! The one error type of this crate.

use std::fmt;
use std::path::PathBuf;

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What can be wrong with data, class lists and batch settings; every text says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be opened, listed or read.
    #[error("read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The text given as a source names nothing that can be opened.
    #[error("find data source `{spec}`: {reason}; accepted are {accepted}")]
    UnknownSource {
        /// What was typed.
        spec: String,
        /// Why it was not taken.
        reason: String,
        /// The kinds of source there are.
        accepted: &'static str,
    },
    /// An image file is truncated, damaged or no image at all.
    #[error("decode image {}: {reason}; replace the file or remove it from the data set", path.display())]
    Decode {
        /// The image file.
        path: PathBuf,
        /// What the decoder said.
        reason: String,
    },
    /// An image is larger than this crate will decode.
    #[error("decode image {}: more than {limit} pixels a side or 512 MiB when decoded; scale it down first", path.display())]
    ImageTooLarge {
        /// The image file.
        path: PathBuf,
        /// The largest width and height, pixels.
        limit: u32,
    },
    /// A data file does not hold what its format says it must.
    #[error("read {}: expected {expected}, found {found}; fetch or write the file again", path.display())]
    Format {
        /// The data file.
        path: PathBuf,
        /// What the format asks for.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// Images differ in size and nothing says which size is wanted.
    #[error(
        "load images that differ in size (`{first_id}` is {}x{}, `{other_id}` is {}x{}): set the image size (--image-size N) to \
         crop and resize all of them to one square",
        first[0], first[1], other[0], other[1]
    )]
    MixedSizes {
        /// The first image.
        first_id: String,
        /// Its width and height.
        first: [u32; 2],
        /// The first image of another size.
        other_id: String,
        /// Its width and height.
        other: [u32; 2],
    },
    /// A class was asked for that the source does not have.
    #[error("find class `{name}` in {origin}{hint}; it has {known}")]
    UnknownClass {
        /// The name asked for.
        name: String,
        /// The source or file searched.
        origin: String,
        /// The nearest known name.
        hint: Hint,
        /// The names there are.
        known: String,
    },
    /// A list of classes is empty or names a class twice.
    #[error("read class list `{list}`: {reason}")]
    ClassList {
        /// The list.
        list: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A class map is no TOML, has an unknown key or contradicts itself.
    #[error("read class map {}: {reason}", path.display())]
    ClassMap {
        /// The TOML file.
        path: PathBuf,
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// A class tree is no TOML, contradicts itself or lacks a class.
    #[error("read class tree {}: {reason}", path.display())]
    ClassTree {
        /// The TOML file.
        path: PathBuf,
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// Base or novel classes were asked of a source that does not say which those are.
    #[error(
        "select the {which} classes of {origin}: it has no base/novel partition; name the classes (a,b,c), take `all`, \
         or give a class map with `base = [...]` and `novel = [...]`"
    )]
    NoPartition {
        /// `base` or `novel`.
        which: &'static str,
        /// The source.
        origin: String,
    },
    /// A class has no image to train on.
    #[error(
        "load class `{class}` of {origin}: it has no training image{}; add one or leave the class out",
        broken.as_ref().map_or(String::new(), |first| format!(", and broken ones were left out ({first})"))
    )]
    EmptyClass {
        /// The class.
        class: String,
        /// The source.
        origin: String,
        /// What is wrong with the first of the images that were left out, of any class.
        broken: Option<String>,
    },
    /// A source holds no image at all.
    #[error("load {origin}: it holds no image; {hint}")]
    EmptySource {
        /// The source.
        origin: String,
        /// What it should look like.
        hint: &'static str,
    },
    /// All pictures of a source are in formats that are not read.
    #[error(
        "load {origin}: its {count} pictures are in formats that are not read ({formats}); convert them to PNG, JPEG or WebP"
    )]
    UnreadFormats {
        /// The source.
        origin: String,
        /// How many pictures.
        count: usize,
        /// The formats.
        formats: String,
    },
    /// A number is outside the range that makes sense.
    #[error("set {name} to {value}: expected {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// The value given.
        value: String,
        /// The accepted range.
        expected: String,
    },
    /// The decoded data set would not fit the memory set aside for it.
    #[error(
        "load {origin}: more than {limit_mib} MiB when decoded; set a smaller image size (--image-size N) or select fewer \
         classes, or let images be read as they are wanted (--stream)"
    )]
    TooMuchMemory {
        /// The source.
        origin: String,
        /// The limit, MiB.
        limit_mib: u64,
    },
    /// Samples of this source cannot be read as they are wanted.
    #[error(
        "stream from {origin}: only a folder of images, WebDataset shards, Parquet files and latents can be read as they are \
         wanted; leave out --stream (data.stream)"
    )]
    NoStream {
        /// The source.
        origin: String,
    },
    /// Latents that cannot be read or written.
    #[error("use latents {}: {reason}", path.display())]
    Latents {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Images were asked of a source of latents.
    #[error(
        "take images from {origin}: it holds latents; give the images that they were encoded from"
    )]
    NoImages {
        /// The source.
        origin: String,
    },
    /// A picture could not be encoded.
    #[error("encode picture: {0}")]
    Encode(String),
    /// The name of a picture to write ends in no format that is written.
    #[error("write a picture `{}`: expected a name that ends in {}", path.display(), crate::image::PictureFormat::ENDINGS)]
    PictureEnding {
        /// The name.
        path: PathBuf,
    },
}

impl Error {
    /// Whether an image is broken or too large, so that a source is whole but for this one.
    pub const fn is_of_one_image(&self) -> bool {
        matches!(self, Self::Decode { .. } | Self::ImageTooLarge { .. })
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn latents(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::Latents {
            path: path.into(),
            reason: reason.into(),
        }
    }

    pub(crate) fn format(
        path: impl Into<PathBuf>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Format {
            path: path.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }

    pub(crate) fn unknown_class(name: &str, origin: impl Into<String>, known: &[String]) -> Self {
        Self::UnknownClass {
            name: name.to_owned(),
            origin: origin.into(),
            hint: Hint::nearest(name, known),
            known: shortened_list(known),
        }
    }
}

/// The known name that looks most like a mistyped one; prints as `, did you mean ...?` or as nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint(Option<String>);

impl Hint {
    /// Picks the nearest of `known` to `typed`, if any is near enough to be what was meant.
    pub fn nearest<S: AsRef<str>>(typed: &str, known: &[S]) -> Self {
        let lower = typed.to_lowercase();
        let best = known
            .iter()
            .map(|name| {
                (
                    strsim::jaro_winkler(&lower, &name.as_ref().to_lowercase()),
                    name.as_ref(),
                )
            })
            .max_by(|a, b| a.0.total_cmp(&b.0));
        Self(
            best.filter(|(score, _)| *score > 0.75)
                .map(|(_, name)| name.to_owned()),
        )
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(name) => write!(f, ", did you mean `{name}`?"),
            None => Ok(()),
        }
    }
}

/// Up to 30 names in a row, then how many more there are.
pub(crate) fn shortened_list(names: &[String]) -> String {
    const SHOWN: usize = 30;
    let mut text = names
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}
