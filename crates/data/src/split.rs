//! Train, validation and test: names, and the rule for images that come without.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Which part of a data set an image belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// What weights are trained on.
    Train,
    /// What choices are made on while training.
    Val,
    /// What is reported in the end.
    Test,
}

impl Split {
    /// All three, in order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    /// `train`, `val` or `test`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }

    /// The split that a folder or file of this name holds.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "train" | "training" => Some(Self::Train),
            "val" | "valid" | "validation" | "dev" => Some(Self::Val),
            "test" | "testing" | "eval" | "evaluation" => Some(Self::Test),
            _ => None,
        }
    }

    /// The split that a file's name says, as Hugging Face's `datasets` finds it: one of the names above between signs that
    /// are no letters, `imagenet-train-0003.tar`. What stands in front counts most; two different ones say nothing.
    pub(crate) fn in_name(name: &str) -> Option<Self> {
        let mut words = name.split(|c: char| !c.is_alphabetic());
        let front = name.split(['-', '.']).next();
        if let Some(split) = front.and_then(Self::from_name) {
            return Some(split);
        }
        let first = words.find_map(Self::from_name)?;
        let same = words
            .filter_map(Self::from_name)
            .all(|split| split == first);
        same.then_some(first)
    }
}

/// One image as the rule sees it.
pub(crate) struct Item<'a> {
    pub id: &'a str,
    pub class: usize,
    pub official: Option<Split>,
}

/// Which parts of the images without an official split validate and test; what is left trains.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Shares {
    /// To validate on; a tenth if nothing is said.
    pub val: Option<f64>,
    /// To test on; a tenth if nothing is said.
    pub test: Option<f64>,
}

impl Shares {
    const DEFAULT: f64 = 0.1;

    /// # Errors
    /// A share that is none, or shares that leave nothing to train on.
    pub(crate) fn validate(self) -> Result<()> {
        for (name, share) in [
            ("the validation share", self.val),
            ("the test share", self.test),
        ] {
            if let Some(share) = share.filter(|share| !(0.0..1.0).contains(share)) {
                return Err(Error::Setting {
                    name,
                    value: share.to_string(),
                    expected: "a part of the images, from 0 to below 1 (--val 0.1 --test 0)".into(),
                });
            }
        }
        let (val, test) = self.filled();
        if val + test < 1.0 {
            return Ok(());
        }
        Err(Error::Setting {
            name: "the shares of validation and test",
            value: format!("{val} and {test}"),
            expected: "less than 1 together, so that something is left to train on".into(),
        })
    }

    fn filled(self) -> (f64, f64) {
        let or_default = |share: Option<f64>| share.unwrap_or(Self::DEFAULT);
        (or_default(self.val), or_default(self.test))
    }
}

/// How the images of a source come into their splits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rule {
    official: [bool; 3],
    /// Whether any image has no official split.
    without: bool,
    shares: Shares,
}

impl Rule {
    pub(crate) fn of(officials: impl Iterator<Item = Option<Split>>, shares: Shares) -> Self {
        let mut rule = Self {
            official: [false; 3],
            without: false,
            shares,
        };
        for official in officials {
            match official {
                Some(split) => rule.official[split as usize] = true,
                None => rule.without = true,
            }
        }
        rule
    }

    /// Shares of validation and test that are taken from the official training part: where there is no such part of its
    /// own. A test share only where one is asked for.
    fn of_train(self) -> (f64, f64) {
        let [train, val, test] = self.official;
        let none_unless = |wanted: bool, share: f64| if wanted { share } else { 0.0 };
        (
            none_unless(train && !val, self.shares.val.unwrap_or(Shares::DEFAULT)),
            none_unless(train && !test, self.shares.test.unwrap_or(0.0)),
        )
    }

    /// What is done, in a sentence a person reads.
    pub(crate) fn text(self) -> String {
        let per_cent = |share: f64| {
            let number = format!("{:.2}", 100.0 * share);
            number
                .trim_end_matches('0')
                .trim_end_matches('.')
                .to_owned()
        };
        let (val, test) = self.shares.filled();
        let dealt = format!(
            "{}/{}/{} (train, validation, test) by a hash of the name; --val and --test set the shares",
            per_cent(1.0 - (val + test)),
            per_cent(val),
            per_cent(test)
        );
        let [_, has_val, has_test] = self.official;
        if self.official == [false; 3] {
            return format!("flat set: split {dealt}");
        }
        let names = Split::ALL
            .iter()
            .filter(|split| self.official[**split as usize]);
        let names: Vec<&str> = names.map(|split| split.name()).collect();
        let mut text = format!("the source's own ({})", names.join(", "));
        let (val, test) = self.of_train();
        for (share, split, option) in [(val, "validation", "--val"), (test, "test", "--test")] {
            if share > 0.0 {
                let share = per_cent(share);
                text += &format!(
                    "; {share} % of train become {split}, by a hash of the name ({option})"
                );
            }
        }
        for (asked, has, option) in [
            (self.shares.val, has_val, "--val"),
            (self.shares.test, has_test, "--test"),
        ] {
            if asked.is_some() && has {
                text += &format!("; {option} changes nothing there");
            }
        }
        if self.without {
            text += &format!("; images without one are split {dealt}");
        }
        text
    }

    /// The split of an image, and whether the rule and not the source decides it.
    fn split(self, official: Option<Split>, position: f64) -> (Split, bool) {
        let (val, test) = match official {
            Some(Split::Train) => self.of_train(),
            Some(official) => return (official, false),
            None => self.shares.filled(),
        };
        if position < 1.0 - (val + test) {
            (Split::Train, true)
        } else if position < 1.0 - test {
            (Split::Val, true)
        } else {
            (Split::Test, true)
        }
    }
}

/// Gives every image its split.
///
/// * An official split is kept; where there is an official training part but no validation part, a share of the former
///   becomes validation.
/// * Without an official split, 80 % train, 10 % validate, 10 % test, or as the shares say.
/// * Both go by a hash of the image's id, so an image stays where it is when others come or go.
/// * A class whose images without official split all fell outside train keeps the one with the smallest hash for
///   training: a class with a single image trains on it and has neither validation nor test images.
pub(crate) fn assign(items: &[Item<'_>], classes: usize, shares: Shares) -> (Vec<Split>, Rule) {
    let rule = Rule::of(items.iter().map(|item| item.official), shares);
    let mut has_train = vec![false; classes];
    let mut fallback: Vec<Option<(f64, usize)>> = vec![None; classes];
    let mut splits: Vec<Split> = Vec::with_capacity(items.len());
    for (number, item) in items.iter().enumerate() {
        let position = hash_fraction(item.id);
        let (split, movable) = rule.split(item.official, position);
        if split == Split::Train {
            has_train[item.class] = true;
        } else if movable && fallback[item.class].is_none_or(|(best, _)| position < best) {
            fallback[item.class] = Some((position, number));
        }
        splits.push(split);
    }
    for (class, fallback) in fallback.into_iter().enumerate() {
        if let (false, Some((_, number))) = (has_train[class], fallback) {
            splits[number] = Split::Train;
        }
    }
    (splits, rule)
}

/// A number in [0, 1) that depends on the id alone.
fn hash_fraction(id: &str) -> f64 {
    let hash = blake3::hash(id.as_bytes());
    let head = hash.as_bytes()[..6]
        .iter()
        .fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    head as f64 / (1u64 << 48) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned(
        ids: &[String],
        class_of: impl Fn(usize) -> usize,
        official: Option<Split>,
    ) -> Vec<Split> {
        let items: Vec<Item<'_>> = ids
            .iter()
            .enumerate()
            .map(|(n, id)| Item {
                id,
                class: class_of(n),
                official,
            })
            .collect();
        assign(&items, 2, Shares::default()).0
    }

    fn ids(count: usize) -> Vec<String> {
        (0..count)
            .map(|number| format!("class/{number}.png"))
            .collect()
    }

    fn share(splits: &[Split], split: Split) -> f64 {
        splits.iter().filter(|other| **other == split).count() as f64 / splits.len() as f64
    }

    // Standard errors with 10,000 images: 0.004 and 0.003.
    #[test]
    fn images_without_split_go_80_10_10() {
        let splits = assigned(&ids(10_000), |_| 0, None);
        assert!((share(&splits, Split::Train) - 0.8).abs() < 0.016);
        assert!((share(&splits, Split::Val) - 0.1).abs() < 0.012);
        assert!((share(&splits, Split::Test) - 0.1).abs() < 0.012);
    }

    #[test]
    fn an_image_keeps_its_split_when_others_go() {
        let ids = ids(100);
        let all = assigned(&ids, |_| 0, None);
        let even: Vec<String> = ids.iter().step_by(2).cloned().collect();
        let some = assigned(&even, |_| 0, None);
        assert_eq!(some, all.into_iter().step_by(2).collect::<Vec<_>>());
    }

    #[test]
    fn official_train_without_validation_is_divided() {
        let splits = assigned(&ids(10_000), |_| 0, Some(Split::Train));
        assert!((share(&splits, Split::Val) - 0.1).abs() < 0.012);
        assert_eq!(share(&splits, Split::Test), 0.0);
        let mut items = vec![Item {
            id: "v",
            class: 0,
            official: Some(Split::Val),
        }];
        let ids = ids(1000);
        items.extend(ids.iter().map(|id| Item {
            id,
            class: 0,
            official: Some(Split::Train),
        }));
        assert!(
            assign(&items, 1, Shares::default()).0[1..]
                .iter()
                .all(|split| *split == Split::Train)
        );
    }

    #[test]
    fn a_single_image_of_a_class_is_for_training() {
        for number in 0..50 {
            let ids = vec![format!("{number}")];
            assert_eq!(assigned(&ids, |_| 1, None), [Split::Train]);
        }
        // An official test image is never trained on.
        assert_eq!(assigned(&ids(1), |_| 0, Some(Split::Test)), [Split::Test]);
    }

    #[test]
    fn shares_are_those_asked_for_and_the_rest_stays() {
        let ids = ids(10_000);
        let with = |val, test, official| {
            let items: Vec<Item<'_>> = (ids.iter())
                .map(|id| Item {
                    id,
                    class: 0,
                    official,
                })
                .collect();
            assign(&items, 1, Shares { val, test })
        };
        let (plain, rule) = with(None, None, None);
        assert!(rule.text().contains("split 80/10/10"), "{}", rule.text());
        assert_eq!(with(Some(0.1), Some(0.1), None).0, plain);
        let (more, _) = with(Some(0.3), None, None);
        assert!((share(&more, Split::Val) - 0.3).abs() < 0.02);
        for (before, after) in plain.iter().zip(&more) {
            assert_eq!(*before == Split::Test, *after == Split::Test);
            assert!(*before != Split::Val || *after == Split::Val);
        }
        let (all, rule) = with(Some(0.0), Some(0.0), None);
        assert_eq!(share(&all, Split::Train), 1.0);
        assert!(rule.text().contains("split 100/0/0"), "{}", rule.text());
        // An official training part gives what is asked of it.
        let train = Some(Split::Train);
        assert_eq!(share(&with(Some(0.0), None, train).0, Split::Train), 1.0);
        let (divided, rule) = with(Some(0.2), Some(0.1), train);
        assert!((share(&divided, Split::Val) - 0.2).abs() < 0.02);
        assert!((share(&divided, Split::Test) - 0.1).abs() < 0.012);
        assert!(rule.text().contains("20 % of train"), "{}", rule.text());
        let (tested, rule) = with(None, Some(0.5), Some(Split::Test));
        assert_eq!(share(&tested, Split::Test), 1.0);
        assert!(
            rule.text().contains("--test changes nothing"),
            "{}",
            rule.text()
        );
        for (val, test) in [(-0.1, 0.1), (f64::NAN, 0.0), (0.5, 0.5), (1.0, 0.0)] {
            let (val, test) = (Some(val), Some(test));
            assert!(Shares { val, test }.validate().is_err(), "{val:?} {test:?}");
        }
        let nine = Shares {
            val: Some(0.89),
            test: None,
        };
        assert!(nine.validate().is_ok());
    }

    // What datasets 5.2.0 makes of these names: datasets.data_files.get_data_patterns(folder), and by hand for one word alone.
    #[test]
    fn a_split_stands_in_a_name() {
        for (name, split) in [
            ("imagenet-train-0000.tar", Some(Split::Train)),
            ("imagenet-validation-00.tar", Some(Split::Val)),
            ("train-00000-of-00001.parquet", Some(Split::Train)),
            ("my_test.tar", Some(Split::Test)),
            ("dev3.tar", Some(Split::Val)),
            ("eval.0.tar", Some(Split::Test)),
            ("trainstation.tar", None),
            ("latest-0.tar", None),
            ("a-train-test.tar", None),
            ("shard-000001.tar", None),
        ] {
            assert_eq!(Split::in_name(name), split, "{name}");
        }
    }
}
