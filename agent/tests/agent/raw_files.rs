//! get_raw_file: files without a trace, and block devices where they may be read.

use crate::support::{Run, at, fault, output, sha256};
use serde_json::json;
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use tripline_agent::policy::Policy;
use tripline_protocol::verb::Verb;

/// A block device of this machine that this user may read.
fn block_device() -> Option<PathBuf> {
    let entries = fs::read_dir("/dev").unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().find(|path| {
        let is_block = fs::metadata(path).is_ok_and(|found| found.file_type().is_block_device());
        is_block && crate::support::is_readable_device(path)
    })
}

#[test]
fn a_file_is_read_raw_without_a_change_of_its_access_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    fs::write(&path, "0123456789").unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let times = FileTimes::new().set_accessed(long_ago);
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_times(times)
        .unwrap();
    let run = Run::default();
    let args = json!({ "path": path, "offset": 2, "bytes_max": 5 });
    let found = run.output(Verb::GetRawFile, args.clone());
    assert_eq!(found, json!({ "bytes": 5, "sha256": sha256(b"23456") }));
    assert_eq!(*run.sink.0.lock().unwrap(), b"23456");
    assert_eq!(fs::metadata(&path).unwrap().accessed().unwrap(), long_ago);
    assert_eq!(output(Verb::GetFile, args)["bytes"], 5);
}

#[test]
fn what_is_no_file_and_what_is_denied_is_not_read_raw() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "secret").unwrap();
    assert_eq!(
        fault(Verb::GetRawFile, at("/dev/zero")).code,
        "not_a_regular_file"
    );
    assert_eq!(fault(Verb::GetRawFile, at(dir.path())).code, "EISDIR");
    let run = Run::denying(dir.path());
    assert_eq!(
        run.fault(Verb::GetRawFile, at(dir.path().join("f"))).code,
        "path_denied"
    );
    let small = Run {
        policy: Policy {
            file_bytes_max: 5,
            ..Policy::default()
        },
        ..Run::default()
    };
    assert_eq!(
        small.fault(Verb::GetRawFile, at(dir.path().join("f"))).code,
        "file_too_large"
    );
    assert!(small.sink.0.lock().unwrap().is_empty());
}

#[test]
fn a_block_device_is_read_only_where_the_configuration_says_so() {
    let Some(device) = block_device() else {
        // A machine without one, or a user who may not read any: then none is read either.
        return;
    };
    let args = json!({ "path": device, "offset": 4096, "bytes_max": 8192 });
    assert_eq!(fault(Verb::GetRawFile, args.clone()).code, "device_denied");
    assert_eq!(fault(Verb::GetFile, args.clone()).code, "not_a_regular_file");
    let policy = Policy {
        raw_devices: true,
        ..Policy::default()
    };
    let allowed = Run {
        policy,
        ..Run::default()
    };
    let found = allowed.output(Verb::GetRawFile, args);
    let content = allowed.sink.0.lock().unwrap();
    assert_eq!(found, json!({ "bytes": 8192, "sha256": sha256(&content) }));
    assert_eq!(content.len(), 8192);
}
