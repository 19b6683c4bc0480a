//! Files and directories, and the archive of what a session transferred.

use crate::scene::Scene;
use serde_json::json;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{Cursor, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

/// No byte of it repeats where a piece of a transfer begins.
fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8 ^ (at >> 16) as u8).collect()
}

#[tokio::test]
async fn a_file_of_many_megabytes_is_fetched_byte_for_byte_at_once_or_as_a_stream() {
    let scene = Scene::start().await;
    let path = scene.site.write("image", content(20 << 20));
    scene
        .run(
            r#"
            import shutil

            with session() as lr:
                with open("whole", "wb") as whole:
                    whole.write(lr.get_file(given.path))
                with open("streamed", "wb") as streamed:
                    shutil.copyfileobj(lr.get_raw_file(given.path, timeout=60, delay=0.1), streamed)
                assert lr.get_file(given.empty) == b""
            "#,
            json!({"path": path, "empty": scene.site.write("empty", "")}),
        )
        .await;
    for copy in ["script-0/whole", "script-0/streamed"] {
        let fetched = std::fs::read(scene.site.path(copy)).expect("fetched");
        assert!(fetched == content(20 << 20), "{copy}: {} bytes", fetched.len());
    }
}

#[tokio::test]
async fn a_part_of_a_file_can_be_asked_for() {
    let scene = Scene::start().await;
    let said = scene
        .run(
            r#"
            from cbapi.live_response_api import poll_status

            def part(**more):
                command = lr._lr_post_command({"name": "get file", "object": given.path, **more}).json()
                base = f"/api/v1/cblr/session/{lr.session_id}"
                poll_status(lr._cb, f"{base}/command/{command['id']}")
                return lr._cb.session.get(f"{base}/file/{command['file_id']}/content").content

            with session() as lr:
                say(part(offset=3, get_count=4))
                say(part(offset=7))
                say(part(get_count=2))
                say(part(offset=100))
            "#,
            json!({"path": scene.site.write("digits", "0123456789")}),
        )
        .await;
    assert_eq!(said, ["3456", "789", "01", ""]);
}

#[tokio::test]
async fn a_file_is_put_on_the_host_and_another_in_its_place() {
    let scene = Scene::start().await;
    let source = scene.site.write("source.bin", content(5 << 20));
    let put = scene.site.path("put");
    scene
        .run(
            r#"
            import io

            with session() as lr:
                with open(given.source, "rb") as source:
                    lr.put_file(source, given.put)
                lr.put_file(io.BytesIO(b""), given.put + "-empty")
                lr.put_file(io.BytesIO(b"first"), given.put + "-twice")
                lr.put_file(io.BytesIO(b"2nd"), given.put + "-twice")
            "#,
            json!({"source": source, "put": put}),
        )
        .await;
    let read = |name: &str| std::fs::read(scene.site.path(name)).expect("put");
    assert!(read("put") == content(5 << 20));
    assert_eq!(read("put-empty"), b"");
    assert_eq!(read("put-twice"), b"2nd");
}

#[tokio::test]
async fn a_file_is_deleted_and_what_is_not_there_or_is_no_file_is_an_error() {
    let scene = Scene::start().await;
    let file = scene.site.write("folder/file", "content");
    let folder = scene.site.path("folder");
    let said = scene
        .run(
            r#"
            with session() as lr:
                lr.delete_file(given.file)
                for call, path in [(lr.delete_file, given.file), (lr.get_file, given.file), (lr.get_file, given.folder),
                                   (lr.list_directory, given.file), (lr.list_directory, given.other),
                                   (lr.create_directory, given.folder),
                                   (lr.create_directory, given.file + "/below")]:
                    error = failure(call, path)
                    say([error["class"], error["text"], error["details"]["result_desc"]])
            "#,
            json!({"file": file, "folder": folder, "other": scene.site.write("folder/other", "")}),
        )
        .await;
    assert!(!file.exists());
    let expected = [
        ("0x80070002 (ERROR_FILE_NOT_FOUND)", "ENOENT"),
        ("0x80070002 (ERROR_FILE_NOT_FOUND)", "ENOENT"),
        ("0x80070005 (ERROR_ACCESS_DENIED)", "EISDIR"),
        ("0x80070003 (ERROR_PATH_NOT_FOUND)", "ENOENT"),
        ("0x8007010B (ERROR_DIRECTORY)", "ENOTDIR"),
        ("0x800700B7 (ERROR_ALREADY_EXISTS)", "EEXIST"),
        ("0x80070003 (ERROR_PATH_NOT_FOUND)", "ENOENT"),
    ];
    assert_eq!(said.len(), expected.len(), "{said:?}");
    for (said, (text, unix)) in said.iter().zip(expected) {
        assert_eq!(
            (said[0].as_str(), said[1].as_str()),
            (
                Some("LiveResponseError"),
                Some(format!("Win32 error code {text}").as_str())
            ),
            "{said}"
        );
        assert!(said[2].as_str().expect("a text").contains(unix), "{said}");
    }
}

#[tokio::test]
async fn a_directory_is_listed_whole_or_by_a_pattern() {
    let scene = Scene::start().await;
    for name in ["list/a.log", "list/b.log", "list/c.txt", "list/below/d.log"] {
        scene.site.write(name, "12345");
    }
    symlink("a.log", scene.site.path("list/link")).expect("a link");
    let said = scene
        .run(
            r#"
            with session() as lr:
                for entry in lr.list_directory(given.path + "/"):
                    say({key: entry[key] for key in ("filename", "attributes", "size")})
                    for time in ("create_time", "last_access_time", "last_write_time"):
                        assert 1.6e9 < entry[time] < 5e9, (time, entry)
                for pattern in ("", "/", "/*", "/*.log", "/?.txt", "/none*"):
                    names = sorted(entry["filename"] for entry in lr.list_directory(given.path + pattern))
                    say([name for name in names if name not in (".", "..")])
            "#,
            json!({"path": scene.site.path("list")}),
        )
        .await;
    let (entries, names) = said.split_at(said.len() - 6);
    let entry = |name: &str| {
        let mut entries = entries.iter();
        entries
            .find(|entry| entry["filename"] == name)
            .unwrap_or_else(|| panic!("{name}"))
    };
    assert_eq!(
        (&entry("a.log")["attributes"], &entry("a.log")["size"]),
        (&json!(["ARCHIVE"]), &json!(5))
    );
    assert_eq!(entry("below")["attributes"], json!(["DIRECTORY"]));
    assert_eq!(entry("link")["attributes"], json!(["REPARSE_POINT"]));
    let all = json!(["a.log", "b.log", "below", "c.txt", "link"]);
    let expected = [
        all.clone(),
        all.clone(),
        all,
        json!(["a.log", "b.log"]),
        json!(["c.txt"]),
        json!([]),
    ];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn names_of_all_kinds_are_listed_and_those_that_are_text_can_be_used() {
    let scene = Scene::start().await;
    let folder = scene.site.path("names");
    for name in ["a b", "ümläut", "it's", "a\\b", "new\nline", ".hidden"] {
        scene.site.write(&format!("names/{name}"), name);
    }
    let no_text = OsStr::from_bytes(b"no \xff text");
    std::fs::write(folder.join(no_text), "").expect("to write");
    let said = scene
        .ask(
            r#"
            with session() as lr:
                names = sorted(entry["filename"] for entry in lr.list_directory(given.folder))
                for name in names:
                    if "\ufffd" not in name:
                        assert lr.get_file(f"{given.folder}/{name}").decode() == name, name
                say(names)
            "#,
            json!({"folder": folder}),
        )
        .await;
    let expected = [
        ".hidden",
        "a b",
        "a\\b",
        "it's",
        "new\nline",
        "no \u{fffd} text",
        "ümläut",
    ];
    assert_eq!(said, json!(expected));
}

#[tokio::test]
async fn a_walk_comes_everywhere_once_and_follows_no_link() {
    let scene = Scene::start().await;
    for name in ["tree/one", "tree/a/two", "tree/a/b/three", "tree/a/b/four"] {
        scene.site.write(name, "");
    }
    symlink(scene.site.path("tree"), scene.site.path("tree/a/b/loop")).expect("a link");
    let said = scene
        .run(
            r#"
            def walked(**more):
                found = lr.walk(given.path, **more)
                return [[top.replace(given.path, "tree"), sorted(folders), sorted(files)] for top, folders, files in found]

            with session() as lr:
                say(walked())
                say(walked(topdown=False))
                errors = []
                assert not list(lr.walk(given.path + "/none", onerror=errors.append))
                say([str(error) for error in errors])
                lr.create_directory(given.path + "/new")
                say([folders for top, folders, files in walked()][0])
            "#,
            json!({"path": scene.site.path("tree")}),
        )
        .await;
    let mut steps = vec![
        json!(["tree", ["a"], ["one"]]),
        json!(["tree/a", ["b"], ["two"]]),
        json!(["tree/a/b", [], ["four", "loop", "three"]]),
    ];
    assert_eq!(said[0], json!(steps));
    steps.reverse();
    assert_eq!(said[1], json!(steps));
    assert_eq!(
        said[2],
        json!(["Win32 error code 0x80070003 (ERROR_PATH_NOT_FOUND)"])
    );
    assert_eq!(said[3], json!(["a", "new"]));
    assert!(scene.site.path("tree/new").is_dir());
}

#[tokio::test]
async fn the_archive_has_everything_that_the_session_transferred_and_nothing_else() {
    let scene = Scene::start().await;
    let (one, same) = (
        scene.site.write("one/hosts", "first"),
        scene.site.write("two/hosts", "second"),
    );
    scene
        .run(
            r#"
            import io

            with session() as other:
                other.get_file(given.one)
            with session() as lr:
                lr.get_file(given.one)
                lr.get_file(given.same)
                lr.put_file(io.BytesIO(bytes(1 << 20)), given.put)
                with open("archive.zip", "wb") as archive:
                    archive.write(lr.get_session_archive().read())
            "#,
            json!({"one": one, "same": same, "put": scene.site.path("put")}),
        )
        .await;
    let bytes = std::fs::read(scene.site.path("script-0/archive.zip")).expect("an archive");
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).expect("a zip");
    let mut found = BTreeMap::new();
    for at in 0..archive.len() {
        let mut file = archive.by_index(at).expect("a file");
        let mut content = Vec::new();
        file.read_to_end(&mut content).expect("whole");
        found.insert(content, file.name().expect("a name").into_owned());
    }
    assert_eq!(found.len(), 3, "{:?}", found.values());
    for (content, part) in [
        (b"first".to_vec(), "hosts"),
        (b"second".to_vec(), "hosts"),
        (vec![0; 1 << 20], "file"),
    ] {
        let name = found.get(&content).expect("a file with this content");
        assert!(name.contains(part), "{name}");
    }
}
