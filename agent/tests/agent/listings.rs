//! list_directory and walk.

use crate::support::{Run, at, fault, output};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use tripline_protocol::limit::LIST_ENTRIES_MAX;
use tripline_protocol::verb::Verb;

fn entry<'a>(listed: &'a Value, name: &str) -> &'a Value {
    let files = listed["files"].as_array().unwrap();
    files
        .iter()
        .find(|entry| entry["filename"] == name)
        .unwrap_or_else(|| panic!("{name} is not listed"))
}

fn filenames(listed: &Value) -> Vec<&str> {
    listed["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["filename"].as_str().unwrap())
        .collect()
}

#[test]
fn entries_have_the_fields_of_cbapi() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("dir")).unwrap();
    fs::write(dir.path().join(".hidden"), "12345").unwrap();
    fs::set_permissions(dir.path().join(".hidden"), fs::Permissions::from_mode(0o444)).unwrap();
    symlink("dir", dir.path().join("to-dir")).unwrap();
    let _socket = UnixListener::bind(dir.path().join("socket")).unwrap();
    let listed = output(Verb::ListDirectory, at(dir.path()));
    assert_eq!(filenames(&listed), [".hidden", "dir", "socket", "to-dir"]);
    assert_eq!(entry(&listed, "dir")["attributes"], json!(["DIRECTORY"]));
    assert_eq!(entry(&listed, "socket")["attributes"], json!(["DEVICE"]));
    let hidden = entry(&listed, ".hidden");
    assert_eq!(hidden["attributes"], json!(["ARCHIVE", "READONLY", "HIDDEN"]));
    assert_eq!((&hidden["size"], &hidden["mode"]), (&json!(5), &json!(0o444)));
    for time in ["create_time", "last_access_time", "last_write_time"] {
        assert!(hidden[time].as_i64().unwrap() > 1_000_000_000, "{time}");
    }
    assert!(!hidden["owner"].as_str().unwrap().is_empty());
    let link = entry(&listed, "to-dir");
    assert_eq!(
        (&link["attributes"], &link["link_target"]),
        (&json!(["REPARSE_POINT"]), &json!("dir"))
    );
    assert_eq!(listed["omitted"], 0);
}

#[test]
fn loops_of_symlinks_are_listed_and_never_followed() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("a")).unwrap();
    symlink("..", dir.path().join("a/up")).unwrap();
    symlink("self", dir.path().join("self")).unwrap();
    let listed = output(Verb::Walk, at(dir.path()));
    assert_eq!(filenames(&listed), ["a", "a/up", "self"]);
    assert_eq!(entry(&listed, "a/up")["attributes"], json!(["REPARSE_POINT"]));
}

#[test]
fn a_walk_is_sorted_and_goes_as_deep_as_it_may() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
    File::create(dir.path().join("a.txt")).unwrap();
    let walk = |depth: u32| output(Verb::Walk, json!({ "path": dir.path(), "depth_max": depth }));
    assert_eq!(filenames(&walk(0)), ["a", "a.txt"]);
    assert_eq!(filenames(&walk(1)), ["a", "a.txt", "a/b"]);
    assert_eq!(filenames(&walk(9)), ["a", "a.txt", "a/b", "a/b/c"]);
}

#[test]
fn a_tree_deeper_than_any_walk_goes_is_cut_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join(vec!["d"; 70].join("/"))).unwrap();
    let walk = |depth: u32| output(Verb::Walk, json!({ "path": dir.path(), "depth_max": depth }));
    let listed = walk(1000);
    assert_eq!(listed["files"].as_array().unwrap().len(), 65);
    assert_eq!(listed["omitted"], 1);
    // What the caller did not ask for is not left out.
    assert_eq!(walk(10)["omitted"], 0);
}

#[test]
fn a_walk_over_many_small_directories_counts_what_does_not_fit() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..300 {
        let inner = dir.path().join(format!("{n:03}"));
        fs::create_dir(&inner).unwrap();
        for file in 0..9 {
            File::create(inner.join(file.to_string())).unwrap();
        }
    }
    let listed = output(Verb::Walk, at(dir.path()));
    let kept = listed["files"].as_array().unwrap().len();
    assert!(kept <= LIST_ENTRIES_MAX && listed.to_string().len() <= 256 * 1024);
    // Of directories that were not entered any more, only they themselves are known.
    let seen = kept as u64 + listed["omitted"].as_u64().unwrap();
    assert!((LIST_ENTRIES_MAX as u64..=3000).contains(&seen), "{seen}");
    let files = filenames(&listed);
    assert!(files.is_sorted() && files.contains(&"000/8"));
}

#[test]
fn a_large_directory_is_cut_and_counted_within_a_frame() {
    let dir = tempfile::tempdir().unwrap();
    let count = LIST_ENTRIES_MAX + 500;
    for n in 0..count {
        File::create(dir.path().join(format!("{n:05}-{}", "x".repeat(150)))).unwrap();
    }
    for verb in [Verb::ListDirectory, Verb::Walk] {
        let listed = output(verb, at(dir.path()));
        let kept = listed["files"].as_array().unwrap().len();
        assert!(kept > 100 && filenames(&listed)[0].starts_with("00000-"));
        assert_eq!(listed["omitted"], count - kept);
        assert!(listed.to_string().len() <= 256 * 1024);
    }
}

#[test]
fn what_is_no_directory_is_refused() {
    assert_eq!(fault(Verb::ListDirectory, at("/etc/passwd")).code, "ENOTDIR");
    assert_eq!(fault(Verb::Walk, at("/no/such")).code, "ENOENT");
}

#[test]
fn entries_that_vanish_while_listed_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    File::create(dir.path().join("stays")).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for n in 0..20 {
                    fs::create_dir(dir.path().join(format!("d{n}"))).unwrap();
                }
                for n in 0..20 {
                    fs::remove_dir(dir.path().join(format!("d{n}"))).unwrap();
                }
            }
        });
        for _ in 0..300 {
            for verb in [Verb::ListDirectory, Verb::Walk] {
                let listed = Run::default().done(verb, at(dir.path()));
                let listed = listed
                    .inspect_err(|_| stop.store(true, Ordering::Relaxed))
                    .unwrap()
                    .output;
                entry(&listed, "stays");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}
