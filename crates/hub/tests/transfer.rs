//! Pull and push over HTTP, against a Hub on this machine (`common/hub.rs` says how far it is a fair one).

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::http::Answer;
use common::hub::{COMMIT, FakeHub, REPO, TOKEN, error, sha256};
use learngene_formats::{Header, Kind, TensorEntry, WeightFile};
use learngene_hub::{Error, Hub, ModelFolder, Push, RepoId, Step, Watch};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

const CARD: &[u8] = b"---\nlibrary_name: learngene\n---\n# tiny\n";

fn repo() -> RepoId {
    REPO.parse().unwrap()
}

fn quiet() -> Watch {
    Arc::new(|_| {})
}

fn weights() -> Vec<u8> {
    let tensor = TensorEntry {
        shape: vec![100, 100],
        values: (0..10_000).map(|i| (i as f32).sin()).collect(),
    };
    let header = Header::new(Kind::Model, serde_json::json!({}));
    let mut bytes = Vec::new();
    WeightFile::new(header, [("x".to_owned(), tensor)].into())
        .write_to(&mut bytes)
        .unwrap();
    bytes
}

fn model() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (".gitattributes", b"*.safetensors filter=lfs\n".to_vec()),
        ("README.md", CARD.to_vec()),
        ("config.json", b"{}".to_vec()),
        ("model.safetensors", weights()),
        ("part/a b.png", vec![7; 3000]),
    ]
}

fn fake(files: &[(&'static str, Vec<u8>)]) -> FakeHub {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(n, b)| (*n, b.as_slice())).collect();
    FakeHub::start(&files)
}

/// Everything below a folder, hidden or not.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
                found.push((name.to_owned(), fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn owned(files: &[(&'static str, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    files
        .iter()
        .map(|(n, b)| ((*n).into(), b.clone()))
        .collect()
}

#[test]
fn a_pull_brings_all_files_and_tells_how_it_goes() {
    let (files, folder) = (model(), tempfile::tempdir().unwrap());
    let (fake, out) = (fake(&files), folder.path().join("new/tiny"));
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = told.clone();
    let watch: Watch = Arc::new(move |step| telling.lock().unwrap().push(format!("{step:?}")));
    let pulled = fake.client().pull(&repo(), "main", &out, &watch).unwrap();
    let total: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(contents(&out), owned(&files));
    assert_eq!(
        (pulled.commit.as_str(), pulled.files, pulled.bytes),
        (COMMIT, 5, total as u64)
    );
    let told = told.lock().unwrap();
    let whole = Step::Whole {
        files: 5,
        bytes: total as u64,
    };
    assert_eq!(told.first().unwrap(), &format!("{whole:?}"));
    assert_eq!(
        told.last().unwrap(),
        &format!("{:?}", Step::Bytes(total as u64))
    );
    // The place that the Hub sends to for large files gets no token.
    let stored = fake.storage.requests();
    assert!(
        stored
            .iter()
            .any(|r| r.method == "GET" && r.query == "signature=x")
    );
    assert!(
        stored
            .iter()
            .all(|r| !r.headers.contains_key("authorization"))
    );
}

#[test]
fn names_that_lead_out_of_the_folder_are_refused_before_anything_is_written() {
    for name in [
        "../evil.safetensors",
        "/tmp/evil",
        "a/../../evil",
        "..\\evil",
        ".git/config",
    ] {
        let mut files = model();
        files.push((name, b"x".to_vec()));
        let (fake, folder) = (fake(&files), tempfile::tempdir().unwrap());
        let out = folder.path().join("tiny");
        let failure = fake
            .client()
            .pull(&repo(), "main", &out, &quiet())
            .unwrap_err();
        assert!(matches!(failure, Error::Name { .. }), "{failure}");
        assert!(
            failure.to_string().contains(&format!("{name:?}")),
            "{failure}"
        );
        assert_eq!(contents(folder.path()), []);
        assert!(!out.exists());
    }
}

#[test]
fn a_transfer_that_breaks_off_leaves_nothing_half_written_and_goes_on() {
    let (files, folder) = (model(), tempfile::tempdir().unwrap());
    let (fake, out) = (fake(&files), folder.path());
    let (whole, hub) = (weights(), fake.client());
    let cut = Answer {
        cut: Some(whole.len() / 2),
        ..Answer::body(whole.clone())
    };
    // A body that is shorter than its length, and one that ends too early without having named one.
    let short = Answer {
        open_end: true,
        ..Answer::body(&whole[..whole.len() - 1])
    };
    let mut other = whole.clone();
    other[20_000] ^= 1;
    let pull = || hub.pull(&repo(), "main", out, &quiet());
    for (answer, expected) in [
        (cut, "broke off"),
        (short, "bytes, found 4"),
        (Answer::body(other), "expected git hash"),
    ] {
        fake.instead("storage", answer);
        let failure = pull().unwrap_err();
        assert!(failure.to_string().contains(expected), "{failure}");
        assert!(!out.join("model.safetensors").exists());
    }
    // Another revision does not go on with it.
    fake.as_usual();
    let info = serde_json::json!({ "id": REPO, "sha": "f".repeat(40) });
    fake.instead("revision/main", Answer::json(&info));
    fake.instead(
        Box::leak(format!("tree/{}", "f".repeat(40)).into_boxed_str()),
        {
            Answer::json(
                &serde_json::json!([{ "type": "file", "path": "x", "size": 0, "oid": "0" }]),
            )
        },
    );
    let failure = pull().unwrap_err();
    assert!(
        failure.to_string().contains(&format!("{REPO} at {COMMIT}")),
        "{failure}"
    );
    // Nor does the same one over a file that was changed.
    fake.as_usual();
    fs::write(out.join("config.json"), "[]").unwrap();
    let failure = pull().unwrap_err();
    assert!(matches!(failure, Error::Changed { .. }), "{failure}");
    fs::write(out.join("config.json"), "{}").unwrap();
    pull().unwrap();
    assert_eq!(contents(out), owned(&files));
    assert_eq!(fake.hub.count("GET", "/README.md"), 1);
    let failure = pull().unwrap_err();
    assert!(matches!(failure, Error::Occupied { .. }), "{failure}");
}

#[test]
fn what_the_hub_refuses_is_said_with_what_to_do() {
    let fake = fake(&model());
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("tiny");
    let pull = |hub: &Hub, repo: &str, revision: &str| {
        let failure = hub.pull(&repo.parse().unwrap(), revision, &out, &quiet());
        failure.unwrap_err().to_string()
    };
    let (good, bad) = (
        fake.client(),
        Hub::at(&fake.hub.address, "hf_wrong").unwrap(),
    );
    let failure = pull(&bad, REPO, "main");
    for part in [
        "(401: Invalid username",
        "HF_TOKEN",
        REPO,
        &fake.hub.address,
    ] {
        assert!(failure.contains(part), "`{part}` is not in {failure}");
    }
    let failure = pull(&good, "someone/else", "main");
    assert!(failure.contains("no repository someone/else"), "{failure}");
    let failure = pull(&good, REPO, "v2");
    assert!(
        failure.contains("no revision `v2` of someone/tiny"),
        "{failure}"
    );
    fake.instead(
        "/config.json",
        error(403, "GatedRepo", "Access is restricted"),
    );
    let failure = pull(&good, REPO, "main");
    assert!(failure.contains("(403: Access is restricted)"), "{failure}");
    assert!(failure.contains("gated"), "{failure}");
    fake.instead("/config.json", error(404, "EntryNotFound", ""));
    let failure = pull(&good, REPO, "main");
    assert!(
        failure.contains("no file config.json in someone/tiny"),
        "{failure}"
    );
    // Nothing listens there any more.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let failure = pull(&Hub::at(&address, TOKEN).unwrap(), REPO, "main");
    for part in ["cannot reach", &address, "refused", "HF_ENDPOINT"] {
        assert!(failure.contains(part), "`{part}` is not in {failure}");
    }
}

fn model_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in model() {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    fs::write(folder.path().join(".env"), "HF_TOKEN=secret").unwrap();
    folder
}

/// Runs the test of that name as a process of its own, since Xet keeps things in a home that only the environment names.
/// True in that process.
fn in_a_home_of_its_own(test: &str) -> bool {
    const INSIDE: &str = "LEARNGENE_TEST_IN_A_HOME";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let home = tempfile::tempdir().unwrap();
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(INSIDE, "1")
        .env("HF_HOME", home.path())
        .env_remove("HF_XET_CACHE")
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stdout)
    );
    false
}

#[test]
fn a_push_is_one_commit_of_the_published_files_large_ones_by_hash() {
    if !in_a_home_of_its_own("a_push_is_one_commit_of_the_published_files_large_ones_by_hash") {
        return;
    }
    let (fake, folder) = (fake(&[]), model_folder());
    fake.state.lock().unwrap().missing = true;
    let model = ModelFolder::read(folder.path()).unwrap();
    let private = Push {
        private: true,
        message: Some("first".into()),
    };
    let pushed = fake
        .client()
        .push(&model, &repo(), &private, &quiet())
        .unwrap();
    assert!(pushed.made);
    assert_eq!(pushed.commit.as_deref(), Some(COMMIT));
    assert_eq!(pushed.address, format!("{}/{REPO}", fake.hub.address));
    let state = fake.state.lock().unwrap();
    assert!(state.private);
    assert_eq!(state.commit[0]["value"]["summary"], "first");
    let large = state
        .commit
        .iter()
        .find(|line| line["key"] == "lfsFile")
        .unwrap();
    assert_eq!(large["value"]["path"], "model.safetensors");
    assert_eq!(large["value"]["oid"], sha256(&weights()));
    assert_eq!(large["value"]["size"], weights().len());
    let small: Vec<_> = state.files.keys().map(String::as_str).collect();
    assert_eq!(small, ["README.md", "config.json", "part/a b.png"]);
    assert_eq!(state.files["README.md"], CARD);
    assert_eq!(state.commit.len(), 1 + 1 + 3);
    // The bytes of the weights went to Xet before the commit.
    let bodies = fake
        .storage
        .requests()
        .into_iter()
        .filter(|r| r.method == "POST");
    let sent: usize = bodies.map(|r| r.body.len()).sum();
    assert!(sent > 20_000, "{sent}");
}

#[test]
fn a_push_to_a_repository_that_is_there_keeps_to_what_it_is() {
    if !in_a_home_of_its_own("a_push_to_a_repository_that_is_there_keeps_to_what_it_is") {
        return;
    }
    let (fake, folder) = (fake(&model()), model_folder());
    let model = ModelFolder::read(folder.path()).unwrap();
    let push = |hub: &Hub, private| {
        let push = Push {
            private,
            message: None,
        };
        hub.push(&model, &repo(), &push, &quiet())
    };
    let failure = push(&fake.client(), true).unwrap_err();
    assert!(matches!(failure, Error::Public { .. }), "{failure}");
    let failure = push(&Hub::at(&fake.hub.address, "hf_wrong").unwrap(), false).unwrap_err();
    assert!(matches!(failure, Error::Unauthorised { .. }), "{failure}");
    fake.instead("/preupload/main", error(403, "", "no write access"));
    let failure = push(&fake.client(), false).unwrap_err().to_string();
    assert!(
        failure.contains("this token write to someone/tiny (403: no write access)"),
        "{failure}"
    );
    fake.as_usual();
    assert!(fake.state.lock().unwrap().commit.is_empty());
    assert!(!push(&fake.client(), false).unwrap().made);
    assert_eq!(fake.hub.count("POST", "/api/repos/create"), 0);
    assert_eq!(fake.hub.count("POST", "/commit/main"), 1);
    // A Hub that makes it public all the same gets nothing.
    *fake.state.lock().unwrap() = common::hub::State {
        missing: true,
        always_public: true,
        ..Default::default()
    };
    let failure = push(&fake.client(), true).unwrap_err();
    assert!(matches!(failure, Error::Public { .. }), "{failure}");
    assert_eq!(fake.hub.count("POST", "/commit/main"), 1);
}

/// Run by the next test as a process of its own, with its environment.
#[test]
fn pulls_as_the_environment_says() {
    if let Some(out) = std::env::var_os("LEARNGENE_TEST_PULL_TO") {
        let hub = Hub::from_environment().unwrap();
        hub.pull(&repo(), "main", Path::new(&out), &quiet())
            .unwrap();
    }
}

#[test]
fn address_and_token_come_from_the_environment_or_the_token_file() {
    let (files, folder) = (model(), tempfile::tempdir().unwrap());
    let fake = fake(&files);
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::write(home.join("token"), format!("{TOKEN}\n")).unwrap();
    for (name, token) in [("variable", Some(TOKEN)), ("file", None)] {
        let out = folder.path().join(name);
        let mut child = Command::new(std::env::current_exe().unwrap());
        child
            .args(["--exact", "pulls_as_the_environment_says"])
            .env("LEARNGENE_TEST_PULL_TO", &out)
            .env("HF_ENDPOINT", &fake.hub.address)
            .env_remove("HF_TOKEN_PATH")
            .env_remove("HF_TOKEN");
        match token {
            Some(token) => child.env("HF_TOKEN", token).env("HF_HOME", folder.path()),
            None => child.env("HF_HOME", &home),
        };
        let done = child.output().unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stdout)
        );
        assert_eq!(contents(&out), owned(&files));
    }
}

/// The server here is a fair one as far as another client can tell: Python's huggingface_hub pulls from it and pushes to
/// it. Needs a Python with huggingface_hub, named by LEARNGENE_DIFFUSERS_PYTHON.
#[test]
fn pythons_client_takes_the_server_for_the_hub() {
    let Some(python) = std::env::var_os("LEARNGENE_DIFFUSERS_PYTHON") else {
        println!("skipped: LEARNGENE_DIFFUSERS_PYTHON names no Python with huggingface_hub");
        return;
    };
    let (files, folder) = (model(), tempfile::tempdir().unwrap());
    let (fake, out) = (fake(&files), folder.path().join("pulled"));
    let run = |script: &str, folder: &Path| {
        let done = Command::new(&python)
            .args(["-c", script])
            .arg(folder)
            .env("HF_ENDPOINT", &fake.hub.address)
            .env("HF_TOKEN", TOKEN)
            .env("HF_HOME", out.with_extension("home"))
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    };
    let script = "import os, sys\n\
        os.environ['HF_HUB_DISABLE_XET'] = '1'\n\
        from huggingface_hub import snapshot_download\n\
        snapshot_download('someone/tiny', local_dir=sys.argv[1])\n";
    run(script, &out);
    fs::remove_dir_all(out.join(".cache")).unwrap();
    assert_eq!(contents(&out), owned(&files));

    *fake.state.lock().unwrap() = common::hub::State {
        missing: true,
        ..Default::default()
    };
    let script = "import sys\n\
        from huggingface_hub import HfApi\n\
        api = HfApi()\n\
        api.create_repo('someone/tiny', private=True, exist_ok=True)\n\
        api.upload_folder(repo_id='someone/tiny', folder_path=sys.argv[1], commit_message='first')\n";
    run(script, model_folder().path());
    let state = fake.state.lock().unwrap();
    assert!(state.private);
    let large = state
        .commit
        .iter()
        .find(|line| line["key"] == "lfsFile")
        .unwrap();
    assert_eq!(large["value"]["oid"], sha256(&weights()));
    assert_eq!(state.files["README.md"], CARD);
}
