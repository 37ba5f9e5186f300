//! Which names of files a server may give.

/// Where unfinished downloads lie; no file of a repository may have this name.
pub(crate) const STAGING: &str = ".learngene-pull";

/// Why a file of that name is not written, if it is not: it would lie outside the folder on some system, or be taken for
/// something else than a file of the repository.
pub fn refusal(name: &str) -> Option<&'static str> {
    let special = |part: &str| {
        [".git", STAGING]
            .iter()
            .any(|s| part.eq_ignore_ascii_case(s))
    };
    if name.is_empty() {
        Some("it is empty")
    } else if name.starts_with('/') {
        Some("it is absolute")
    } else if name.contains(['\\', ':']) {
        Some("`\\` and `:` lead elsewhere on some systems")
    } else if name.chars().any(char::is_control) {
        Some("it has control characters")
    } else if name.split('/').any(|part| [".", "..", ""].contains(&part)) {
        Some("it has an empty part, `.` or `..`")
    } else if name.split('/').any(special) {
        Some("it has a part that means something to git or to this program")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_below_the_folder_are_taken() {
        for fine in [
            "README.md",
            "a/b.safetensors",
            ".gitattributes",
            "..a",
            "a b/é",
        ] {
            assert_eq!(refusal(fine), None, "{fine}");
        }
        for wrong in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a/..",
            ".",
            "a//b",
            "a/",
            "C:\\x",
            "C:/x",
            "..\\x",
            "a\0b",
            "a\nb",
            ".git/config",
            "a/.GIT/hooks/x",
            ".learngene-pull/pull.json",
        ] {
            assert!(refusal(wrong).is_some(), "{wrong:?}");
        }
    }
}
