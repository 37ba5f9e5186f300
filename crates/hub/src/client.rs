//! The Hub's client, its time limits, and what its errors mean.

use crate::error::{Error, Result};
use crate::repo::RepoId;
use hf_hub::repository::RepoTypeModel;
use hf_hub::{HFClient, HFClientSync, HFError, HFRepositorySync};
use std::error::Error as _;
use std::fmt::Display;
use std::time::Duration;

/// To establish a connection.
const CONNECT: Duration = Duration::from_secs(20);
/// Without a single byte. Long, for the Hub answers a commit only when it is made.
const SILENCE: Duration = Duration::from_secs(120);

/// A Hub, and who is asking.
#[derive(Debug)]
pub struct Hub {
    client: HFClientSync,
    endpoint: String,
}

impl Hub {
    /// The Hub and the token that the environment names.
    ///
    /// # Errors
    /// [`Error::Server`] when `HF_ENDPOINT` is no address or there is no way to open connections.
    pub fn from_environment() -> Result<Self> {
        Self::build(|builder| builder)
    }

    /// A Hub at an address.
    ///
    /// # Errors
    /// Those of [`from_environment`](Self::from_environment).
    pub fn at(endpoint: &str, token: &str) -> Result<Self> {
        Self::build(|builder| builder.endpoint(endpoint).token(token))
    }

    fn build(set: impl FnOnce(hf_hub::HFClientBuilder) -> hf_hub::HFClientBuilder) -> Result<Self> {
        let failed = |reason: String| Error::Server {
            endpoint: "the client of the Hub".into(),
            repo: "a connection".into(),
            action: "prepare",
            reason,
        };
        let http = reqwest::Client::builder()
            .user_agent(concat!("learngene/", env!("CARGO_PKG_VERSION"), "; hf-hub"))
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .build()
            .map_err(|error| failed(innermost(&error)))?;
        let client = set(HFClient::builder().client(http).cache_enabled(false))
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let endpoint = client.endpoint().to_owned();
        let client = HFClientSync::from_inner(client).map_err(|error| failed(error.to_string()))?;
        Ok(Self { client, endpoint })
    }

    /// Address of the Hub.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(crate) fn client(&self) -> &HFClientSync {
        &self.client
    }

    pub(crate) fn model(&self, repo: &RepoId) -> HFRepositorySync<RepoTypeModel> {
        self.client.model(repo.owner(), repo.name())
    }

    /// What an error of the client means to a person who tried to `action` (as in "failed to read") the repository.
    pub(crate) fn error(&self, repo: &RepoId, action: &'static str, error: HFError) -> Error {
        let endpoint = self.endpoint.clone();
        let not_found = |what| Error::NotFound {
            endpoint: self.endpoint.clone(),
            what,
        };
        let of_repo = || not_found(format!("repository {repo}"));
        match error {
            HFError::AuthRequired { context } => Error::Unauthorised {
                endpoint,
                repo: repo.to_string(),
                message: after_colon(context.server_message),
            },
            HFError::Forbidden { context } => Error::Forbidden {
                endpoint,
                repo: repo.to_string(),
                action,
                message: after_colon(context.server_message),
            },
            HFError::RepoNotFound { .. } => of_repo(),
            // The client takes every 404 for a missing revision when it asked for one; the Hub says which it was.
            HFError::RevisionNotFound {
                revision, context, ..
            } => match context.and_then(|context| context.error_code).as_deref() {
                Some("RepoNotFound") => of_repo(),
                _ => not_found(format!("revision `{revision}` of {repo}")),
            },
            HFError::EntryNotFound { path, .. } => not_found(format!("file {path} in {repo}")),
            HFError::Request { source, .. } if source.is_connect() || source.is_timeout() => {
                Error::Unreachable {
                    endpoint,
                    reason: innermost(&source),
                }
            }
            HFError::Request { source, .. } => Error::BrokeOff {
                endpoint,
                reason: innermost(&source),
            },
            HFError::RateLimited { retry_after, .. } => self.server(
                repo,
                action,
                match retry_after {
                    Some(time) => format!("too many requests (429), wait {} s", time.as_secs()),
                    None => "too many requests (429)".into(),
                },
            ),
            error => self.server(repo, action, error),
        }
    }

    pub(crate) fn server(
        &self,
        repo: &RepoId,
        action: &'static str,
        reason: impl Display,
    ) -> Error {
        Error::Server {
            endpoint: self.endpoint.clone(),
            repo: repo.to_string(),
            action,
            reason: reason.to_string(),
        }
    }
}

fn after_colon(message: Option<String>) -> String {
    match message.filter(|message| !message.is_empty()) {
        Some(message) => format!(": {message}"),
        None => String::new(),
    }
}

/// The cause of the cause, which alone says what happened.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut text = error.to_string();
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    text
}
