//! The pages, and what stands in them.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the repository.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.join("../..").canonicalize().unwrap()
}

pub fn text(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap()
}

/// The pages at the top, and all of docs/.
pub fn all() -> Vec<String> {
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let names = docs.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages = names.filter(|name| name.ends_with(".md"));
    let mut pages: Vec<String> = pages.map(|name| format!("docs/{name}")).collect();
    pages.sort();
    let top = [
        "README.md",
        "CONTRIBUTING.md",
        "ARCHITECTURE.md",
        "SECURITY.md",
    ];
    top.map(String::from).into_iter().chain(pages).collect()
}

/// The blocks of a language.
pub fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let blocks = text.split(&fence).skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect()
}

/// The words of every command in blocks of `sh` and in indented ones: continued lines joined, comments left out.
pub fn commands(text: &str) -> Vec<Vec<String>> {
    let indented = text.lines().filter_map(|line| line.strip_prefix("    "));
    let indented: String = indented.map(|line| format!("{line}\n")).collect();
    let lines = (blocks(text, "sh").concat() + &indented).replace("\\\n", " ");
    let lines = lines.lines().map(|line| line.split(" #").next().unwrap());
    let words = lines.map(|line| line.split_whitespace().map(String::from).collect());
    words
        .filter(|words: &Vec<String>| !words.is_empty())
        .collect()
}

/// The words of everything in single backticks.
pub fn spans(text: &str) -> Vec<Vec<String>> {
    let mut code = false;
    let mut prose = String::new();
    for line in text.lines() {
        code ^= line.trim_start().starts_with("```");
        if !code && !line.trim_start().starts_with("```") && !line.starts_with("    ") {
            prose += line;
            prose.push('\n');
        }
    }
    let spans = prose.split('`').skip(1).step_by(2);
    let words = spans.map(|span| span.split_whitespace().map(String::from).collect());
    words
        .filter(|words: &Vec<String>| !words.is_empty())
        .collect()
}

/// What follows the program's name, or `--` where cargo runs it.
pub fn arguments(command: &[String]) -> Option<&[String]> {
    let cargo = ["cargo", "run", "--release"];
    if command[0] == "learngene" {
        return Some(&command[1..]).filter(|rest| !rest.is_empty());
    }
    let ours = command.len() > cargo.len() && cargo.iter().zip(command).all(|(a, b)| a == b);
    let from = command.iter().position(|word| word == "--")?;
    Some(&command[from + 1..]).filter(|rest| ours && !rest.is_empty())
}
