//! What the pages name exists: verbs, options, settings, links.

use crate::common::{SMALL, fails, succeeds};
use crate::pages::{self, arguments, commands, root, spans, text};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// README may have so many lines: it is read in two minutes or not at all.
const LINES_OF_README: usize = 100;

/// Options of other programs that the pages name.
const FOREIGN: &[&str] = &["--release", "--workspace", "--features", "--check"];

/// Options that exist only with the feature `hub`.
const OF_HUB: &[&str] = &["--private", "--dry-run", "--revision", "--message"];

/// The keys of a section of the configuration, from the error that an unknown one is answered with.
fn keys(folder: &Path, section: &str) -> BTreeSet<String> {
    let unknown = format!("{section}.nonsense=1");
    let args = [&["pretrain", "--out", "run", "--set", &unknown], SMALL].concat();
    let said = fails(folder, &args, 2, &["unknown field `nonsense`"]);
    let names = said.split('`').skip(1).step_by(2);
    names.map(String::from).collect()
}

#[test]
fn every_setting_that_a_page_names_exists() {
    let folder = tempfile::tempdir().unwrap();
    let help = succeeds(folder.path(), &["transfer", "--help"]);
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for page in pages::all() {
        for word in spans(&text(&page)).into_iter().flatten() {
            let setting = word.split('=').next().unwrap();
            let Some((section, key)) = setting.rsplit_once('.') else {
                continue;
            };
            let exists = match section {
                "method" => help.contains(&format!("method.{key}=")),
                "train" | "train.trainable" | "train.objective" => known
                    .entry(section.into())
                    .or_insert_with(|| keys(folder.path(), section))
                    .contains(key),
                _ => true,
            };
            if !exists {
                wrong.push(format!("{page}: there is no setting `{setting}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every verb, of two words where there are two, with its help.
fn helps(folder: &Path) -> BTreeMap<String, String> {
    let listed = |help: &str| -> Vec<String> {
        let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        let lines = lines.take_while(|line| !line.is_empty());
        let lines = lines.filter(|line| !line.starts_with("   "));
        let verbs = lines.map(|line| line.split_whitespace().next().unwrap().to_owned());
        verbs.filter(|verb| verb != "help").collect()
    };
    let mut helps = BTreeMap::new();
    for verb in listed(&succeeds(folder, &["-h"])) {
        for second in listed(&succeeds(folder, &[&verb, "-h"])) {
            let help = succeeds(folder, &[&verb, &second, "--help"]);
            helps.insert(format!("{verb} {second}"), help);
        }
        let help = succeeds(folder, &[&verb, "--help"]);
        helps.insert(verb, help);
    }
    helps
}

/// The long options in a text.
fn options(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let words = text.split(|c: char| !is_name(c));
    let words = words.filter(|word| word.starts_with("--") && word.len() > 3);
    words.map(String::from).collect()
}

#[test]
fn every_verb_and_option_that_a_page_names_exists() {
    let folder = tempfile::tempdir().unwrap();
    let helps = helps(folder.path());
    let of = |verb: &str| helps.get(verb).map(|help| options(help));
    let mut all: BTreeSet<String> = helps.values().flat_map(|help| options(help)).collect();
    assert!(all.contains("--rank-split") && helps.contains_key("data inspect"));
    all.extend(FOREIGN.iter().map(ToString::to_string));
    let hub = helps.contains_key("hub");
    if !hub {
        all.extend(OF_HUB.iter().map(ToString::to_string));
    }

    let mut wrong = Vec::new();
    for page in pages::all() {
        let text = text(&page);
        for command in commands(&text).into_iter().chain(spans(&text)) {
            let line = command.join(" ");
            let short =
                Some(&command[..]).filter(|c| helps.contains_key(&c[0]) && line.contains(" --"));
            let known = match arguments(&command).or(short) {
                None if line.starts_with("--") => all.clone(),
                Some([verb, ..]) if verb == "hub" && !hub => continue,
                Some([verb, rest @ ..]) if verb.chars().all(|c| c.is_ascii_lowercase()) => {
                    let second = rest.first().map(|second| format!("{verb} {second}"));
                    let Some(known) = second.and_then(|two| of(&two)).or_else(|| of(verb)) else {
                        wrong.push(format!("{page}: there is no verb `{verb}`"));
                        continue;
                    };
                    known
                }
                _ => continue,
            };
            let words = arguments(&command).unwrap_or(&command);
            let named = options(&words.join(" "));
            let unknown = named.difference(&known);
            wrong.extend(unknown.map(|option| format!("{page}: there is no {option} in `{line}`")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The anchors of a page.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut code = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        code ^= line.starts_with("```");
        if let (false, Some(heading)) = (code, line.strip_prefix('#')) {
            let plain = anchor(heading.trim_start_matches('#'));
            let numbered = (1..).map(|n| format!("{plain}-{n}"));
            let mut free = std::iter::once(plain.clone()).chain(numbered);
            found.extend(free.find(|anchor| !found.contains(anchor)));
        }
    }
    found
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let root = root();
    let more = ["CHANGELOG.md", "benches/README.md", "fuzz/README.md"];
    let mut wrong = Vec::new();
    for page in pages::all().into_iter().chain(more.map(String::from)) {
        let text = text(&page);
        let links = text.split("](").skip(1);
        let links = links.map(|rest| rest.split(')').next().unwrap());
        for link in links.filter(|link| !link.contains("://") && !link.contains(' ')) {
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let page = root.join(&page);
            let target = match path {
                "" => page.clone(),
                path => page.parent().unwrap().join(path),
            };
            let there = target.exists()
                && (heading.is_empty()
                    || anchors(&fs::read_to_string(&target).unwrap()).contains(heading));
            if !there {
                wrong.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn readme_is_short_and_says_what_help_and_package_say() {
    let readme = text("README.md");
    let lines = readme.lines().count();
    assert!(lines <= LINES_OF_README, "README has {lines} lines");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let readme = words(&readme);
    let folder = tempfile::tempdir().unwrap();
    let help = succeeds(folder.path(), &["--help"]);
    let (about, _) = help.split_once("Usage:").unwrap();
    assert!(
        readme.contains(&words(about)),
        "README does not say `{about}`"
    );
    let description = env!("CARGO_PKG_DESCRIPTION");
    assert!(words(about).starts_with(description), "{description}");
}
