//! Random images of any number of classes, in memory.

use learngene_data::{Image, Purpose, Result, Sample, Source, Split, Stream};

/// Training images of each class.
const PER_CLASS: usize = 8;

/// Classes of images of random bytes.
#[derive(Debug)]
pub struct Synthetic {
    classes: Vec<String>,
    /// Channels, height, width.
    shape: [u32; 3],
}

impl Synthetic {
    /// So many classes of images of that shape (channels, height, width).
    pub fn new(classes: usize, shape: [u32; 3]) -> Self {
        Self {
            classes: (0..classes).map(|i| format!("class {i}")).collect(),
            shape,
        }
    }

    fn sample(&self, number: usize) -> Sample {
        let [channels, height, width] = self.shape;
        let mut stream = Stream::new(0, number as u64, Purpose::Test);
        let bytes = channels * height * width;
        Sample {
            content: Image {
                width,
                height,
                channels,
                pixels: (0..bytes).map(|_| stream.bits() as u8).collect(),
            }
            .into(),
            class: number / PER_CLASS,
            split: Some(Split::Train),
            id: number.to_string(),
        }
    }
}

impl Source for Synthetic {
    fn name(&self) -> &str {
        "random images"
    }

    fn class_names(&self) -> &[String] {
        &self.classes
    }

    fn samples(&self) -> Box<dyn Iterator<Item = Result<Sample>> + '_> {
        let count = self.classes.len() * PER_CLASS;
        Box::new((0..count).map(|i| Ok(self.sample(i))))
    }
}
