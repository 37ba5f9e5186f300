//! What a reader must know before believing what a probe says of drawn images: results that fail look like numbers too.

use crate::rates::{Rate, Rates};

/// The share of real images below which a probe's word on a class is worth little.
const RELIABLE: f64 = 0.7;
/// The share of drawn images below which a class counts as not recognised.
const MISSED: f64 = 0.25;
/// Images of a class below which one of them moves a share visibly.
const FEW: usize = 10;

/// Whether the probe knows a class: how often it is right on real images of it.
pub fn is_reliable(real: &Rate) -> bool {
    real.rate.is_some_and(|rate| rate >= RELIABLE)
}

impl Rates {
    /// How many images were taken for each class.
    pub fn answers(&self) -> Vec<usize> {
        let classes = 0..self.confusion.len();
        let taken = |class: usize| self.confusion.iter().map(|row| row[class]).sum();
        classes.map(taken).collect()
    }

    /// What images of a class were taken for most often, and how many of them; none of none. Of equals the class itself,
    /// else the first.
    pub fn mostly(&self, class: usize) -> Option<(usize, usize)> {
        let row = self.confusion.get(class)?;
        let most = row.iter().copied().max().filter(|most| *most > 0)?;
        let first = row.iter().position(|count| *count == most)?;
        Some((if row[class] == most { class } else { first }, most))
    }
}

/// Why the rates of drawn images say less than they seem to, or other than a person sees: a sentence each. `real` are the
/// probe's rates on real images of the same classes.
pub fn doubts(classes: &[String], real: &Rates, drawn: &Rates) -> Vec<String> {
    let failed = failures(classes, drawn);
    let less = [
        few(drawn),
        unknown(classes, real),
        missed(classes, real, drawn),
    ];
    failed
        .into_iter()
        .chain(less.into_iter().flatten())
        .collect()
}

/// Those of them that say that drawn images may show nothing at all.
pub fn failures(classes: &[String], drawn: &Rates) -> Vec<String> {
    let found = [one_answer(classes, drawn), guessing(classes, drawn)];
    found.into_iter().flatten().collect()
}

/// Noise looks like one class: its rate is perfect, and means nothing.
fn one_answer(classes: &[String], drawn: &Rates) -> Option<String> {
    let (all, answers) = (drawn.overall.count, drawn.answers());
    let most = answers.iter().copied().max()?;
    let class = answers.iter().position(|count| *count == most)?;
    // Of few classes one has a large share by right.
    let share = most as f64 / all.max(1) as f64;
    let too_much = share >= 0.5_f64.max(2.5 / classes.len() as f64).min(0.9) && all >= FEW;
    let name = classes.get(class)?;
    (too_much && classes.len() > 1).then(|| {
        format!(
            "The probe takes {most} of all {all} drawn images for `{name}`. Images that show nothing, such as noise, are often all \
             taken for one class: that the rate of `{name}` is {} does not mean that it is drawn well.",
            share_of(&drawn.per_class[class])
        )
    })
}

fn guessing(classes: &[String], drawn: &Rates) -> Option<String> {
    let chance = 1.0 / classes.len().max(1) as f64;
    let rate = drawn.overall.rate?;
    (classes.len() > 1 && drawn.overall.low <= chance).then(|| {
        format!(
            "Drawn images are taken for their class in {rate:.2} of all cases; blind guessing would be right in {chance:.2}. With {} \
             images the difference may be chance.",
            drawn.overall.count
        )
    })
}

fn few(drawn: &Rates) -> Option<String> {
    let counts = drawn.per_class.iter().map(|rate| rate.count);
    let least = counts.filter(|count| *count > 0).min()?;
    (least < FEW).then(|| {
        format!(
            "There are only {least} drawn images of a class: one more or less that is recognised moves its rate by {:.2}.",
            1.0 / least as f64
        )
    })
}

/// Of which classes the probe knows too little, if of any.
pub fn unknown(classes: &[String], real: &Rates) -> Option<String> {
    let names = classes.iter().zip(&real.per_class);
    let weak = names.filter(|(_, rate)| !is_reliable(rate));
    let weak: Vec<String> = weak
        .map(|(name, rate)| format!("`{name}` ({} of {})", rate.hits, rate.count))
        .collect();
    (!weak.is_empty()).then(|| {
        format!(
            "Even on real images the probe is often wrong about {}, right ones in brackets: its word on drawn images of these \
             classes is worth little.",
            listed(&weak)
        )
    })
}

fn missed(classes: &[String], real: &Rates, drawn: &Rates) -> Option<String> {
    let rates = real.per_class.iter().zip(&drawn.per_class);
    let missed = rates.enumerate().filter_map(|(class, (real, drawn_rate))| {
        let low = drawn_rate.rate.is_some_and(|rate| rate < MISSED);
        let (other, count) = drawn.mostly(class)?;
        (is_reliable(real) && low && other != class).then(|| {
            format!(
                "`{}` (taken for `{}` in {count} of {})",
                classes[class], classes[other], drawn_rate.count
            )
        })
    });
    let missed: Vec<String> = missed.collect();
    (!missed.is_empty()).then(|| {
        format!(
            "The probe hardly recognises {}. If you see the class all the same, believe your eyes: it was trained on real, sharp \
             images alone and goes by texture and outline as much as by what is shown, so that soft edges or the seams between \
             patches are enough for another answer.",
            listed(&missed)
        )
    })
}

fn share_of(rate: &Rate) -> String {
    rate.rate
        .map_or_else(|| "unknown".into(), |rate| format!("{rate:.2}"))
}

/// `a`, `b` and `c`; of very many the first.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 8;
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [.., last] if names.len() <= SHOWN => {
            format!("{} and {last}", names[..names.len() - 1].join(", "))
        }
        _ => format!(
            "{} and {} more",
            names[..SHOWN].join(", "),
            names.len() - SHOWN
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["face", "flag", "office", "heart"]
            .map(String::from)
            .to_vec()
    }

    /// `count` images of each class, of which `answer(class, i)` says what they are taken for.
    fn rates(count: usize, answer: impl Fn(usize, usize) -> usize) -> Rates {
        let labels: Vec<usize> = (0..4 * count).map(|i| i / count).collect();
        let said: Vec<usize> = labels
            .iter()
            .enumerate()
            .map(|(i, &l)| answer(l, i % count))
            .collect();
        Rates::new(&labels, &said, 4).unwrap()
    }

    #[test]
    fn good_results_have_no_doubts() {
        let good = rates(12, |class, i| if i < 9 { class } else { (class + i) % 4 });
        assert_eq!(doubts(&names(), &good, &good), [""; 0]);
    }

    /// A run of noise, every image of which is an office to the probe: the rate of offices is perfect.
    #[test]
    fn noise_that_is_all_one_class_is_no_success() {
        let real = rates(12, |class, _| class);
        let noise = rates(12, |_, _| 2);
        assert_eq!(noise.per_class[2].rate, Some(1.0));
        let found = doubts(&names(), &real, &noise).join("\n");
        for part in [
            "takes 48 of all 48 drawn images for `office`",
            "the rate of `office` is 1.00 does not mean that it is drawn well",
            "in 0.25 of all cases; blind guessing would be right in 0.25",
            "`heart` (taken for `office` in 12 of 12)",
        ] {
            assert!(found.contains(part), "`{part}` is not in {found}");
        }
    }

    #[test]
    fn few_images_and_classes_that_the_probe_does_not_know_are_named() {
        let real = rates(12, |class, i| if class == 3 && i > 3 { 0 } else { class });
        let drawn = rates(3, |class, i| if class == 1 { 3 * (i % 2) } else { class });
        let found = doubts(&names(), &real, &drawn).join("\n");
        for part in [
            "only 3 drawn images of a class: one more or less that is recognised moves its rate by 0.33",
            "often wrong about `heart` (4 of 12), right ones in brackets",
            "hardly recognises `flag` (taken for `face` in 2 of 3). If you see the class all the same, believe your eyes",
        ] {
            assert!(found.contains(part), "`{part}` is not in {found}");
        }
        assert!(!found.contains("of all"), "{found}");
    }

    #[test]
    fn answers_are_counted_by_column() {
        let drawn = rates(4, |class, i| if i == 0 { 2 } else { class });
        assert_eq!(drawn.answers(), [3, 3, 7, 3]);
        assert_eq!((drawn.mostly(0), drawn.mostly(9)), (Some((0, 3)), None));
        let none = Rates::new(&[], &[], 4).unwrap();
        assert_eq!(
            (none.mostly(0), doubts(&names(), &drawn, &none).len()),
            (None, 0)
        );
    }
}
