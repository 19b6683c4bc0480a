//! Files that are uploaded to a session and fetched by it, and large outputs.

use super::*;
use crate::fixture::hello;
use std::sync::Arc;
use tripline_actors::FilePages;
use tripline_actors::artifact::{ArtifactStore, may_read};
use tripline_actors::store::Table;
use tripline_protocol::frame::{CommandResult, Hello};
use tripline_protocol::step::ArtifactRef;
use tripline_protocol::{Org, Sha256};

struct Files {
    fixture: Fixture,
    artifacts: Arc<ArtifactStore>,
    agent: Agent,
    host_id: HostId,
    session: SessionView,
}

async fn files() -> Files {
    let fixture = Fixture::start();
    let artifacts = fixture.artifacts.clone();
    let host = fixture.enrol("amelie").await;
    let verbs = vec![Verb::GetFile, Verb::PutFile, Verb::ListProcesses];
    let capable = Hello {
        verbs,
        ..hello("amelie")
    };
    let agent = Agent::attach(&fixture.core, host.host_id, capable).await;
    let session = fixture.active(&amelie(), host.host_id).await;
    Files {
        fixture,
        artifacts,
        agent,
        host_id: host.host_id,
        session,
    }
}

impl Files {
    fn content(&self, text: &str) -> ArtifactRef {
        let (sha256, bytes) = self.artifacts.put_bytes(text.as_bytes()).unwrap();
        ArtifactRef {
            sha256,
            bytes,
            name: "tool.bin".into(),
        }
    }
}

fn from(after: Option<u32>, limit: usize) -> FilePages {
    FilePages {
        after,
        limit,
        deleted: false,
    }
}

fn put(sha256: &Sha256) -> RunCommand {
    RunCommand::new(Verb::PutFile, json!({ "path": "/tmp/tool", "artifact": sha256 }))
}

#[actix::test]
async fn an_uploaded_file_is_put_on_the_host_and_outlives_its_session() {
    let mut files = files().await;
    let content = files.content("hello");
    let fixture = &files.fixture;
    let id = files.session.session_id;
    let stranger = fixture
        .core
        .run_command(&amelie(), id, put(&content.sha256))
        .await;
    assert_eq!(
        stranger.unwrap_err().code(),
        "artifact_not_found",
        "no session has it"
    );
    let file = fixture
        .core
        .add_file(&amelie(), id, content.clone())
        .await
        .unwrap();
    assert_eq!((file.number, file.bytes, file.command), (1, 5, None));
    let command = fixture.run(&amelie(), &files.session, put(&content.sha256)).await;
    let sent = files.agent.obey().await;
    assert_eq!(sent.transfer.unwrap().sha256, content.sha256);
    assert_eq!(
        fixture.done(&amelie(), &command).await.state,
        CommandState::Succeeded
    );
    fixture.core.close_session(&amelie(), id).await.unwrap();
    assert_eq!(fixture.core.get_file(&amelie(), 1).await.unwrap(), file);
    let next = fixture.active(&amelie(), files.host_id).await;
    let command = fixture.run(&amelie(), &next, put(&content.sha256)).await;
    files.agent.obey().await;
    assert_eq!(
        fixture.done(&amelie(), &command).await.state,
        CommandState::Succeeded
    );
}

#[actix::test]
async fn a_fetched_file_has_its_number_from_the_beginning() {
    let files = files().await;
    let (fixture, mut agent) = (&files.fixture, files.agent);
    let id = files.session.session_id;
    let content = files.artifacts.put_bytes(b"web-1\n").unwrap();
    let get = RunCommand::new(Verb::GetFile, json!({ "path": "/etc/hostname" }));
    let command = fixture.run(&amelie(), &files.session, get).await;
    assert_eq!(command.file, Some(1));
    let early = fixture.core.get_file(&amelie(), 1).await;
    assert_eq!(early.unwrap_err().code(), "not_found");
    let sent = agent.command().await.command_id;
    let result = CommandResult {
        command_id: sent,
        output: Some(json!({ "sha256": content.0, "bytes": content.1 })),
        error: None,
        truncated: None,
    };
    let artifact = ArtifactRef {
        sha256: content.0.clone(),
        bytes: content.1,
        name: "hostname".into(),
    };
    agent.attached.result(result, Some(artifact.clone()));
    assert_eq!(agent.ack().await, [sent]);
    assert_eq!(fixture.done(&amelie(), &command).await.artifact, Some(artifact));
    let file = fixture.core.get_file(&amelie(), 1).await.unwrap();
    assert_eq!((file.name.as_str(), file.command), ("hostname", Some(1)));
    let upload = ArtifactRef {
        name: "x".into(),
        sha256: content.0,
        bytes: 6,
    };
    let uploaded = fixture.core.add_file(&amelie(), id, upload).await;
    assert_eq!(uploaded.unwrap().number, 2);
    let listed = fixture
        .core
        .list_files(&amelie(), id, from(None, 1))
        .await
        .unwrap();
    assert_eq!((listed.items, listed.next.as_deref()), (vec![file], Some("1")));
    let rest = fixture
        .core
        .list_files(&amelie(), id, from(Some(1), 10))
        .await
        .unwrap();
    assert_eq!((rest.items[0].number, rest.next), (2, None));
}

#[actix::test]
async fn a_large_output_becomes_an_artifact() {
    let mut files = files().await;
    let fixture = &files.fixture;
    let command = fixture.run(&amelie(), &files.session, processes()).await;
    let sent = files.agent.command().await.command_id;
    let output = json!({ "processes": "x".repeat(200_000) });
    files.agent.answer(sent, output.clone());
    let view = fixture.done(&amelie(), &command).await;
    let artifact = view.artifact.unwrap();
    assert_eq!((view.output, artifact.name.as_str()), (None, "command1.json"));
    let (file, _) = files.artifacts.open_read(&artifact.sha256).unwrap();
    assert_eq!(serde_json::from_reader::<_, Value>(file).unwrap(), output);
    let org = Org::default_org();
    assert!(may_read(&fixture.store, &artifact.sha256, Some(&org)).unwrap());
}

#[actix::test]
async fn a_transcript_has_no_contents_of_files() {
    let mut files = files().await;
    let fixture = &files.fixture;
    let put = RunCommand::new(Verb::PutFile, json!({ "path": "/tmp/x", "content": "secret" }));
    let command = fixture.run(&amelie(), &files.session, put).await;
    assert_eq!(
        command.arguments,
        json!({ "path": "/tmp/x", "content_length": 6 })
    );
    let sent = serde_json::to_value(files.agent.obey().await.call).unwrap();
    assert_eq!(sent["put_file"]["content"], "secret");
    let binary = json!({ "path": "/tmp/x", "content_b64": "c2VjcmV0" });
    let put = RunCommand::new(Verb::PutFile, binary);
    fixture.run(&amelie(), &files.session, put).await;
    files.agent.obey().await;
    let id = files.session.session_id;
    let transcript = fixture.core.list_commands(&amelie(), id, None, 10).await.unwrap();
    let told = serde_json::to_string(&transcript).unwrap();
    assert_eq!(transcript.items[1].arguments["content_b64_length"], 8);
    assert!(!told.contains("secret") && !told.contains("c2VjcmV0"), "{told}");
}

#[actix::test]
async fn files_that_cannot_be_are_refused() {
    let files = files().await;
    let fixture = &files.fixture;
    let id = files.session.session_id;
    let content = files.content("hello");
    let named = |name: &str| ArtifactRef {
        name: name.into(),
        ..content.clone()
    };
    for name in ["", "a/b", "a\0b", &"x".repeat(1025)] {
        let refused = fixture.core.add_file(&amelie(), id, named(name)).await;
        assert_eq!(refused.unwrap_err().code(), "bad_file_name", "{name:?}");
    }
    let missing = ArtifactRef {
        sha256: "0".repeat(64).parse().unwrap(),
        ..content.clone()
    };
    let refused = fixture.core.add_file(&amelie(), id, missing).await;
    assert_eq!(refused.unwrap_err().code(), "artifact_not_found");
    fixture.core.close_session(&amelie(), id).await.unwrap();
    let late = fixture.core.add_file(&amelie(), id, content).await;
    assert_eq!(late.unwrap_err().code(), "session_ended");
    assert_eq!(fixture.rows(Table::SessionFile), 0);
}

#[actix::test]
async fn another_org_does_not_see_a_file() {
    let files = files().await;
    let fixture = &files.fixture;
    let content = files.content("hello");
    let file = fixture
        .core
        .add_file(&amelie(), files.session.session_id, content)
        .await
        .unwrap();
    let foreign = tripline_actors::access::Principal {
        org: Some("acme".parse().unwrap()),
        place: None,
        ..caller("amelie")
    };
    let refused = fixture.core.get_file(&foreign, file.number).await;
    assert_eq!(refused.unwrap_err().code(), "not_found");
}

#[actix::test]
async fn a_deleted_file_is_gone_and_the_record_keeps_that_it_was_there() {
    let files = files().await;
    let (fixture, id) = (files.fixture, files.session.session_id);
    let org = Org::default_org();
    let content = files.artifacts.put_bytes(b"evidence").unwrap();
    let artifact = ArtifactRef {
        sha256: content.0.clone(),
        bytes: content.1,
        name: "tool.bin".into(),
    };
    for number in 1..=2 {
        let file = fixture.core.add_file(&amelie(), id, artifact.clone()).await;
        assert_eq!(file.unwrap().number, number);
    }
    let may_read = |fixture: &Fixture| may_read(&fixture.store, &content.0, Some(&org)).unwrap();
    let stranger = fixture.core.delete_file(&caller("bert"), 1).await.unwrap_err();
    assert_eq!(stranger.code(), "forbidden");
    let deleted = fixture.core.delete_file(&amelie(), 1).await.unwrap();
    assert_eq!(deleted.deleted_by.as_deref(), Some("amelie"));
    assert!(may_read(&fixture), "the other file has the same content");
    fixture.core.close_session(&amelie(), id).await.unwrap();
    fixture.core.delete_file(&amelie(), 2).await.unwrap();
    assert!(!may_read(&fixture), "nothing has the content any more");

    let fixture = fixture.restart().await;
    for number in [1, 2, 3] {
        for refused in [
            fixture.core.get_file(&amelie(), number).await,
            fixture.core.own_file(&amelie(), number).await,
            fixture.core.delete_file(&amelie(), number).await,
        ] {
            assert_eq!(refused.unwrap_err().code(), "not_found", "{number}");
        }
    }
    let owner = amelie();
    let listed = |pages| fixture.core.list_files(&owner, id, pages);
    assert_eq!(listed(from(None, 10)).await.unwrap().items, []);
    let all = FilePages {
        deleted: true,
        ..from(None, 10)
    };
    let kept = listed(all).await.unwrap().items;
    let what: Vec<_> = kept
        .iter()
        .map(|file| (file.name.as_str(), &file.sha256, file.bytes))
        .collect();
    assert_eq!(what, [("tool.bin", &content.0, 8); 2]);
    assert!(kept.iter().all(|file| file.deleted_at.is_some()), "{kept:?}");
    // A page of files that are gone says that there is more.
    let page = listed(from(None, 1)).await.unwrap();
    assert_eq!((page.items, page.next.as_deref()), (vec![], Some("1")));
}

#[actix::test]
async fn a_file_of_another_token_is_not_the_callers_own() {
    let files = files().await;
    let (fixture, content) = (&files.fixture, files.content("hello"));
    let id = files.session.session_id;
    let file = fixture.core.add_file(&amelie(), id, content).await.unwrap();
    assert_eq!(fixture.core.own_file(&amelie(), file.number).await.unwrap(), file);
    let other = fixture.core.own_file(&caller("bert"), file.number).await;
    assert_eq!(other.unwrap_err().code(), "not_found");
    assert_eq!(
        fixture.core.get_file(&caller("bert"), file.number).await.unwrap(),
        file
    );
}
