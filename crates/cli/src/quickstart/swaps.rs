//! What exchanging tailors does, as pictures and sentences; `inspect --diversion` shows the same.

use super::Verdict;
use crate::failure::Result;
use learngene_data::{Image, image::encode_png};
use learngene_eval::report::{Block, Gallery, Png, Table};
use learngene_eval::{Rate, Rates, doubts};

/// Guidance of the images that are shown.
pub const STRIP: f64 = 2.0;
/// Images of a kind in a row, and rows, that a page shows on top.
const ABREAST: usize = 2;
const ROWS: usize = 12;

/// The verdict on images of that gate, drawn with that guidance.
pub fn of<'a>(verdicts: &'a [Verdict], gate: &str, guidance: f64) -> Option<&'a Verdict> {
    verdicts
        .iter()
        .find(|v| v.gate == gate && v.guidance == guidance)
}

/// Real images of each class beside drawn ones with its tailor, without and with another's, all from the same noise.
pub fn gallery(classes: &[String], real: &[Vec<Image>], verdicts: &[Verdict]) -> Result<Gallery> {
    let gates = [
        ("its own tailor", "right tailor"),
        ("no tailor", "no tailor"),
        ("another's tailor", "wrong tailor"),
    ];
    let shown = gates.map(|(head, gate)| {
        (
            head,
            of(verdicts, gate, STRIP).map_or(&[][..], |v| &v.shown[..]),
        )
    });
    let sets = [("real images", real)].into_iter().chain(shown);
    let sets: Vec<(&str, &[Vec<Image>])> = sets.collect();
    let longest = sets.iter().flat_map(|set| set.1).map(Vec::len).max();
    let each = longest.unwrap_or(0).min(ABREAST);
    let row = |(class, name): (usize, &String)| {
        let images = sets
            .iter()
            .map(|(_, set)| set.get(class).map_or(&[][..], |i| &i[..]));
        Ok((name.clone(), aligned(images, each)?))
    };
    let more = classes.len().saturating_sub(ROWS);
    let rest = match more {
        0 => String::new(),
        more => format!(" The first {ROWS} classes; {more} more are left out here."),
    };
    Ok(Gallery {
        caption: format!(
            "Along a row all drawn images have the label of the row, and matching columns start from the same noise: only the tailor \
             is another one. Another's is that of the class in the next row, of the last class that of the first. Guidance \
             {STRIP}.{rest}"
        ),
        columns: sets
            .iter()
            .flat_map(|(head, _)| vec![(*head).to_owned(); each])
            .collect(),
        rows: classes
            .iter()
            .enumerate()
            .take(ROWS)
            .map(row)
            .collect::<Result<_>>()?,
    })
}

/// So many pictures of each set; where a set has fewer, white ones stand in, so that columns stay columns.
pub fn aligned<'a>(sets: impl IntoIterator<Item = &'a [Image]>, each: usize) -> Result<Vec<Png>> {
    let mut pictures = Vec::new();
    for set in sets {
        for i in 0..each {
            let blank = || Image::filled(1, 1, &[255]);
            pictures.push(png(set.get(i).unwrap_or(&blank()))?);
        }
    }
    Ok(pictures)
}

pub fn png(image: &Image) -> Result<Png> {
    Ok(Png::new(encode_png(image)?)?)
}

/// What one sees above, with the probe's numbers, and nothing more than these show.
pub fn sentence(verdicts: &[Verdict]) -> String {
    let at = |gate| of(verdicts, gate, STRIP);
    let (Some(own), Some(none), Some(wrong)) =
        (at("right tailor"), at("no tailor"), at("wrong tailor"))
    else {
        return String::new();
    };
    let number = |rate: &Rate| {
        rate.rate
            .map_or_else(|| "none".into(), |r| format!("{r:.2}"))
    };
    let of_label = |v: &Verdict| number(&v.label.overall);
    let of_tailor = wrong.tailor.as_ref().map(|rates| rates.overall);
    let counted = match &of_tailor {
        Some(rate) => format!(
            "With its own tailor, {} of the drawn images are taken for their class by the probe, without a tailor {}; with \
             another's tailor {} are taken for the class of that tailor and {} for that of the label.",
            of_label(own),
            of_label(none),
            number(rate),
            of_label(wrong)
        ),
        None => format!(
            "With its own tailor, {} of the drawn images are taken for their class by the probe, without a tailor {}.",
            of_label(own),
            of_label(none)
        ),
    };
    let matters = own.label.overall.low > none.label.overall.high;
    let follows = of_tailor.is_some_and(|rate| rate.low > wrong.label.overall.high);
    let seen = match (matters, follows) {
        (true, true) => {
            "Exchange the tailor, and the model draws the other class from the same noise."
        }
        (true, false) => "Without its tailor a class is hardly drawn any more.",
        (false, true) => "With another's tailor, images follow the tailor more than the label.",
        (false, false) => {
            "These images do not show that the tailors decide what is drawn: after a short training, and in few images, chance \
             can be as large as what they do."
        }
    };
    format!("{seen} {counted}")
}

/// The probe's rates beside real images, and why to believe them or not.
pub fn probe(
    caption: &str,
    classes: &[String],
    real: &Rates,
    verdicts: &[Verdict],
    gate: &str,
) -> Vec<Block> {
    let of_gate: Vec<&Verdict> = verdicts.iter().filter(|v| v.gate == gate).collect();
    let names: Vec<(String, &Rates)> = of_gate
        .iter()
        .map(|v| (format!("drawn, guidance {}", v.guidance), &v.label))
        .collect();
    let sets: Vec<(&str, &Rates)> = names
        .iter()
        .map(|(name, rates)| (&name[..], *rates))
        .collect();
    let table = Block::Table(Table::of_probe(caption, classes, real, &sets));
    let last = of_gate.last().map(|v| doubts(classes, real, &v.label));
    let doubts = last.into_iter().flatten().map(Block::Text);
    std::iter::once(table).chain(doubts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of eight images of each of two classes, so many are taken for their label, and for the class of a swapped tailor.
    fn verdict(gate: &'static str, right: usize, tailor: Option<usize>) -> Verdict {
        let rates = |right: usize| {
            let labels: Vec<usize> = (0..16).map(|i| i / 8).collect();
            let said: Vec<usize> = (0..16)
                .map(|i| if i % 8 < right { i / 8 } else { 1 - i / 8 })
                .collect();
            Rates::new(&labels, &said, 2).unwrap()
        };
        Verdict {
            gate,
            guidance: STRIP,
            label: rates(right),
            tailor: tailor.map(rates),
            shown: vec![vec![Image::filled(2, 2, &[9]); 3]; 2],
        }
    }

    #[test]
    fn the_sentence_says_no_more_than_the_numbers_show() {
        let all = |own, none, wrong, tailor| {
            [
                verdict("right tailor", own, None),
                verdict("no tailor", none, None),
                verdict("wrong tailor", wrong, Some(tailor)),
            ]
        };
        let clear = sentence(&all(8, 2, 0, 8));
        assert!(
            clear.starts_with("Exchange the tailor, and")
                && clear.contains("1.00 of the drawn images"),
            "{clear}"
        );
        assert!(
            clear.contains("without a tailor 0.25")
                && clear.contains("and 0.00 for that of the label"),
            "{clear}"
        );
        let none = sentence(&all(4, 4, 4, 4));
        assert!(none.starts_with("These images do not show"), "{none}");
        assert!(sentence(&all(8, 2, 4, 4)).starts_with("Without its tailor"));
        assert_eq!(sentence(&[]), "");
    }

    #[test]
    fn a_gallery_keeps_its_columns_where_real_images_are_missing() {
        let names = ["a", "b"].map(String::from);
        let real = [vec![Image::filled(2, 2, &[1]); 5], Vec::new()];
        let verdicts = [
            verdict("right tailor", 8, None),
            verdict("no tailor", 8, None),
            verdict("wrong tailor", 8, Some(0)),
        ];
        let found = gallery(&names, &real, &verdicts).unwrap();
        assert_eq!(found.columns.len(), 8);
        assert!(found.rows.iter().all(|(_, pictures)| pictures.len() == 8));
        assert_eq!(found.rows[1].1[0].size(), (1, 1));
    }
}
