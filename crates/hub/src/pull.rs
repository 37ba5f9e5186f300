//! `pull`: the files of one revision into a folder.

use crate::client::Hub;
use crate::error::{Error, Result};
use crate::hash::Listed;
use crate::landing::{Landing, Origin};
use crate::names;
use crate::repo::RepoId;
use crate::watch::{Step, Watch};
use hf_hub::progress::{DownloadEvent, Progress, ProgressEvent, ProgressHandler};
use hf_hub::repository::RepoTreeEntry;
use std::fs;
use std::path::Path;

/// What was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The commit that the revision stood for.
    pub commit: String,
    /// Number of files.
    pub files: usize,
    /// All their bytes.
    pub bytes: u64,
}

const READ: &str = "read";

impl Hub {
    /// Pulls all files of a model's revision (a branch, a tag or a commit) into `folder`, which is made.
    ///
    /// Interrupted or killed, the same call goes on with the first file that is not finished.
    ///
    /// # Errors
    /// Those of [`Landing`]; [`Error::Name`] for names that lead elsewhere, before anything is written;
    /// [`Error::Damaged`] for a file that is not the one listed; [`Error::Unauthorised`], [`Error::Forbidden`],
    /// [`Error::NotFound`], [`Error::Unreachable`], [`Error::BrokeOff`] and [`Error::Server`].
    pub fn pull(
        &self,
        repo: &RepoId,
        revision: &str,
        folder: &Path,
        watch: &Watch,
    ) -> Result<Pulled> {
        Landing::check(folder)?;
        let commit = self.commit(repo, revision)?;
        let files = self.tree(repo, &commit)?;
        if files.is_empty() {
            return Err(Error::Empty {
                repo: repo.to_string(),
                revision: revision.to_owned(),
            });
        }
        let bytes = files.iter().map(|file| file.bytes).sum();
        watch(Step::Whole {
            files: files.len(),
            bytes,
        });
        let origin = Origin {
            endpoint: self.endpoint().to_owned(),
            repo: repo.to_string(),
            commit,
        };
        let landing = Landing::open(folder, &origin)?;
        let mut done = 0;
        for file in &files {
            let kept = is_there(file, &landing)?;
            if !kept {
                self.fetch(repo, &origin.commit, file, &landing, done, watch)?;
            }
            done += file.bytes;
            watch(Step::Landed {
                name: &file.name,
                bytes: file.bytes,
                kept,
            });
            watch(Step::Bytes(done));
        }
        landing.finish()?;
        Ok(Pulled {
            commit: origin.commit,
            files: files.len(),
            bytes,
        })
    }

    /// The commit that a revision stands for, so that all files are of one.
    fn commit(&self, repo: &RepoId, revision: &str) -> Result<String> {
        let info = self.model(repo).info().revision(revision).send();
        let info = info.map_err(|error| self.error(repo, READ, error))?;
        let is_hash = |sha: &String| sha.len() == 40 && sha.chars().all(|c| c.is_ascii_hexdigit());
        info.sha.filter(is_hash).ok_or_else(|| {
            self.server(
                repo,
                READ,
                "expected the hash of a commit, found none in the answer",
            )
        })
    }

    /// The files of a commit, all of whose names lie inside a folder.
    fn tree(&self, repo: &RepoId, commit: &str) -> Result<Vec<Listed>> {
        let model = self.model(repo);
        let entries = model.list_tree().revision(commit).recursive(true).send();
        let entries = entries.map_err(|error| self.error(repo, READ, error))?;
        let mut files = Vec::new();
        for entry in entries {
            let RepoTreeEntry::File {
                path, size, oid, ..
            } = entry
            else {
                continue;
            };
            if let Some(reason) = names::refusal(&path) {
                return Err(Error::Name {
                    repo: repo.to_string(),
                    name: path,
                    reason,
                });
            }
            files.push(Listed {
                name: path,
                bytes: size,
                oid,
            });
        }
        Ok(files)
    }

    /// One file at a time, under a name that was checked: a snapshot of the client's would ask for the names again.
    fn fetch(
        &self,
        repo: &RepoId,
        commit: &str,
        file: &Listed,
        landing: &Landing,
        before: u64,
        watch: &Watch,
    ) -> Result<()> {
        let arrived = self
            .model(repo)
            .download_file()
            .filename(&file.name)
            .revision(commit)
            .local_dir(landing.unfinished())
            .progress(Progress::new(Downloading {
                before,
                watch: watch.clone(),
            }))
            .send()
            .map_err(|error| match error {
                hf_hub::HFError::Io(source) => Error::io("write", &landing.unfinished(), source),
                error => self.error(repo, READ, error),
            })?;
        let difference = file
            .difference(&arrived)
            .map_err(|error| Error::io("read", &arrived, error))?;
        match difference {
            None => landing.land(&file.name),
            Some(reason) => Err(Error::Damaged {
                repo: repo.to_string(),
                name: file.name.clone(),
                reason,
            }),
        }
    }
}

/// Whether the file landed before the pull was interrupted.
fn is_there(file: &Listed, landing: &Landing) -> Result<bool> {
    let place = landing.place(&file.name);
    if fs::symlink_metadata(&place).is_err() {
        return Ok(false);
    }
    match file.difference(&place) {
        Ok(None) => Ok(true),
        Ok(Some(reason)) => Err(Error::Changed {
            path: place,
            reason,
        }),
        Err(error) => Err(Error::io("read", &place, error)),
    }
}

/// Adds what the client tells of one file to what the files before it had.
struct Downloading {
    before: u64,
    watch: Watch,
}

impl ProgressHandler for Downloading {
    fn on_progress(&self, event: &ProgressEvent) {
        let done = match event {
            ProgressEvent::Download(DownloadEvent::Progress { files }) => {
                files.iter().map(|file| file.bytes_completed).sum()
            }
            ProgressEvent::Download(DownloadEvent::AggregateProgress {
                bytes_completed, ..
            }) => *bytes_completed,
            _ => return,
        };
        (self.watch)(Step::Bytes(self.before + done));
    }
}
