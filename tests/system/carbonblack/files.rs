//! Files that go to a host and come from it, and what becomes of them.

use super::*;
use crate::sessions::{cut_upload, incoming};

#[tokio::test]
async fn an_upload_in_parts_is_put_on_a_host_also_in_a_later_session() {
    let scene = Scene::new(&[]).await;
    let script = &scene.script;
    let session = script.session(1).await;
    let part = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"dir/tool\"\r\n\r\n";
    let upload = |body: String| {
        let request = script.request(Method::POST, &format!("{session}/file"));
        Script::send(
            request
                .header("Content-Type", "multipart/form-data; boundary=b")
                .body(body),
        )
    };
    let uploaded = upload(format!("{part}content\r\n--b--\r\n")).await;
    assert_eq!(
        (uploaded.status, &uploaded.body["file_name"]),
        (200, &json!("tool")),
        "{uploaded:?}"
    );
    let other = part.replace("\"file\"", "\"other\"");
    assert_eq!(upload(format!("{other}content\r\n--b--\r\n")).await.status, 400);
    assert_eq!(upload(format!("{part}cut")).await.status, 400);
    assert_eq!(incoming(scene.server.data_dir()), 0);

    let later = script.session(1).await;
    let path = scene.site.path("put");
    let put = json!({"name": "put file", "object": path, "file_id": uploaded.body["id"]});
    assert_eq!(script.run(&later, put).await["status"], "complete");
    assert_eq!(std::fs::read(&path).expect("put"), b"content");
    let head = format!(
        "POST {session}/file HTTP/1.1\r\nX-Auth-Token: {}\r\nContent-Type: multipart/form-data; boundary=b",
        script.token
    );
    cut_upload(&scene.server, &head, part).await;
    assert_eq!(
        script
            .get(&format!("{session}/file"))
            .await
            .body
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}

#[tokio::test]
async fn a_deleted_file_is_gone_for_scripts_and_the_record_keeps_that_it_was_there() {
    let scene = Scene::new(&[]).await;
    let script = &scene.script;
    let session = script.session(1).await;
    let source = scene.site.write("evidence", "evidence");
    let fetched = script
        .run(&session, json!({"name": "get file", "object": source}))
        .await;
    let number = &fetched["file_id"];
    let uploaded = upload(script, &session, "tool").await;
    for file in [number, &uploaded] {
        let path = format!("{session}/file/{file}");
        assert_eq!(script.get(&path).await.body["delete"], json!(false));
        assert_eq!(script.put(&path, json!({"delete": false})).await.status, 400);
    }
    let gone = |number: &Value| format!("File {number} not found");
    let (first, second) = (
        format!("{session}/file/{number}"),
        format!("{session}/file/{uploaded}"),
    );
    let deleted = script.delete(&first).await;
    assert_eq!((deleted.status, text(&deleted)), (204, ""));
    let mut whole = script.get(&second).await.body;
    whole["delete"] = json!(true);
    let deleted = script.put(&second, whole.clone()).await;
    assert_eq!((deleted.status, &deleted.body), (200, &whole));
    for (path, number) in [(&first, number), (&second, &uploaded)] {
        for answer in [
            script.get(path).await,
            script.get(&format!("{path}/content")).await,
            script.delete(path).await,
        ] {
            assert_eq!((answer.status, text(&answer)), (404, &*gone(number)));
        }
    }
    assert_eq!(script.get(&format!("{session}/file")).await.body, json!([]));
    let put = json!({"name": "put file", "object": "/tmp/x", "file_id": uploaded});
    let late = script.post(&format!("{session}/command"), put).await;
    assert_eq!((late.status, text(&late)), (404, &*gone(&uploaded)));

    // What `/v1` shows is the record, for those who look into it later.
    let api = scene.server.api();
    let record = format!("/v1/sessions/{}", session.rsplit('/').next().expect("a number"));
    assert_eq!(api.get(&format!("{record}/files")).await.body["items"], json!([]));
    let kept = api.get(&format!("{record}/files?deleted=true")).await.body["items"].clone();
    let names: Vec<&Value> = kept
        .as_array()
        .expect("files")
        .iter()
        .map(|file| &file["name"])
        .collect();
    assert_eq!(names, ["evidence", "tool"]);
    assert!(
        kept[0]["deleted_at"].is_string() && kept[0]["deleted_by"] == "admin",
        "{kept}"
    );
    assert_eq!(
        (&kept[0]["bytes"], &kept[0]["sha256"]),
        (&json!(8), &fetched_hash(&api, &record).await)
    );
    for path in [
        format!("{record}/files/{number}/content"),
        format!("{record}/files/7/content"),
    ] {
        assert_eq!(api.get(&path).await.code(), "not_found", "{path}");
    }
    let again = api
        .request(Method::DELETE, &format!("{record}/files/{number}"))
        .send()
        .await;
    assert_eq!(again.expect("an answer").status(), 404);
    let archive = script
        .request(Method::GET, &format!("{session}/archive"))
        .send()
        .await;
    let archive = archive.expect("an answer").bytes().await.expect("a zip");
    let archive = zip::ZipArchive::new(std::io::Cursor::new(archive)).expect("a zip");
    assert_eq!(archive.len(), 0);
}

/// The hash that the transcript has of what its first command fetched.
async fn fetched_hash(api: &crate::harness::Api, record: &str) -> Value {
    let transcript = api.get(&format!("{record}/commands")).await.body;
    transcript["items"][0]["artifact"]["sha256"].clone()
}

/// Uploads a content that says its name; its number.
async fn upload(script: &Script, session: &str, name: &str) -> Value {
    let body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n{name}\r\n--b--\r\n"
    );
    let request = script.request(Method::POST, &format!("{session}/file"));
    let request = request
        .header("Content-Type", "multipart/form-data; boundary=b")
        .body(body);
    let uploaded = Script::send(request).await;
    assert_eq!(uploaded.status, 200, "{uploaded:?}");
    uploaded.body["id"].clone()
}

#[tokio::test]
async fn another_token_s_file_is_not_there_whatever_session_it_is_asked_for_in() {
    let scene = Scene::new(&[]).await;
    let session = scene.script.session(1).await;
    let number = upload(&scene.script, &session, "secret").await;
    let stranger = scene.other("operator").await;
    let own = stranger.session(1).await;
    let said = format!("File {number} not found");
    let put = json!({"name": "put file", "object": "/tmp/x", "file_id": number});
    for answer in [
        stranger.get(&format!("{own}/file/{number}")).await,
        stranger.get(&format!("{own}/file/{number}/content")).await,
        stranger.delete(&format!("{own}/file/{number}")).await,
        stranger.post(&format!("{own}/command"), put).await,
    ] {
        assert_eq!((answer.status, text(&answer)), (404, &*said));
    }
    let content = scene
        .script
        .get(&format!("{session}/file/{number}/content"))
        .await;
    assert_eq!(text(&content), "secret");
}
