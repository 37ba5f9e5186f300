//! `hub`: model folders from and to the Hugging Face Hub.

use crate::args::HubVerb;
use crate::failure::Result;
use crate::progress::Progress;
use crate::{args, output};
use indicatif::HumanBytes;
use learngene_hub::{Hub, ModelFolder, Push, RepoId, Step, Watch};
use std::path::Path;
use std::sync::Arc;

/// `hub pull` and `hub push`.
pub fn hub(args: &args::Hub) -> Result<()> {
    match &args.verb {
        HubVerb::Pull {
            repo,
            out,
            revision,
        } => pull(&repo.parse()?, revision, out),
        HubVerb::Push {
            folder,
            repo,
            private,
            message,
            dry_run,
        } => {
            let repo = repo.parse()?;
            let folder = ModelFolder::read(folder)?;
            list(&folder, &repo);
            let how = Push {
                private: *private,
                message: message.clone(),
            };
            match dry_run {
                true => Ok(()),
                false => push(&folder, &repo, &how),
            }
        }
    }
}

fn pull(repo: &RepoId, revision: &str, out: &Path) -> Result<()> {
    let pulled = Hub::from_environment()?.pull(repo, revision, out, &watch("pull"))?;
    output::keep(out);
    output::json(&serde_json::json!({
        "files": pulled.files, "bytes": pulled.bytes, "commit": pulled.commit,
    }));
    output::say(&format!(
        "wrote {}: {} files, {}, commit {}",
        out.display(),
        pulled.files,
        HumanBytes(pulled.bytes),
        pulled.commit
    ));
    Ok(())
}

fn push(folder: &ModelFolder, repo: &RepoId, how: &Push) -> Result<()> {
    let pushed = Hub::from_environment()?.push(folder, repo, how, &watch("push"))?;
    output::json(&serde_json::json!({
        "address": pushed.address, "commit": pushed.commit, "made": pushed.made,
    }));
    let made = if pushed.made {
        ", a new repository"
    } else {
        ""
    };
    let commit = pushed.commit.map(|commit| format!(", commit {commit}"));
    output::say(&format!(
        "pushed to {}{made}{}",
        pushed.address,
        commit.unwrap_or_default()
    ));
    Ok(())
}

/// What would be uploaded, and what not.
fn list(folder: &ModelFolder, repo: &RepoId) {
    let row = |name: &str, bytes| vec![name.to_owned(), HumanBytes(bytes).to_string()];
    let files = folder.files().iter();
    let mut rows: Vec<_> = files.map(|file| row(&file.name, file.bytes)).collect();
    rows.push(row("all", folder.bytes()));
    output::table(&[&format!("to {repo}"), "size"], &rows);
    let names: Vec<&str> = folder.files().iter().map(|file| &*file.name).collect();
    output::json(&serde_json::json!({ "files": names, "bytes": folder.bytes() }));
    if !folder.left_out().is_empty() {
        let names = folder.left_out().iter().cloned();
        output::note(&format!("left out: {}", output::shortened(names)));
    }
}

/// Shows how far bytes are, and a line for every file that is there.
fn watch(name: &'static str) -> Watch {
    let shown = Progress::of_bytes(name);
    Arc::new(move |step| match step {
        Step::Whole { files, bytes } => {
            shown.set_length(bytes);
            output::note(&format!("{files} files, {}", HumanBytes(bytes)));
        }
        Step::Bytes(done) => shown.set(done as f64),
        Step::Landed { name, bytes, kept } => {
            let size = HumanBytes(bytes);
            let there = if kept { ", was there" } else { "" };
            output::note(&format!("{}  {size}{there}", name.escape_debug()));
        }
        Step::Committing => shown.note("making the commit".into()),
    })
}
