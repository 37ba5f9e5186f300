//! Superclasses from WordNet, for classes that are named by synset as in ImageNet: `n02084071` is dog.
//!
//! Read is the file `data.noun` of WordNet 3.0, whose offsets ImageNet's names are (wndb(5WN); Debian's `wordnet-base` has
//! it in `/usr/share/wordnet`). A line is `offset file type count (word id)... count (pointer offset part ids)... | gloss`,
//! the first count in hexadecimal; the pointers `@` and `@i` name what a synset is a kind or an instance of.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::class_tree::ClassTree;
use crate::error::{Error, Result};

/// The largest file that is read, bytes; WordNet 3.0's has 15 million.
const MAX_BYTES: u64 = 1 << 28;
/// The longest chain of hypernyms; WordNet 3.0's has 20. More is a circle.
const MAX_CHAIN: usize = 64;

/// The nouns of WordNet and what they are kinds of.
#[derive(Debug, Clone)]
pub struct WordNet {
    path: PathBuf,
    synsets: HashMap<String, Synset>,
}

#[derive(Debug, Clone)]
struct Synset {
    word: String,
    /// The first, if any; the others are left out, so that every synset has one chain.
    hypernym: Option<String>,
}

impl WordNet {
    /// Reads a `data.noun`.
    ///
    /// # Errors
    /// A file that cannot be read, is too large or has a line that is none of WordNet's.
    pub fn read(path: &Path) -> Result<Self> {
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(Error::io(path))?;
        let mut file = file.take(MAX_BYTES + 1);
        file.read_to_end(&mut bytes).map_err(Error::io(path))?;
        if bytes.len() as u64 > MAX_BYTES {
            let found = format!("more than {} MiB", MAX_BYTES >> 20);
            return Err(Error::format(path, "WordNet's data.noun", found));
        }
        Self::parse(&String::from_utf8_lossy(&bytes), path)
    }

    /// Reads the text of a `data.noun`; `path` is for errors.
    ///
    /// # Errors
    /// As [`WordNet::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let mut synsets = HashMap::new();
        // Lines of the licence start with spaces.
        let lines = text.lines().enumerate();
        for (number, line) in lines.filter(|(_, line)| !line.starts_with(' ')) {
            let (offset, synset) = synset(line).ok_or_else(|| {
                let expected = "WordNet's data.noun, a synset a line";
                Error::format(
                    path,
                    expected,
                    format!("something else in line {}", number + 1),
                )
            })?;
            synsets.insert(offset, synset);
        }
        Ok(Self {
            path: path.to_owned(),
            synsets,
        })
    }

    /// The classes under what they are kinds of, `depth` steps below WordNet's root `entity` (6 parts animals from
    /// vehicles, 9 mammals from birds), or right above a class that lies no deeper. A superclass is called after its first
    /// word and its synset.
    ///
    /// # Errors
    /// A class that is no `n` and offset, or whose synset is not there.
    pub fn tree(&self, classes: &[String], depth: usize) -> Result<ClassTree> {
        let mut superclasses: Vec<(String, Vec<String>)> = Vec::new();
        for class in classes {
            let chain = self.chain(class)?;
            let above = chain.len().saturating_sub(2);
            let (offset, synset) = chain[depth.min(above)];
            let name = format!("{}-n{offset}", synset.word);
            match superclasses.iter_mut().find(|s| s.0 == name) {
                Some(superclass) => superclass.1.push(class.clone()),
                None => superclasses.push((name, vec![class.clone()])),
            }
        }
        Ok(ClassTree::new(superclasses, &self.path))
    }

    /// From the root to the synset of a class, which comes last.
    fn chain(&self, class: &str) -> Result<Vec<(&str, &Synset)>> {
        let offset = class.strip_prefix('n').filter(|o| is_offset(o));
        let offset = offset.ok_or_else(|| Error::ClassList {
            list: class.to_owned(),
            reason: "expected a WordNet noun such as n02084071".to_owned(),
        })?;
        let lacks = |offset: &str| Error::ClassList {
            list: class.to_owned(),
            reason: format!(
                "synset n{offset} is not in {}; ImageNet's are in that of WordNet 3.0",
                self.path.display()
            ),
        };
        let mut chain = Vec::new();
        let mut next = Some(offset);
        while let Some(offset) = next {
            let found = self.synsets.get_key_value(offset);
            let (offset, synset) = found.ok_or_else(|| lacks(offset))?;
            chain.push((offset.as_str(), synset));
            if chain.len() > MAX_CHAIN {
                let found = format!("a circle of hypernyms above {class}");
                return Err(Error::format(&self.path, "WordNet's data.noun", found));
            }
            next = synset.hypernym.as_deref();
        }
        chain.reverse();
        Ok(chain)
    }
}

fn is_offset(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit())
}

/// Offset and synset of a line; none if it is none of WordNet's.
fn synset(line: &str) -> Option<(String, Synset)> {
    let data = line.split(" | ").next()?;
    let mut fields = data.split_ascii_whitespace();
    let offset = fields.next().filter(|o| is_offset(o))?;
    let (_file, kind) = (fields.next()?, fields.next()?);
    let words = usize::from_str_radix(fields.next()?, 16).ok()?;
    let word = fields.next().filter(|_| kind == "n" && words > 0)?;
    // The first word's number, and a pair for each further word.
    let mut fields = fields.skip(words.checked_mul(2)? - 1);
    let pointers: usize = fields.next()?.parse().ok()?;
    let mut hypernym = None;
    for _ in 0..pointers {
        let (symbol, to) = (fields.next()?, fields.next()?);
        let (_part, _words) = (fields.next()?, fields.next()?);
        if matches!(symbol, "@" | "@i") && hypernym.is_none() {
            hypernym = Some(to.to_owned()).filter(|to| is_offset(to));
        }
    }
    let word = word.to_owned();
    Some((offset.to_owned(), Synset { word, hypernym }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made up but for the form: thing, animal and machine below it, dog and cat below animal, rover an instance of dog.
    const NOUNS: &str = "  1 a licence
00000001 03 n 01 thing 0 001 ~ 00000002 n 0000 | whatever there is | and more
00000002 05 n 02 animal 0 beast 0 003 #m 00000009 n 0000 @ 00000001 n 0000 @ 00000003 n 0000 | moves
00000003 06 n 01 machine 0 001 @ 00000001 n 0000 | works
00000004 05 n 0a dog 0 a 0 b 0 c 0 d 0 e 0 f 0 g 0 h 1 i 2 001 @ 00000002 n 0000 | barks
00000005 05 n 01 cat 0 001 @ 00000002 n 0000 | does not
00000006 05 n 01 rover 0 001 @i 00000004 n 0000 | a good one
00000007 05 n 01 egg 0 001 @ 00000008 n 0000 | first
00000008 05 n 01 hen 0 001 @ 00000007 n 0000 | first
";

    fn nouns() -> WordNet {
        WordNet::parse(NOUNS, Path::new("data.noun")).unwrap()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| format!("n0000000{name}")).collect()
    }

    #[test]
    fn classes_are_put_under_what_they_are_kinds_of() {
        let over = |depth, classes: &[&str]| {
            let classes = names(classes);
            nouns()
                .tree(&classes, depth)
                .unwrap()
                .over(&classes)
                .unwrap()
        };
        let expected = |all: &[(&str, &[usize])]| {
            let named = all
                .iter()
                .map(|(name, of)| ((*name).to_owned(), of.to_vec()));
            named.collect::<Vec<_>>()
        };
        // dog, machine, cat, rover
        let classes = ["4", "3", "5", "6"];
        let root = [("thing-n00000001", &[0, 1, 2, 3][..])];
        assert_eq!(over(0, &classes), expected(&root));
        let one = [
            ("animal-n00000002", &[0, 2, 3][..]),
            ("thing-n00000001", &[1]),
        ];
        assert_eq!(over(1, &classes), expected(&one));
        let two = [
            ("animal-n00000002", &[0, 2][..]),
            ("thing-n00000001", &[1]),
            ("dog-n00000004", &[3]),
        ];
        assert_eq!(over(2, &classes), expected(&two));
        assert_eq!(over(1, &["1"]), expected(&[("thing-n00000001", &[0])]));
    }

    #[test]
    fn what_is_not_wordnet_is_named() {
        let refused = |class: &str| {
            let tree = nouns().tree(&[class.to_owned()], 6);
            tree.unwrap_err().to_string()
        };
        let broken = |text: &str| {
            let read = WordNet::parse(text, Path::new("data.noun"));
            read.unwrap_err().to_string()
        };
        for (text, part) in [
            (refused("dog"), "such as n02084071"),
            (refused("n0000000é"), "such as n02084071"),
            (refused("n00000042"), "n00000042 is not in data.noun"),
            (refused("n00000042"), "WordNet 3.0"),
            (
                refused("n00000007"),
                "a circle of hypernyms above n00000007",
            ),
            (broken("name,class\n"), "line 1"),
            (broken("00000001 03 n 00 x 0 000"), "line 1"),
            (broken("00000001 03 n ff x 0 000"), "line 1"),
            // Twice as many words are 2, if what does not fit is dropped.
            (broken("00000001 03 n 8000000000000001 x 0 000"), "line 1"),
            (broken("00000001 03 n 01 x 0 999 @ 00000002 n"), "line 1"),
            (broken("  1\n00000001 03 v 01 x 0 000"), "line 2"),
        ] {
            assert!(text.contains(part), "`{part}` is not in {text}");
        }
    }
}
