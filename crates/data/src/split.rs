//! Train, validation and test: names, and the rule for images that come without.

use serde::{Deserialize, Serialize};

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
            "val" | "valid" | "validation" => Some(Self::Val),
            "test" | "testing" => Some(Self::Test),
            _ => None,
        }
    }
}

/// One image as the rule sees it.
pub(crate) struct Item<'a> {
    pub id: &'a str,
    pub class: usize,
    pub official: Option<Split>,
}

/// Gives every image its split.
///
/// * An official split is kept; where there is an official training part but no validation part, a tenth of the former
///   becomes validation.
/// * Without an official split, 80 % train, 10 % validate, 10 % test.
/// * Both go by a hash of the image's id, so an image stays where it is when others come or go.
/// * A class whose images without official split all fell outside train keeps the one with the smallest hash for
///   training: a class with a single image trains on it and has neither validation nor test images.
pub(crate) fn assign(items: &[Item<'_>], classes: usize) -> Vec<Split> {
    let has = |split| items.iter().any(|item| item.official == Some(split));
    let divide_train = has(Split::Train) && !has(Split::Val);
    let mut has_train = vec![false; classes];
    let mut fallback: Vec<Option<(f64, usize)>> = vec![None; classes];
    let mut splits: Vec<Split> = Vec::with_capacity(items.len());
    for (number, item) in items.iter().enumerate() {
        let position = hash_fraction(item.id);
        let (split, movable) = match item.official {
            Some(Split::Train) if divide_train => (
                if position < 0.9 {
                    Split::Train
                } else {
                    Split::Val
                },
                true,
            ),
            Some(official) => (official, false),
            None if position < 0.8 => (Split::Train, true),
            None if position < 0.9 => (Split::Val, true),
            None => (Split::Test, true),
        };
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
    splits
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
        assign(&items, 2)
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
            assign(&items, 1)[1..]
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
}
