//! `push`: the files of a model folder as one commit.

use crate::client::Hub;
use crate::error::{Error, Result};
use crate::model_folder::ModelFolder;
use crate::repo::RepoId;
use crate::watch::{Step, Watch};
use hf_hub::HFError;
use hf_hub::progress::{Progress, ProgressEvent, ProgressHandler, UploadEvent};
use hf_hub::repository::{CommitOperation, RepoTypeModel};

/// How to push.
#[derive(Debug, Clone, Default)]
pub struct Push {
    /// Only those who are let in may see the repository; one that is public already is refused.
    pub private: bool,
    /// First line of the commit; a plain one by default.
    pub message: Option<String>,
}

/// What was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The repository was not there before.
    pub made: bool,
    /// The commit, if the Hub names it.
    pub commit: Option<String>,
    /// Where to look at the repository.
    pub address: String,
}

const WRITE: &str = "write to";

impl Hub {
    /// Uploads the folder as one commit on the main branch; makes the repository if there is none. Files of the
    /// repository that the folder does not have stay.
    ///
    /// # Errors
    /// [`Error::Public`] for a public repository where a private one is asked for; [`Error::Unauthorised`],
    /// [`Error::Forbidden`], [`Error::NotFound`], [`Error::Unreachable`], [`Error::BrokeOff`] and [`Error::Server`].
    /// Until the commit at the end, nothing shows in the repository.
    ///
    /// Large files go to Xet, the one storage that the client uploads them to.
    pub fn push(
        &self,
        folder: &ModelFolder,
        repo: &RepoId,
        push: &Push,
        watch: &Watch,
    ) -> Result<Pushed> {
        let made = self.make(repo, push.private)?;
        let files = folder.files();
        let operations = files
            .iter()
            .map(|file| CommitOperation::add_file(&file.name, folder.path().join(&file.name)))
            .collect();
        watch(Step::Whole {
            files: files.len(),
            bytes: folder.bytes(),
        });
        let message = push.message.as_deref().unwrap_or("Upload with learngene");
        let commit = self
            .model(repo)
            .create_commit()
            .operations(operations)
            .commit_message(message)
            .progress(Progress::new(Uploading(watch.clone())))
            .send()
            .map_err(|error| match error {
                HFError::Io(source) => Error::io("read", folder.path(), source),
                error => self.error(repo, WRITE, error),
            })?;
        Ok(Pushed {
            made,
            commit: commit.commit_oid,
            address: format!("{}/{repo}", self.endpoint()),
        })
    }

    /// Makes the repository unless it is there, and looks at it again if it is to be private: the client has no other way
    /// to know that the Hub understood. Whether it was made.
    fn make(&self, repo: &RepoId, private: bool) -> Result<bool> {
        let seen = |info: hf_hub::repository::ModelInfo| match private && info.private != Some(true)
        {
            true => Err(Error::Public {
                repo: repo.to_string(),
            }),
            false => Ok(()),
        };
        let look = || self.model(repo).info().send();
        match look() {
            Ok(info) => seen(info).map(|()| false),
            Err(HFError::RepoNotFound { .. }) => {
                self.client()
                    .create_repository()
                    .repo_id(&repo.to_string())
                    .repo_type(RepoTypeModel)
                    .private(private)
                    .send()
                    .map_err(|error| self.error(repo, "make", error))?;
                if private {
                    seen(look().map_err(|error| self.error(repo, WRITE, error))?)?;
                }
                Ok(true)
            }
            Err(error) => Err(self.error(repo, WRITE, error)),
        }
    }
}

struct Uploading(Watch);

impl ProgressHandler for Uploading {
    fn on_progress(&self, event: &ProgressEvent) {
        match event {
            ProgressEvent::Upload(UploadEvent::Progress {
                bytes_completed, ..
            }) => (self.0)(Step::Bytes(*bytes_completed)),
            ProgressEvent::Upload(UploadEvent::Committing) => (self.0)(Step::Committing),
            _ => {}
        }
    }
}
