//! get_file, put_file, delete_file, create_directory.

use crate::support::{Run, at, fault, is_root, names, output, sha256};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tripline_protocol::FaultClass;
use tripline_protocol::verb::Verb;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_file_is_sent_whole_with_its_hash() {
    let dir = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..3_000_000u32).map(|n| n as u8).collect();
    fs::write(dir.path().join("f"), &content).unwrap();
    let run = Run::default();
    let output = run.output(Verb::GetFile, at(dir.path().join("f")));
    assert_eq!(output, json!({ "bytes": 3_000_000, "sha256": sha256(&content) }));
    assert_eq!(*run.sink.0.lock().unwrap(), content);
}

#[test]
fn a_part_of_a_file_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    fs::write(&path, "0123456789").unwrap();
    let run = Run::default();
    let output = run.output(
        Verb::GetFile,
        json!({ "path": path, "offset": 3, "bytes_max": 4 }),
    );
    assert_eq!(output, json!({ "bytes": 4, "sha256": sha256(b"3456") }));
    assert_eq!(
        Run::default().output(Verb::GetFile, json!({ "path": path, "offset": 30 }))["bytes"],
        0
    );
}

#[test]
fn a_file_that_says_it_is_empty_is_read_to_its_end() {
    let run = Run::default();
    let output = run.output(Verb::GetFile, at("/proc/self/status"));
    assert!(output["bytes"].as_u64().unwrap() > 0);
    assert!(run.sink.0.lock().unwrap().starts_with(b"Name:"));
}

#[test]
fn a_symlink_to_a_file_is_followed_and_a_loop_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "x").unwrap();
    symlink("f", dir.path().join("link")).unwrap();
    symlink("loop", dir.path().join("loop")).unwrap();
    assert_eq!(output(Verb::GetFile, at(dir.path().join("link")))["bytes"], 1);
    assert_eq!(fault(Verb::GetFile, at(dir.path().join("loop"))).code, "ELOOP");
}

#[test]
fn what_is_no_regular_file_is_refused_without_hanging() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(fault(Verb::GetFile, at(&fifo)).code, "not_a_regular_file");
    assert_eq!(fault(Verb::GetFile, at("/dev/zero")).code, "not_a_regular_file");
    assert_eq!(fault(Verb::GetFile, at(dir.path())).code, "EISDIR");
}

#[test]
fn host_errors_keep_their_code_and_name_the_path() {
    let fault = fault(Verb::GetFile, at("/no/such/file"));
    assert_eq!((fault.class, &*fault.code), (FaultClass::LiveResponse, "ENOENT"));
    assert_eq!(fault.text, "No such file or directory: /no/such/file");
    let relative = crate::support::fault(Verb::GetFile, json!({ "path": "etc/passwd" }));
    assert_eq!(relative.code, "EINVAL");
}

#[test]
fn a_file_too_large_for_this_agent_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "0123456789").unwrap();
    let mut run = Run::default();
    run.policy.file_bytes_max = 9;
    assert_eq!(
        run.fault(Verb::GetFile, at(dir.path().join("f"))).code,
        "file_too_large"
    );
    let put = json!({ "path": dir.path().join("g"), "content": "0123456789" });
    assert_eq!(run.fault(Verb::PutFile, put).code, "file_too_large");
    assert_eq!(names(dir.path()), ["f"]);
}

#[test]
fn a_command_without_time_left_sends_nothing() {
    let run = Run::within(Duration::ZERO);
    assert_eq!(
        run.fault(Verb::GetFile, at("/etc/passwd")).code,
        "command_timeout"
    );
    assert!(run.sink.0.lock().unwrap().is_empty());
}

#[test]
fn a_file_is_written_with_its_mode() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let written = output(Verb::PutFile, json!({ "path": path, "content": "hello" }));
    assert_eq!(written, json!({ "bytes": 5, "sha256": sha256(b"hello") }));
    assert_eq!(
        (fs::read_to_string(&path).unwrap().as_str(), mode(&path)),
        ("hello", 0o600)
    );

    output(
        Verb::PutFile,
        json!({ "path": path, "content_b64": "AP8=", "mode": 0o4751 }),
    );
    assert_eq!((fs::read(&path).unwrap(), mode(&path)), (vec![0, 255], 0o4751));

    output(Verb::PutFile, json!({ "path": path, "content": "kept" }));
    assert_eq!(mode(&path), 0o4751);
    assert_eq!(names(dir.path()), ["f"]);
}

#[test]
fn a_name_that_is_no_utf8_is_written_and_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = dir.path().as_os_str().as_encoded_bytes().to_vec();
    bytes.extend_from_slice(b"/\xff\xfe");
    let path = serde_json::to_value(tripline_protocol::RemotePath::from(bytes)).unwrap();
    assert!(path["b64"].is_string());
    output(Verb::PutFile, json!({ "path": path, "content": "x" }));
    assert_eq!(output(Verb::GetFile, json!({ "path": path }))["bytes"], 1);
    let listed = output(Verb::ListDirectory, at(dir.path()));
    assert_eq!(listed["files"][0]["filename"], json!({ "b64": "//4=" }));
    output(Verb::DeleteFile, json!({ "path": path }));
    assert!(names(dir.path()).is_empty());
}

#[test]
fn an_existing_file_wins_when_it_may_not_be_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let put = json!({ "path": path, "content": "new", "overwrite": false });
    output(Verb::PutFile, put.clone());
    fs::write(&path, "old").unwrap();
    assert_eq!(fault(Verb::PutFile, put).code, "EEXIST");
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(names(dir.path()), ["f"]);
}

#[test]
fn a_symlink_is_replaced_and_not_written_through() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("target"), "old").unwrap();
    symlink("target", dir.path().join("link")).unwrap();
    output(
        Verb::PutFile,
        json!({ "path": dir.path().join("link"), "content": "new" }),
    );
    assert_eq!(fs::read_to_string(dir.path().join("target")).unwrap(), "old");
    assert!(!dir.path().join("link").is_symlink());
}

#[test]
fn content_in_chunks_is_checked_before_it_is_moved_into_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    fs::write(&path, "old").unwrap();
    let hash = sha256(b"hello world");
    let put = json!({ "path": path, "artifact": hash });

    let wrong = Run::receiving(11, hash.clone(), &[b"hello ", b"wOrld"]);
    assert_eq!(wrong.fault(Verb::PutFile, put.clone()).code, "hash_mismatch");
    let short = Run::receiving(11, hash.clone(), &[b"hello "]);
    assert_eq!(short.fault(Verb::PutFile, put.clone()).code, "transfer_cut");
    let other = Run::receiving(11, sha256(b"other"), &[b"hello world"]);
    assert_eq!(other.fault(Verb::PutFile, put.clone()).code, "hash_mismatch");
    assert_eq!(
        Run::default().fault(Verb::PutFile, put.clone()).code,
        "transfer_missing"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(names(dir.path()), ["f"]);

    Run::receiving(11, hash, &[b"hello ", b"world"]).output(Verb::PutFile, put);
    assert_eq!(fs::read_to_string(&path).unwrap(), "hello world");
    assert_eq!(names(dir.path()), ["f"]);
}

#[test]
fn nothing_is_written_where_there_is_no_directory_or_one_is_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let put = |path: &str| json!({ "path": dir.path().join(path), "content": "x" });
    assert_eq!(fault(Verb::PutFile, put("none/f")).code, "ENOENT");
    fs::create_dir(dir.path().join("d")).unwrap();
    assert_eq!(fault(Verb::PutFile, put("d")).code, "EISDIR");
    assert_eq!(fault(Verb::PutFile, put("d/..")).code, "EINVAL");
    assert_eq!(names(dir.path()), ["d"]);
}

#[test]
fn deleting_takes_files_symlinks_and_empty_directories() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("full/empty")).unwrap();
    fs::write(dir.path().join("f"), "x").unwrap();
    symlink("full", dir.path().join("link")).unwrap();
    assert_eq!(
        fault(Verb::DeleteFile, at(dir.path().join("full"))).code,
        "ENOTEMPTY"
    );
    for path in ["link", "f", "full/empty", "full"] {
        output(Verb::DeleteFile, at(dir.path().join(path)));
    }
    assert_eq!(fault(Verb::DeleteFile, at(dir.path().join("f"))).code, "ENOENT");
    assert!(names(dir.path()).is_empty());
}

#[test]
fn directories_are_made_alone_or_with_parents() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("a/b/c");
    assert_eq!(fault(Verb::CreateDirectory, at(&deep)).code, "ENOENT");
    for _ in 0..2 {
        output(Verb::CreateDirectory, json!({ "path": deep, "parents": true }));
    }
    assert!(deep.is_dir());
    assert_eq!(fault(Verb::CreateDirectory, at(&deep)).code, "EEXIST");
    fs::write(dir.path().join("f"), "x").unwrap();
    let through_file = json!({ "path": dir.path().join("f/d"), "parents": true });
    assert_eq!(fault(Verb::CreateDirectory, through_file).code, "ENOTDIR");
}

/// Puts a folder and a symlink in each other's place, again and again, as long as `work` runs.
fn while_swapping(one: &Path, other: &Path, work: impl FnOnce()) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            let mut swaps = 0_u64;
            while !over.load(Ordering::Relaxed) {
                renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
                swaps += 1;
            }
            swaps
        });
        work();
        over.store(true, Ordering::Relaxed);
        assert!(swapping.join().unwrap() > 100, "it was hardly ever swapped");
    });
}

#[test]
fn a_folder_that_becomes_a_symlink_between_check_and_use_leads_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    fs::create_dir(root.join("secret")).unwrap();
    fs::write(root.join("secret/f"), "secret").unwrap();
    fs::create_dir(root.join("place")).unwrap();
    symlink(root.join("secret"), root.join("door")).unwrap();
    let put = json!({ "path": root.join("place/f"), "content": "put" });
    let made = json!({ "path": root.join("place/new/deep"), "parents": true });
    while_swapping(&root.join("place"), &root.join("door"), || {
        let (mut done, mut denied) = (0, 0);
        while done < 50 || denied < 50 {
            for (verb, args) in [
                (Verb::PutFile, put.clone()),
                (Verb::CreateDirectory, made.clone()),
                (Verb::GetFile, at(root.join("place/f"))),
                (Verb::DeleteFile, at(root.join("place/f"))),
            ] {
                let run = Run::denying(&root.join("secret"));
                match run.done(verb, args) {
                    Ok(_) => done += 1,
                    Err(fault) => denied += u32::from(fault.code == "path_denied"),
                }
                assert_ne!(*run.sink.0.lock().unwrap(), b"secret", "{verb}");
            }
        }
    });
    assert_eq!(fs::read_to_string(root.join("secret/f")).unwrap(), "secret");
    assert_eq!(names(&root.join("secret")), ["f"]);
}

#[test]
fn denied_paths_are_out_of_reach_through_symlinks_and_dots() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    fs::create_dir_all(root.join("secret/inner")).unwrap();
    fs::create_dir(root.join("open")).unwrap();
    fs::write(root.join("secret/key"), "x").unwrap();
    symlink(root.join("secret"), root.join("open/door")).unwrap();
    symlink(root.join("secret/key"), root.join("open/key")).unwrap();
    let run = Run::denying(&root.join("secret"));
    let code = |verb, args| run.fault(verb, args).code;
    for path in [
        "secret/key",
        "open/door/key",
        "open/key",
        "open/../secret/key",
        "open/door/../secret/key",
    ] {
        assert_eq!(code(Verb::GetFile, at(root.join(path))), "path_denied", "{path}");
    }
    for path in [
        "secret/new",
        "open/door/new",
        "open/door/inner/new",
        "open/../secret/new",
    ] {
        let path = root.join(path);
        assert_eq!(
            code(Verb::PutFile, json!({ "path": path, "content": "x" })),
            "path_denied"
        );
        assert_eq!(code(Verb::CreateDirectory, at(&path)), "path_denied");
        assert_eq!(
            code(Verb::CreateDirectory, json!({ "path": path, "parents": true })),
            "path_denied"
        );
    }
    assert_eq!(
        code(Verb::DeleteFile, at(root.join("open/door/key"))),
        "path_denied"
    );
    assert_eq!(code(Verb::DeleteFile, at(root.join("secret"))), "path_denied");
    assert_eq!(
        code(Verb::ListDirectory, at(root.join("open/door"))),
        "path_denied"
    );
    assert_eq!(code(Verb::Walk, at(root.join("open/door/inner"))), "path_denied");
    let there = json!({ "argv": ["true"], "working_directory": root.join("open/door") });
    assert_eq!(code(Verb::CreateProcess, there), "path_denied");
    assert_eq!(names(&root.join("secret")), ["inner", "key"]);
    // The symlinks themselves are not denied.
    run.output(Verb::DeleteFile, at(root.join("open/door")));
}

#[test]
fn a_denied_directory_is_left_out_of_listings_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    fs::create_dir_all(root.join("secret")).unwrap();
    fs::write(root.join("secret/key"), "x").unwrap();
    fs::write(root.join("plain"), "x").unwrap();
    let run = Run::denying(&root.join("secret"));
    for verb in [Verb::ListDirectory, Verb::Walk] {
        let listed = run.output(verb, at(&root));
        assert_eq!(listed["files"].as_array().unwrap().len(), 1);
        assert_eq!(
            (&listed["files"][0]["filename"], &listed["omitted"]),
            (&json!("plain"), &json!(1))
        );
    }
}

#[test]
fn a_read_only_agent_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = Run::default();
    run.policy.read_only = true;
    let put = json!({ "path": dir.path().join("f"), "content": "x" });
    assert_eq!(run.fault(Verb::PutFile, put).code, "read_only");
    assert_eq!(
        run.fault(Verb::CreateProcess, json!({ "command": "true" })).code,
        "read_only"
    );
    run.output(Verb::ListDirectory, at(dir.path()));
}

#[test]
fn what_linux_does_not_have_is_unsupported() {
    let fault = fault(Verb::ListRegistryKeys, json!({ "path": "HKLM\\Software" }));
    assert_eq!(
        (fault.class, &*fault.code),
        (FaultClass::Unsupported, "unsupported_verb")
    );
}

#[test]
fn permissions_of_the_host_are_reported() {
    if is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    fs::write(&path, "x").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    assert_eq!(fault(Verb::GetFile, at(&path)).code, "EACCES");
}
