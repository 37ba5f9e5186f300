//! What can be typed after `hub`.

use clap::Subcommand;
use std::path::PathBuf;

const ABOUT_PULL: &str = "Example:
  learngene hub pull someone/emoji-kind --out emoji-kind
  learngene sample emoji-kind/model.safetensors --count 8 --out samples.png

All files of one commit are brought; a file has its name only when its length and hash are those that the commit lists. \
Interrupted or killed, the same command goes on with the first file that is not finished.";

const ABOUT_PUSH: &str = "Example:
  learngene card runs/kind --data builtin:emoji --license mit --out emoji-kind
  learngene hub push emoji-kind someone/emoji-kind --private --dry-run
  learngene hub push emoji-kind someone/emoji-kind --private

FOLDER has README.md with front matter, config.json and weights, as `learngene card` makes it. Uploaded are these, licences, \
other .safetensors and their indices, configurations of diffusers and PEFT, and pictures; never hidden files, links, \
checkpoints, states of optimisers or anything else. All of it is one commit on the main branch. Files that the repository \
has besides stay.";

const ABOUT_HUB: &str = "The token is taken from HF_TOKEN, or from the file that `hf auth login` leaves (HF_TOKEN_PATH names \
another). HF_ENDPOINT names another Hub than https://huggingface.co, HTTPS_PROXY a proxy.";

/// Options of `hub`.
#[derive(clap::Args)]
#[command(after_help = ABOUT_HUB)]
pub struct Hub {
    /// What to do.
    #[command(subcommand)]
    pub verb: HubVerb,
}

/// Verbs of `hub`.
#[derive(Subcommand)]
pub enum HubVerb {
    /// Bring a model folder from the Hub.
    #[command(after_help = ABOUT_PULL)]
    Pull {
        /// The repository.
        #[arg(value_name = "OWNER/NAME")]
        repo: String,
        /// Folder to make, which is not there yet, is empty, or holds a part of the same pull.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// Branch, tag or commit.
        #[arg(long, value_name = "REV", default_value = "main")]
        revision: String,
    },
    /// Take a model folder to the Hub, where its repository is made if there is none.
    #[command(after_help = ABOUT_PUSH)]
    Push {
        /// The folder.
        folder: PathBuf,
        /// The repository.
        #[arg(value_name = "OWNER/NAME")]
        repo: String,
        /// Make the repository private, and refuse one that is public. Without it a new one is public.
        #[arg(long)]
        private: bool,
        /// First line of the commit [default: Upload with learngene].
        #[arg(long, value_name = "TEXT")]
        message: Option<String>,
        /// Only print what would be uploaded; nothing is sent.
        #[arg(long)]
        dry_run: bool,
    },
}
