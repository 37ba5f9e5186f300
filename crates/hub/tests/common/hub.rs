//! The Hub's interface, for one repository `someone/tiny` whose large files lie on a second server, as on the Hub.
//!
//! The real Hub was not reached when this was written. Addresses, fields and headers are those that two of its clients
//! expect: hf-hub 1.0.0, which is under test, and Python's huggingface_hub 2.4.0, which `tests/transfer.rs` lets pull from
//! and push to this server where it is installed. So a field that this server lacks or misnames fails there.

use super::http::{Answer, Request, Server};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

pub const REPO: &str = "someone/tiny";
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub const TOKEN: &str = "hf_test";

/// What the repository is, and what goes wrong.
#[derive(Default)]
pub struct State {
    pub files: BTreeMap<String, Vec<u8>>,
    /// Before a push makes it, it is not there.
    pub missing: bool,
    pub private: bool,
    /// It is made public whatever is asked for.
    pub always_public: bool,
    /// Answers by the end of a path instead of the usual ones.
    pub instead: BTreeMap<&'static str, Answer>,
    /// What was committed: header first.
    pub commit: Vec<Value>,
}

/// The servers.
pub struct FakeHub {
    pub hub: Server,
    /// Where large files lie; it sees no token.
    pub storage: Server,
    pub state: Arc<Mutex<State>>,
}

impl FakeHub {
    pub fn start(files: &[(&str, &[u8])]) -> Self {
        let files = files.iter().map(|(n, b)| ((*n).into(), b.to_vec()));
        let state = Arc::new(Mutex::new(State {
            files: files.collect(),
            ..State::default()
        }));
        let stored = state.clone();
        let storage = Server::start(move |request| large(&stored.lock().unwrap(), request));
        let (known, address) = (state.clone(), storage.address.clone());
        let hub = Server::start(move |request| {
            let mut state = known.lock().unwrap();
            let special = state
                .instead
                .iter()
                .find(|(end, _)| request.path.ends_with(*end));
            match special {
                Some((_, answer)) => answer.clone(),
                None => answer(&mut state, request, &address),
            }
        });
        Self {
            hub,
            storage,
            state,
        }
    }

    pub fn client(&self) -> learngene_hub::Hub {
        learngene_hub::Hub::at(&self.hub.address, TOKEN).unwrap()
    }

    pub fn instead(&self, end: &'static str, answer: Answer) {
        self.state.lock().unwrap().instead.insert(end, answer);
    }

    pub fn as_usual(&self) {
        self.state.lock().unwrap().instead.clear();
    }
}

/// An error as the Hub makes it.
pub fn error(status: u16, code: &str, message: &str) -> Answer {
    let mut answer = Answer::json(&json!({ "error": message }))
        .with("X-Error-Code", code)
        .with("X-Error-Message", message);
    answer.status = status;
    answer
}

fn is_large(name: &str) -> bool {
    name.ends_with(".safetensors")
}

pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn git(bytes: &[u8]) -> String {
    let mut hash = Sha1::new_with_prefix(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    hex(&hash.finalize())
}

fn answer(state: &mut State, request: &Request, storage: &str) -> Answer {
    if request.headers.get("authorization") != Some(&format!("Bearer {TOKEN}")) {
        return error(401, "RepoNotFound", "Invalid username or password.");
    }
    let api = format!("/api/models/{REPO}");
    let path = request.path.clone();
    if path == "/api/repos/create" {
        state.missing = false;
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        // One client says it so, the other so.
        state.private = body["private"] == true || body["visibility"] == "private";
        state.private &= !state.always_public;
        return Answer::json(
            &json!({ "url": format!("http://{}/{REPO}", request.headers["host"]), "name": REPO }),
        );
    }
    if path == "/api/validate-yaml" {
        return Answer::json(&json!({ "errors": [], "warnings": [] }));
    }
    if path == format!("/{REPO}.git/info/lfs/objects/batch") {
        return batch(request);
    }
    let known = path.starts_with(&api) || path.starts_with(&format!("/{REPO}/"));
    if state.missing || !known {
        return error(404, "RepoNotFound", "Repository not found");
    }
    let of_api = path.strip_prefix(&api).unwrap_or_default();
    let (verb, rest) = of_api
        .trim_start_matches('/')
        .split_once('/')
        .unwrap_or((of_api, ""));
    match verb {
        "" if of_api.is_empty() && path == api => info(state),
        "revision" if ["main", COMMIT].contains(&rest) => info(state),
        "revision" => error(404, "RevisionNotFound", "Invalid rev id"),
        "tree" => tree(state, request),
        "preupload" => preupload(request),
        "commit" => commit(state, request),
        "xet-write-token" | "xet-read-token" => token(storage),
        _ => match path.strip_prefix(&format!("/{REPO}/resolve/{COMMIT}/")) {
            Some(name) => resolve(state, name, storage),
            None => error(404, "EntryNotFound", "Entry not found"),
        },
    }
}

fn info(state: &State) -> Answer {
    let names = state.files.keys().map(|name| json!({ "rfilename": name }));
    Answer::json(&json!({
        "_id": "0", "id": REPO, "modelId": REPO, "author": "someone", "sha": COMMIT, "private": state.private,
        "gated": false, "disabled": false, "downloads": 0, "likes": 0, "tags": [],
        "lastModified": "2026-01-01T00:00:00.000Z", "createdAt": "2026-01-01T00:00:00.000Z",
        "siblings": names.collect::<Vec<_>>(),
    }))
}

/// Two pages, so that the second has to be asked for.
fn tree(state: &State, request: &Request) -> Answer {
    let half = state.files.len().div_ceil(2);
    let entry = |(name, bytes): (&String, &Vec<u8>)| {
        let mut entry =
            json!({ "type": "file", "path": name, "size": bytes.len(), "oid": git(bytes) });
        if is_large(name) {
            let (size, oid) = (bytes.len(), sha256(bytes));
            let pointer = format!(
                "version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n"
            );
            entry["oid"] = git(pointer.as_bytes()).into();
            entry["lfs"] = json!({ "oid": oid, "size": size, "pointerSize": pointer.len() });
            entry["xetHash"] = sha256(oid.as_bytes()).into();
        }
        entry
    };
    let all = state.files.iter().map(entry);
    if request.query.contains("cursor=2") {
        return Answer::json(&all.skip(half).collect());
    }
    let mut first: Vec<Value> = all.take(half).collect();
    first.push(json!({ "type": "directory", "path": "part", "size": 0, "oid": git(b"") }));
    let host = &request.headers["host"];
    let next = format!(
        "<http://{host}{}?recursive=true&cursor=2>; rel=\"next\"",
        request.path
    );
    Answer::json(&first.into()).with("Link", next)
}

fn resolve(state: &State, name: &str, storage: &str) -> Answer {
    let Some(bytes) = state.files.get(name) else {
        return error(404, "EntryNotFound", "Entry not found");
    };
    if !is_large(name) {
        return Answer::body(bytes.clone())
            .with("ETag", format!("\"{}\"", git(bytes)))
            .with("X-Repo-Commit", COMMIT);
    }
    let oid = sha256(bytes);
    Answer::status(302)
        .with("Location", format!("{storage}/{oid}?signature=x"))
        .with("X-Linked-Size", bytes.len().to_string())
        .with("X-Linked-ETag", format!("\"{oid}\""))
        .with("X-Xet-Hash", sha256(oid.as_bytes()))
        .with("X-Repo-Commit", COMMIT)
}

/// The second server: large files by their hash, and what an upload to Xet needs to be told that all is well.
fn large(state: &State, request: &Request) -> Answer {
    let special = state.instead.iter().find(|(end, _)| **end == "storage");
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", path) if path.starts_with("/v1/xorbs/") || path.starts_with("/xorbs/") => {
            Answer::json(&json!({ "was_inserted": true }))
        }
        ("POST", "/v1/shards" | "/shards") => Answer::json(&json!({ "result": 1 })),
        (_, path) => match state.files.values().find(|b| path.ends_with(&sha256(b))) {
            Some(_) if special.is_some() => special.unwrap().1.clone(),
            Some(bytes) => Answer::body(bytes.clone()).with("ETag", "\"0\""),
            None => Answer::status(404),
        },
    }
}

/// Large files go to Xet, all others into the commit.
fn preupload(request: &Request) -> Answer {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let modes = body["files"].as_array().unwrap().iter().map(|file| {
        let large = is_large(file["path"].as_str().unwrap());
        let mode = if large { "lfs" } else { "regular" };
        json!({ "path": file["path"], "uploadMode": mode, "shouldIgnore": false, "oid": null })
    });
    Answer::json(&json!({ "files": modes.collect::<Vec<_>>() }))
}

fn batch(request: &Request) -> Answer {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert!(
        body["transfers"]
            .as_array()
            .unwrap()
            .contains(&"xet".into())
    );
    let objects = body["objects"].as_array().unwrap().iter();
    let objects: Vec<Value> = objects
        .map(|o| json!({ "oid": o["oid"], "size": o["size"] }))
        .collect();
    Answer::json(&json!({ "transfer": "xet", "objects": objects }))
}

fn token(storage: &str) -> Answer {
    let expires = 4_000_000_000_u64;
    Answer::json(&json!({ "casUrl": storage, "accessToken": "xet", "exp": expires }))
        .with("X-Xet-Cas-Url", storage)
        .with("X-Xet-Access-Token", "xet")
        .with("X-Xet-Token-Expiration", expires.to_string())
}

/// Takes what stands in the commit; of large files it only knows the hash.
fn commit(state: &mut State, request: &Request) -> Answer {
    let text = std::str::from_utf8(&request.body).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for line in lines.iter().filter(|line| line["key"] == "file") {
        let value = &line["value"];
        assert_eq!(value["encoding"], "base64");
        let bytes = BASE64_STANDARD.decode(value["content"].as_str().unwrap());
        state
            .files
            .insert(value["path"].as_str().unwrap().into(), bytes.unwrap());
    }
    state.commit = lines;
    let url = format!("http://{}/{REPO}/commit/{COMMIT}", request.headers["host"]);
    Answer::json(
        &json!({ "success": true, "commitUrl": url, "commitOid": COMMIT, "hookOutput": "" }),
    )
}
