//! The one error type of this crate. Every text says what was expected, what was found and what to do.

use learngene_formats::FormatError;
use std::io;
use std::path::{Path, PathBuf};

/// What every fallible function of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why nothing, or not all, was transferred.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No name of a repository.
    #[error(
        "`{found}` is no repository: {reason}; expected is OWNER/NAME, such as someone/emoji-kind"
    )]
    Repo {
        /// What was given.
        found: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder that is not one to publish.
    #[error("{} is no model folder: {reason}; expected are README.md with front matter, config.json and weights in .safetensors, as `learngene card MODEL --out FOLDER` makes them", folder.display())]
    NotAModelFolder {
        /// The folder.
        folder: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// Weights that are no weights.
    #[error(transparent)]
    Weights(#[from] FormatError),
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A folder to pull into that holds something else.
    #[error("{} holds something that is not this pull's: choose a folder that is empty or not there yet", folder.display())]
    Occupied {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder with a part of another pull.
    #[error("{} holds a part of {found}, and asked for is {expected}: go on with that one by `--revision` and its commit, or choose another folder", folder.display())]
    OtherPull {
        /// The folder.
        folder: PathBuf,
        /// What lies there.
        found: String,
        /// What was asked for.
        expected: String,
    },
    /// Another process pulls into the folder.
    #[error("another pull into {} is going on: wait for it, or choose another folder", folder.display())]
    Busy {
        /// The folder.
        folder: PathBuf,
    },
    /// A file of an interrupted pull is no longer what it was.
    #[error("{} was changed since it was pulled ({reason}): move it away, and the same command goes on", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// In what it differs.
        reason: String,
    },
    /// A name that leads out of the folder.
    #[error(
        "{repo} lists a file named {name:?}, which is refused: {reason}; nothing was written, and the repository should not be trusted"
    )]
    Name {
        /// The repository.
        repo: String,
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A download that is not the file.
    #[error("{name} of {repo} arrived damaged: {reason}; the same command goes on with this file")]
    Damaged {
        /// The repository.
        repo: String,
        /// The file.
        name: String,
        /// Expected and found.
        reason: String,
    },
    /// The revision has no files.
    #[error(
        "{repo} has no files at `{revision}`: look at the repository, or name another revision"
    )]
    Empty {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
    },
    /// 401.
    #[error(
        "{endpoint} cannot tell who is asking for {repo} (401{message}): the repository is private or does not exist, or there is no valid token; look at the name, put a token into HF_TOKEN or log in with `hf auth login`"
    )]
    Unauthorised {
        /// Address of the Hub.
        endpoint: String,
        /// The repository.
        repo: String,
        /// What the Hub says.
        message: String,
    },
    /// 403.
    #[error(
        "{endpoint} does not let the owner of this token {action} {repo} (403{message}): expected is a token with that right and, where the repository is gated, an accepted agreement on its page"
    )]
    Forbidden {
        /// Address of the Hub.
        endpoint: String,
        /// The repository.
        repo: String,
        /// What was tried.
        action: &'static str,
        /// What the Hub says.
        message: String,
    },
    /// 404.
    #[error(
        "there is no {what} at {endpoint} (404): look at the spelling; a private repository needs the token of someone who may see it (HF_TOKEN)"
    )]
    NotFound {
        /// Address of the Hub.
        endpoint: String,
        /// Repository, revision or file.
        what: String,
    },
    /// No answer.
    #[error(
        "cannot reach {endpoint} ({reason}): look at the network, at proxies (HTTPS_PROXY) and at HF_ENDPOINT, which names another address"
    )]
    Unreachable {
        /// Address of the Hub.
        endpoint: String,
        /// The innermost cause.
        reason: String,
    },
    /// An answer that broke off.
    #[error(
        "the transfer from or to {endpoint} broke off ({reason}): the same command goes on, or begins anew"
    )]
    BrokeOff {
        /// Address of the Hub.
        endpoint: String,
        /// The innermost cause.
        reason: String,
    },
    /// A repository that everybody can see.
    #[error(
        "{repo} is public, but --private asks for a private one: nothing was uploaded; make it private in its settings and push again, or leave --private out"
    )]
    Public {
        /// The repository.
        repo: String,
    },
    /// Anything else that the Hub or its client says.
    #[error(
        "{endpoint} failed to {action} {repo}: {reason}; try again later, or report it if it stays"
    )]
    Server {
        /// Address of the Hub.
        endpoint: String,
        /// The repository.
        repo: String,
        /// What was tried.
        action: &'static str,
        /// What was answered.
        reason: String,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }
}
