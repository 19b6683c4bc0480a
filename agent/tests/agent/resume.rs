//! Transfers that go on where they were cut: what is read again, what is kept, what is refused.

use crate::support::{KeepingSink, names, no_isolation, sha256};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;
use tempfile::TempDir;
use tripline_agent::partials::{self, Partials};
use tripline_agent::platform;
use tripline_agent::policy::Policy;
use tripline_agent::stop::Stop;
use tripline_agent::transfer::{ChunkSource, paused};
use tripline_agent::verbs::{self, Context, Done, Resuming};
use tripline_protocol::frame::{Resume, Transfer};
use tripline_protocol::verb::{Verb, VerbCall};
use tripline_protocol::{CommandId, Fault, TransferId};
use uuid::Uuid;

const TRANSFER: TransferId = TransferId(Uuid::from_u128(77));

fn content() -> Vec<u8> {
    (0..900_000u32).map(|n| (n % 251) as u8).collect()
}

/// Sends a content from where it is asked to, and is cut at `until`.
struct CutSource<'a> {
    content: &'a [u8],
    until: usize,
    at: Mutex<Option<usize>>,
}

impl ChunkSource for CutSource<'_> {
    fn begin(&self, offset: u64) {
        *self.at.lock().unwrap() = Some(offset as usize);
    }

    fn next(&self, _: &Stop) -> Result<Vec<u8>, Fault> {
        let mut at = self.at.lock().unwrap();
        let from = at.expect("it was told where to begin");
        if from >= self.until {
            return Err(paused());
        }
        let to = self.until.min(from + 100_000);
        *at = Some(to);
        Ok(self.content[from..to].to_vec())
    }
}

/// A host with a state directory and a folder for files.
struct Scene {
    state: TempDir,
    dir: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self {
            state: tempfile::tempdir().unwrap(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// One command, by an agent that was just started.
    fn run(
        &self,
        call: &VerbCall,
        resume: &Resume,
        transfer: Option<&Transfer>,
        sink: &KeepingSink,
        source: Option<&dyn ChunkSource>,
    ) -> Result<Done, Fault> {
        let platform = platform::native();
        let partials = Partials::open(self.state.path(), &*platform).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let isolation = no_isolation(folder.path());
        let context = Context {
            id: CommandId(Uuid::new_v4()),
            platform: &*platform,
            policy: &Policy::default(),
            isolation: &isolation,
            stop: &Stop::after(Duration::MAX),
            transfer,
            resume: Some(Resuming {
                resume,
                partials: &partials,
            }),
            sink: Some(sink),
            source,
            started: &|_| (),
        };
        verbs::run(&context, call)
    }

    /// Fetches `path` when the server has its first `have` bytes; what was sent, and how it ended.
    fn get(&self, path: &Path, have: &[u8]) -> (Vec<u8>, Result<Value, Fault>) {
        let call = VerbCall::parse(Verb::GetFile, json!({ "path": path })).unwrap();
        let resume = Resume {
            transfer_id: TRANSFER,
            bytes: have.len() as u64,
            sha256: Some(sha256(have)),
        };
        let sink = KeepingSink::default();
        let done = self.run(&call, &resume, None, &sink, None);
        let sent = sink.0.lock().unwrap().clone();
        (sent, done.map(|done| done.output))
    }

    /// Puts `content` at `path`, cut at `until`; where it went on (`usize::MAX`: nowhere), and how it ended.
    fn put(&self, path: &Path, content: &[u8], until: usize) -> (usize, Result<Value, Fault>) {
        let call = json!({ "path": path, "artifact": sha256(content) });
        let call = VerbCall::parse(Verb::PutFile, call).unwrap();
        let resume = Resume {
            transfer_id: TRANSFER,
            bytes: 0,
            sha256: None,
        };
        let transfer = Transfer {
            bytes: content.len() as u64,
            sha256: sha256(content),
        };
        let begun = Mutex::new(None);
        let source = CutSource {
            content,
            until,
            at: Mutex::new(None),
        };
        let noting = NotingSource {
            source,
            begun: &begun,
        };
        let sink = KeepingSink::default();
        let done = self.run(&call, &resume, Some(&transfer), &sink, Some(&noting));
        let begun = begun.lock().unwrap().unwrap_or(usize::MAX);
        (begun, done.map(|done| done.output))
    }

    fn notes(&self) -> Vec<String> {
        names(&self.state.path().join("partials"))
    }
}

/// Notes where the first chunk was to begin.
struct NotingSource<'a> {
    source: CutSource<'a>,
    begun: &'a Mutex<Option<usize>>,
}

impl ChunkSource for NotingSource<'_> {
    fn begin(&self, offset: u64) {
        *self.begun.lock().unwrap() = Some(offset as usize);
        self.source.begin(offset);
    }

    fn next(&self, stop: &Stop) -> Result<Vec<u8>, Fault> {
        self.source.next(stop)
    }
}

#[test]
fn what_the_server_has_is_not_sent_again_and_all_of_it_is_hashed() {
    let (scene, content) = (Scene::new(), content());
    let path = scene.dir.path().join("f");
    fs::write(&path, &content).unwrap();
    for have in [0, 1, 262_144, 600_000, content.len()] {
        let (sent, ended) = scene.get(&path, &content[..have]);
        assert!(sent == content[have..], "{have}");
        assert_eq!(
            ended.unwrap(),
            json!({ "bytes": content.len(), "sha256": sha256(&content) })
        );
    }
}

#[test]
fn a_file_that_begins_otherwise_now_is_named_and_nothing_of_it_is_sent() {
    let (scene, content) = (Scene::new(), content());
    let path = scene.dir.path().join("f");
    let mut other = content.clone();
    other[299_999] ^= 1;
    for now in [&other[..], &content[..250_000], b""] {
        fs::write(&path, now).unwrap();
        let (sent, ended) = scene.get(&path, &content[..300_000]);
        assert_eq!(ended.unwrap_err().code, "file_changed");
        assert!(sent.is_empty());
    }
    // A log that grew meanwhile begins as it did.
    fs::write(&path, [&content[..], b"more"].concat()).unwrap();
    let (sent, ended) = scene.get(&path, &content);
    assert_eq!(
        (sent, ended.unwrap()["bytes"].as_u64()),
        (b"more".to_vec(), Some(900_004))
    );
}

#[test]
fn a_file_that_is_put_goes_on_behind_what_came_and_is_in_place_only_when_it_is_whole() {
    let (scene, content) = (Scene::new(), content());
    let path = scene.dir.path().join("f");
    fs::write(&path, "before").unwrap();
    let temporary = format!(".tripline-{TRANSFER}");
    for (until, begun) in [(250_000, 0), (250_000, 250_000), (700_000, 250_000)] {
        let (at, ended) = scene.put(&path, &content, until);
        assert_eq!((at, ended.unwrap_err()), (begun, paused()));
        assert_eq!(names(scene.dir.path()), [temporary.as_str(), "f"]);
        assert_eq!(fs::read(&path).unwrap(), b"before");
        assert_eq!(scene.notes(), [TRANSFER.to_string()]);
    }
    let (at, ended) = scene.put(&path, &content, content.len());
    assert_eq!(at, 700_000);
    assert_eq!(
        ended.unwrap(),
        json!({ "bytes": content.len(), "sha256": sha256(&content) })
    );
    assert_eq!(names(scene.dir.path()), ["f"]);
    assert!(fs::read(&path).unwrap() == content && scene.notes().is_empty());
}

#[test]
fn what_was_changed_on_the_host_meanwhile_is_never_put_in_place() {
    let (scene, content) = (Scene::new(), content());
    let path = scene.dir.path().join("f");
    let (_, ended) = scene.put(&path, &content, 250_000);
    assert_eq!(ended.unwrap_err(), paused());
    let temporary = scene.dir.path().join(format!(".tripline-{TRANSFER}"));
    let mut changed = fs::read(&temporary).unwrap();
    changed[7] ^= 1;
    fs::write(&temporary, changed).unwrap();
    let (at, ended) = scene.put(&path, &content, content.len());
    assert_eq!(
        (at, ended.unwrap_err().code),
        (250_000, "hash_mismatch".to_owned())
    );
    assert!(names(scene.dir.path()).is_empty() && scene.notes().is_empty());
    // The next one begins anew.
    let (at, ended) = scene.put(&path, &content, content.len());
    assert_eq!((at, ended.is_ok()), (0, true));
}

#[test]
fn a_temporary_file_that_this_agent_did_not_leave_is_not_gone_on_with() {
    let (scene, content) = (Scene::new(), content());
    let path = scene.dir.path().join("f");
    let temporary = scene.dir.path().join(format!(".tripline-{TRANSFER}"));
    fs::write(&temporary, &content[..5]).unwrap();
    let (at, ended) = scene.put(&path, &content, content.len());
    assert_eq!((at, ended.is_ok()), (0, true));
    // One that is too long for this content is none of it.
    let (_, ended) = scene.put(&path, &content, 250_000);
    assert_eq!(ended.unwrap_err(), paused());
    let (at, ended) = scene.put(&path, b"short", 5);
    assert_eq!((at, ended.is_ok()), (0, true));
    assert_eq!(fs::read(&path).unwrap(), b"short");
    assert_eq!(names(scene.dir.path()), ["f"]);
}

#[test]
fn a_file_that_cannot_be_begun_or_gone_on_with_leaves_neither_a_note_nor_a_file() {
    let (scene, content) = (Scene::new(), content());
    let nowhere = scene.dir.path().join("missing/f");
    let (at, ended) = scene.put(&nowhere, &content, content.len());
    assert_eq!((at, ended.unwrap_err().code), (usize::MAX, "ENOENT".to_owned()));
    assert_eq!(scene.notes(), [""; 0]);

    let path = scene.dir.path().join("f");
    let (_, ended) = scene.put(&path, &content, 250_000);
    assert_eq!(ended.unwrap_err(), paused());
    // The note cannot be written anew.
    let unwritable = scene.state.path().join(format!("partials/{TRANSFER}.new"));
    fs::create_dir(&unwritable).unwrap();
    let (at, ended) = scene.put(&path, &content, content.len());
    assert_eq!(
        (at, ended.unwrap_err().code),
        (usize::MAX, "state_unwritable".to_owned())
    );
    fs::remove_dir(unwritable).unwrap();
    assert_eq!(names(scene.dir.path()), [""; 0]);
    assert_eq!(scene.notes(), [""; 0]);
}

#[test]
fn one_that_is_cut_too_many_makes_the_oldest_go_at_once() {
    let (scene, content) = (Scene::new(), content());
    let partials = Partials::open(scene.state.path(), &*platform::native()).unwrap();
    let older = |n: usize| scene.dir.path().join(format!("older-{n}"));
    for n in 0..partials::KEPT_MAX {
        let claim = partials.claim(Uuid::from_u128(1000 + n as u128)).unwrap();
        claim.begin(older(n).as_os_str().as_encoded_bytes()).unwrap();
        fs::write(older(n), "half").unwrap();
    }
    let (_, ended) = scene.put(&scene.dir.path().join("f"), &content, 250_000);
    assert_eq!(ended.unwrap_err(), paused());
    let left = (0..partials::KEPT_MAX).filter(|n| older(*n).exists()).count();
    assert_eq!(left, partials::KEPT_MAX - 1);
    assert_eq!(scene.notes().len(), partials::KEPT_MAX);
    assert!(scene.notes().contains(&TRANSFER.to_string()));
}
