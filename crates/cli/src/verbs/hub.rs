//! `hub`: model folders from and to the Hugging Face Hub.

use crate::args::HubVerb;
use crate::failure::Result;
use crate::{args, output};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
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
    let bar = bar("pull");
    let pulled = Hub::from_environment()?.pull(repo, revision, out, &watch(&bar));
    bar.finish_and_clear();
    let pulled = pulled?;
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
    let bar = bar("push");
    let pushed = Hub::from_environment()?.push(folder, repo, how, &watch(&bar));
    bar.finish_and_clear();
    let pushed = pushed?;
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
    if !folder.left_out().is_empty() {
        let names = folder.left_out().iter().cloned();
        output::note(&format!("left out: {}", output::shortened(names)));
    }
}

/// A bar of bytes, with a line for every file that is there.
fn bar(name: &'static str) -> ProgressBar {
    let bar = output::bar(0, name);
    let style = "{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left {msg}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar
}

fn watch(bar: &ProgressBar) -> Watch {
    let bar = bar.clone();
    Arc::new(move |step| match step {
        Step::Whole { files, bytes } => {
            bar.set_length(bytes);
            bar.suspend(|| output::note(&format!("{files} files, {}", HumanBytes(bytes))));
        }
        Step::Bytes(done) => bar.set_position(done),
        Step::Landed { name, bytes, kept } => {
            let size = HumanBytes(bytes);
            let there = if kept { ", was there" } else { "" };
            bar.suspend(|| output::note(&format!("{}  {size}{there}", name.escape_debug())));
        }
        Step::Committing => bar.set_message("making the commit"),
    })
}
