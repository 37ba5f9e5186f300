//! The words of reports: what each means, said once, and links to that from where a page first uses one.

/// A word and what it means.
struct Word {
    /// How it is headed, and where links to it lead.
    name: &'static str,
    anchor: &'static str,
    /// How texts spell it.
    spelled: &'static [&'static str],
    meaning: &'static str,
}

/// All of them, in the order of the list at the end of a page.
const WORDS: &[Word] = &[
    Word {
        name: "learngene",
        anchor: "learngene",
        spelled: &["learngene", "Learngene"],
        meaning: "The part of the model that all classes use. It stays the same whatever is cut off or added later.",
    },
    Word {
        name: "tailor",
        anchor: "tailor",
        spelled: &["tailor", "tailors", "Tailor", "Tailors"],
        meaning: "The small part of the model that belongs to one class and runs only for images of that class. \
                  \u{201c}A wrong tailor\u{201d} is another class's, \u{201c}no tailor\u{201d} is the learngene alone; label and noise stay the same.",
    },
    Word {
        name: "rank split",
        anchor: "rank-split",
        spelled: &["rank split", "Rank split"],
        meaning: "How many components the learngene has, and how many each tailor has, in every matrix: 96,8 means 96 and 8.",
    },
    Word {
        name: "v loss",
        anchor: "v-loss",
        spelled: &["v loss", "v losses"],
        meaning: "How far the model's answer is from the right one, as a mean of squares; lower is better. The right answer, v, is a \
                  mixture of image and noise. A model that knows nothing is at 1 or a little above. Compare only losses of the same images.",
    },
    Word {
        name: "eps loss",
        anchor: "eps-loss",
        spelled: &["eps loss", "epsilon loss"],
        meaning: "The same for the noise alone. It weighs fine detail more.",
    },
    Word {
        name: "guidance",
        anchor: "guidance",
        spelled: &["guidance", "Guidance"],
        meaning: "Each step of a drawing is computed with the class and without, and the difference is exaggerated by this factor. 1 is \
                  none; 2 to 4 makes images more typical and less varied. The branch without a class runs without tailors.",
    },
    Word {
        name: "probe",
        anchor: "probe",
        spelled: &["probe", "Probe"],
        meaning: "A small classifier (ridge regression on the features of EfficientNet-Lite0) that has been trained on real images and \
                  says which class it sees in a drawn one. It is not a person: it can miss a picture that you recognise at once, and the \
                  other way round. Its rate on real images is the most one can hope for.",
    },
    Word {
        name: "95 %",
        anchor: "interval",
        spelled: &[
            "95 % interval",
            "95 % intervals",
            "95 % in brackets",
            "(95 %)",
        ],
        meaning: "An interval that holds the true value in 95 of 100 such measurements. Where the intervals of two numbers overlap \
                  widely, their difference may be chance.",
    },
    Word {
        name: "FD-Lite0",
        anchor: "fd-lite0",
        spelled: &["FD-Lite0"],
        meaning: "A distance between a set of drawn and a set of real images, by the features of EfficientNet-Lite0; lower is better. It \
                  depends on the number of images: compare it within one table alone.",
    },
    Word {
        name: "FID",
        anchor: "fid",
        spelled: &["FID"],
        meaning: "The same distance by the features of InceptionV3.",
    },
    Word {
        name: "KID",
        anchor: "kid",
        spelled: &["KID", "KID-Lite0"],
        meaning: "Another distance between sets of images, which depends less on their number; lower is better.",
    },
    Word {
        name: "precision and density, recall and coverage",
        anchor: "reach",
        spelled: &[
            "precision-Lite0",
            "recall-Lite0",
            "precision and density",
            "recall and coverage",
        ],
        meaning: "Precision and density say how many drawn images lie near real ones; recall and coverage how much of the variety of \
                  real images the drawn ones reach.",
    },
    Word {
        name: "MACs",
        anchor: "macs",
        spelled: &["MACs"],
        meaning: "Multiply-accumulates: the arithmetic of one pass of one image through the model.",
    },
];

/// The page's body with the first use of each word as a link, and the list of these words; nothing where there is none.
/// Headings and drawings stay as they are.
pub(super) fn with_words(body: &str) -> (String, String) {
    let mut linked = String::with_capacity(body.len() + 4096);
    let mut open: Vec<&Word> = WORDS.iter().collect();
    let mut rest = body;
    let mut mute = 0_usize;
    while !rest.is_empty() {
        let (text, tag) = rest.split_at(rest.find('<').unwrap_or(rest.len()));
        match mute {
            0 => link(text, &mut open, &mut linked),
            _ => linked += text,
        }
        let (tag, after) = tag.split_at(tag.find('>').map_or(tag.len(), |end| end + 1));
        linked += tag;
        let is = |start: &str| {
            ["h1", "h2", "svg", "a "]
                .iter()
                .any(|name| tag.starts_with(&format!("{start}{}", name.trim_end())))
        };
        if is("</") {
            mute = mute.saturating_sub(1);
        } else if is("<") {
            mute += 1;
        }
        rest = after;
    }
    let used = WORDS
        .iter()
        .filter(|word| !open.iter().any(|o| o.anchor == word.anchor));
    let entry = |word: &Word| {
        format!(
            "<div id=\"word-{}\"><dt>{}</dt><dd>{}</dd></div>\n",
            word.anchor, word.name, word.meaning
        )
    };
    let entries: String = used.map(entry).collect();
    let list = match entries.is_empty() {
        true => String::new(),
        false => {
            format!("<section class=\"words\">\n<h2>Words</h2>\n<dl>\n{entries}</dl>\n</section>\n")
        }
    };
    (linked, list)
}

/// A text with the first use of each open word as a link; such words are open no longer.
fn link(text: &str, open: &mut Vec<&Word>, out: &mut String) {
    let mut rest = text;
    loop {
        let uses = open.iter().enumerate().filter_map(|(number, word)| {
            let (at, length) = first_use(rest, word.spelled)?;
            // The earliest, and of those that start together the longest.
            Some((at, std::cmp::Reverse(length), number))
        });
        let Some((at, std::cmp::Reverse(length), number)) = uses.min() else {
            break;
        };
        let word = open.remove(number);
        let (before, from) = rest.split_at(at);
        let (used, after) = from.split_at(length);
        *out += &format!("{before}<a href=\"#word-{}\">{used}</a>", word.anchor);
        rest = after;
    }
    *out += rest;
}

/// Place and length of the first whole use of one of these spellings.
fn first_use(text: &str, spelled: &[&str]) -> Option<(usize, usize)> {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '-';
    let whole = |at: usize, length: usize| {
        let before = text[..at].chars().next_back();
        let after = text[at + length..].chars().next();
        !before.is_some_and(part_of_word) && !after.is_some_and(part_of_word)
    };
    let each = spelled.iter().filter_map(|spelling| {
        let mut uses = text.match_indices(spelling).map(|(at, _)| at);
        Some((uses.find(|&at| whole(at, spelling.len()))?, spelling.len()))
    });
    each.min_by_key(|&(at, length)| (at, std::cmp::Reverse(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_use_of_a_word_is_a_link_to_what_it_means() {
        let body = "<h2>The probe</h2><p title=\"v loss\">A tailored probed FD-Lite0-like v loss, the v loss.</p>\
                    <svg><text>guidance</text></svg><p>KID-Lite0 by the probe, a probe.</p>";
        let (linked, list) = with_words(body);
        assert_eq!(
            linked,
            "<h2>The probe</h2><p title=\"v loss\">A tailored probed FD-Lite0-like <a href=\"#word-v-loss\">v loss</a>, the v loss.</p>\
             <svg><text>guidance</text></svg><p><a href=\"#word-kid\">KID-Lite0</a> by the <a href=\"#word-probe\">probe</a>, a probe.</p>"
        );
        let ids: Vec<&str> = list
            .split("id=\"word-")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
            .collect();
        assert_eq!(ids, ["v-loss", "probe", "kid"]);
        assert_eq!(
            with_words("<p>nothing</p>"),
            ("<p>nothing</p>".to_owned(), String::new())
        );
    }

    #[test]
    fn every_word_has_a_place_of_its_own_and_explains_itself() {
        let mut anchors: Vec<&str> = WORDS.iter().map(|word| word.anchor).collect();
        anchors.sort_unstable();
        anchors.dedup();
        assert_eq!(anchors.len(), WORDS.len());
        for word in WORDS {
            assert!(
                word.meaning.len() > 40 && word.meaning.ends_with('.'),
                "{}",
                word.name
            );
            assert!(!word.meaning.contains(['<', '>', '&']), "{}", word.name);
            for spelling in word.spelled {
                let (_, list) = with_words(&format!("<p>{spelling}</p>"));
                assert!(
                    list.contains(&format!("id=\"word-{}\"", word.anchor)),
                    "{spelling}"
                );
            }
        }
    }
}
