//! Names of repositories.

use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// Characters that each part of a name may have at most, as the Hub's Python client checks it (`validate_repo_id`).
const MOST: usize = 96;

/// A repository of a model, `OWNER/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoId {
    owner: String,
    name: String,
}

impl RepoId {
    /// The user or organisation.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The name without its owner.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl FromStr for RepoId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = |reason: String| Error::Repo {
            found: text.to_owned(),
            reason,
        };
        let (owner, name) = text
            .split_once('/')
            .ok_or_else(|| refused("it has no owner".into()))?;
        for part in [owner, name] {
            if let Some(reason) = wrong_with(part) {
                return Err(refused(reason));
            }
        }
        Ok(Self {
            owner: owner.into(),
            name: name.into(),
        })
    }
}

fn wrong_with(part: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if let Some(c) = part.chars().find(|&c| !allowed(c)) {
        Some(format!(
            "{c:?} is none of letters, digits, `-`, `_` and `.`"
        ))
    } else if part.is_empty() || part.len() > MOST {
        Some(format!("each part has 1 to {MOST} characters"))
    } else if part.starts_with(['-', '.']) || part.ends_with(['-', '.']) {
        Some("no part begins or ends with `-` or `.`".into())
    } else if part.contains("--") || part.contains("..") {
        Some("`--` and `..` are not allowed".into())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_hub_takes() {
        let repo: RepoId = "some-one/emoji_kind.v2".parse().unwrap();
        assert_eq!((repo.owner(), repo.name()), ("some-one", "emoji_kind.v2"));
        assert_eq!(repo.to_string(), "some-one/emoji_kind.v2");
        for wrong in [
            "gpt2",
            "a/b/c",
            "a/",
            "/b",
            "../b",
            "a/..",
            "a/b--c",
            "a/b c",
            "a/.b",
            "a/b?x=1",
            "https://huggingface.co/a/b",
            &format!("a/{}", "b".repeat(97)),
        ] {
            let error = wrong.parse::<RepoId>().unwrap_err().to_string();
            assert!(error.contains("OWNER/NAME"), "{wrong}: {error}");
        }
    }
}
