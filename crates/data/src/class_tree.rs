//! The class tree file: which classes belong to which superclass.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use learngene_formats::read_text;

use crate::class_map::{first_repeated, places};
use crate::error::{Error, Hint, Result};

/// Superclasses and their classes, written as TOML.
///
/// ```toml
/// animal = ["cat", "dog"]
/// vehicle = ["car", "truck"]
/// ```
///
/// It may name more classes than a model has, so that one file serves pre-training and transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassTree {
    path: PathBuf,
    superclasses: Vec<(String, Vec<String>)>,
}

impl ClassTree {
    /// Reads a class tree file.
    ///
    /// # Errors
    /// [`Error::ClassTree`] for text that is no TOML, what is no list of names, and a class in two places.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&read_text(path).map_err(Error::io(path))?, path)
    }

    /// Reads a class tree from text; `path` is for errors.
    ///
    /// # Errors
    /// As [`ClassTree::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let wrong = |reason: String| Error::ClassTree {
            path: path.to_owned(),
            reason,
        };
        let table: toml::Table =
            toml::from_str(text).map_err(|error| wrong(error.to_string().trim().to_owned()))?;
        if table.is_empty() {
            let expected = "it names no superclass; write lines like animal = [\"cat\", \"dog\"]";
            return Err(wrong(expected.to_owned()));
        }
        let names = |(name, value): (&String, &toml::Value)| {
            let list = value.as_array().and_then(|values| {
                let texts = values.iter().map(|v| v.as_str().map(str::to_owned));
                texts.collect::<Option<Vec<String>>>()
            });
            let expected = || {
                wrong(format!(
                    "`{name}` must be a list of class names, as in {name} = [\"cat\", \"dog\"]"
                ))
            };
            let classes = list.filter(|classes| !classes.is_empty());
            Ok((name.clone(), classes.ok_or_else(expected)?))
        };
        let tree = Self {
            path: path.to_owned(),
            superclasses: table.iter().map(names).collect::<Result<_>>()?,
        };
        match first_repeated(&tree.classes()) {
            Some(name) => Err(wrong(format!(
                "class `{name}` stands there twice; a class has one superclass"
            ))),
            None => Ok(tree),
        }
    }

    /// Superclasses that were found elsewhere, in `path`: each class in one.
    pub(crate) fn new(superclasses: Vec<(String, Vec<String>)>, path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            superclasses,
        }
    }

    /// The superclasses and their classes.
    pub fn superclasses(&self) -> &[(String, Vec<String>)] {
        &self.superclasses
    }

    /// The text of a class tree file.
    pub fn to_toml(&self) -> String {
        let line = |(name, classes): &(String, Vec<String>)| {
            let classes = classes.iter().map(|c| toml::Value::String(c.clone()));
            let table = [(name.clone(), toml::Value::Array(classes.collect()))];
            toml::Table::from_iter(table).to_string()
        };
        self.superclasses.iter().map(line).collect()
    }

    /// Every class it names, superclass by superclass.
    pub fn classes(&self) -> Vec<String> {
        let lists = self.superclasses.iter().map(|s| &s.1);
        lists.flatten().cloned().collect()
    }

    /// The superclasses of a model's classes in the order of the file, each with the numbers of its classes. Superclasses
    /// of none of them are left out.
    ///
    /// # Errors
    /// [`Error::ClassTree`] for a class that is in no superclass.
    pub fn over(&self, classes: &[String]) -> Result<Vec<(String, Vec<usize>)>> {
        let known = self.classes();
        let listed: HashSet<&String> = known.iter().collect();
        if let Some(name) = classes.iter().find(|name| !listed.contains(name)) {
            let hint = Hint::nearest(name, &known);
            return Err(Error::ClassTree {
                path: self.path.clone(),
                reason: format!("class `{name}` is in no superclass{hint}; add it to one"),
            });
        }
        let numbered = places(classes);
        let numbers = |(name, of): &(String, Vec<String>)| {
            let known = of.iter().filter_map(|class| numbered.get(class.as_str()));
            let mut numbers: Vec<usize> = known.copied().collect();
            numbers.sort_unstable();
            (name.clone(), numbers)
        };
        let all = self.superclasses.iter().map(numbers);
        Ok(all.filter(|s: &(_, Vec<_>)| !s.1.is_empty()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ClassTree> {
        ClassTree::parse(text, Path::new("tree.toml"))
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn superclasses_are_those_of_the_classes_at_hand() {
        let tree = parse("vehicle = ['car']\nanimal = ['cat', 'dog']\nplant = ['oak']").unwrap();
        let over = tree.over(&names(&["dog", "car", "cat"])).unwrap();
        let expected = [("vehicle", vec![1]), ("animal", vec![0, 2])];
        assert_eq!(over, expected.map(|(name, of)| (name.to_owned(), of)));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let tree = parse("animal = ['cat', 'd \"o\" g']\n'two words' = ['oak']").unwrap();
        assert_eq!(parse(&tree.to_toml()).unwrap(), tree);
    }

    #[test]
    fn what_is_no_tree_is_named() {
        let tree = parse("animal = ['cat', 'dog']").unwrap();
        let lacking = tree.over(&names(&["cats"])).unwrap_err().to_string();
        for (text, part) in [
            (lacking, "`cats` is in no superclass, did you mean `cat`?"),
            (parse("").unwrap_err().to_string(), "names no superclass"),
            (
                parse("a = 'cat'").unwrap_err().to_string(),
                "`a` must be a list",
            ),
            (
                parse("a = [1]").unwrap_err().to_string(),
                "`a` must be a list",
            ),
            (
                parse("a = []").unwrap_err().to_string(),
                "`a` must be a list",
            ),
            (
                parse("a = ['x']\nb = ['x']").unwrap_err().to_string(),
                "`x` stands there twice",
            ),
            (parse("a = [").unwrap_err().to_string(), "tree.toml"),
        ] {
            assert!(text.contains(part), "`{part}` is not in {text}");
        }
    }
}
