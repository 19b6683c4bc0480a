//! memdump: of real processes, and of the whole host as far as this machine lets it be read.

use crate::support::{Run, names};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tripline_agent::policy::Policy;
use tripline_protocol::FaultClass;
use tripline_protocol::verb::Verb;

/// A text that only the environment of the process has that is looked at.
const MARK: &str = "TRIPLINE_MARK=0d3f61a2-the-needle";

/// A process that is ended with the test.
struct Quarry(Child);

impl Quarry {
    fn start() -> Self {
        let (name, value) = MARK.split_once('=').unwrap();
        let mut child = Command::new("cat")
            .env(name, value)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It answers when all of it is in memory; its name is there before that.
        let (stdin, stdout) = (child.stdin.as_mut().unwrap(), child.stdout.as_mut().unwrap());
        stdin.write_all(b"x").unwrap();
        stdout.read_exact(&mut [0]).unwrap();
        Self(child)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Where a mapping with this name begins and ends.
    fn mapping(&self, name: &str) -> Option<(u64, u64)> {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.pid())).ok()?;
        let line = maps.lines().find(|line| line.ends_with(name))?;
        let (start, end) = line.split_once(' ')?.0.split_once('-')?;
        let hex = |text| u64::from_str_radix(text, 16).ok();
        Some((hex(start)?, hex(end)?))
    }
}

impl Drop for Quarry {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn word(image: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(image[at..at + 8].try_into().unwrap())
}

/// What a core says is at `[start, end)`.
fn loaded(image: &[u8], start: u64, end: u64) -> Vec<u8> {
    assert_eq!(&image[..4], b"\x7fELF");
    assert_eq!(image[16], 4, "a core");
    let count = usize::from(u16::from_ne_bytes(image[56..58].try_into().unwrap()));
    let header = (0..count)
        .map(|n| 64 + n * 56)
        .find(|at| image[*at] == 1 && word(image, at + 16) == start)
        .expect("a segment");
    let (at, bytes) = (
        word(image, header + 8) as usize,
        word(image, header + 32) as usize,
    );
    assert_eq!(bytes as u64, end - start);
    image[at..at + bytes].to_vec()
}

fn holds(content: &[u8], needle: &str) -> bool {
    content
        .windows(needle.len())
        .any(|window| window == needle.as_bytes())
}

fn dump(run: &Run, path: &Path, pid: u32) -> Value {
    run.output(Verb::Memdump, json!({ "path": path, "pid": pid }))
}

#[test]
fn an_image_of_a_process_is_a_core_with_what_the_process_has_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let quarry = Quarry::start();
    let path = dir.path().join("image");
    let dumped = dump(&Run::default(), &path, quarry.pid());
    let image = fs::read(&path).unwrap();
    assert_eq!(
        (&dumped["format"], &dumped["bytes"]),
        (&json!("elf_core"), &json!(image.len()))
    );
    let (start, end) = quarry.mapping("[stack]").unwrap();
    assert!(holds(&loaded(&image, start, end), MARK));
    let program = fs::read_link(format!("/proc/{}/exe", quarry.pid())).unwrap();
    let (start, end) = quarry.mapping(program.to_str().unwrap()).unwrap();
    let content = fs::read(&program).unwrap();
    assert_eq!(loaded(&image, start, end)[..64], content[..64]);
    // The file names of the mappings are in a note.
    assert!(holds(&image[..0x4000], program.to_str().unwrap()));
    assert_eq!(names(dir.path()), ["image"]);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_compressed_image_is_a_zip_with_the_image_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let quarry = Quarry::start();
    let args = json!({ "path": dir.path().join("image"), "pid": quarry.pid(), "compress": true });
    let dumped = Run::default().output(Verb::Memdump, args);
    assert_eq!(names(dir.path()), ["image.zip"]);
    let file = fs::File::open(dir.path().join("image.zip")).unwrap();
    let packed = file.metadata().unwrap().len();
    let mut archive = zip::ZipArchive::new(file).unwrap();
    let mut image = Vec::new();
    archive
        .by_name("elf_core")
        .unwrap()
        .read_to_end(&mut image)
        .unwrap();
    assert_eq!(dumped["bytes"], json!(image.len()));
    assert!(packed < image.len() as u64);
    let (start, end) = quarry.mapping("[stack]").unwrap();
    assert!(holds(&loaded(&image, start, end), MARK));
}

#[test]
fn another_process_than_the_one_meant_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let quarry = Quarry::start();
    let path = dir.path().join("image");
    let processes = Run::default().output(Verb::ListProcesses, json!({}));
    let listed = processes["processes"].as_array().unwrap();
    let listed = listed
        .iter()
        .find(|process| process["pid"] == quarry.pid())
        .unwrap();
    let started = listed["create_time"].as_i64().unwrap();
    let args = |start: i64| json!({ "path": path, "pid": quarry.pid(), "start_time": start });
    let fault = Run::default().fault(Verb::Memdump, args(started - 100));
    assert_eq!(
        (fault.class, &*fault.code),
        (FaultClass::LiveResponse, "recycled_pid")
    );
    assert!(names(dir.path()).is_empty());
    Run::default().output(Verb::Memdump, args(started));
    assert_eq!(names(dir.path()), ["image"]);
}

#[test]
fn what_must_not_or_cannot_be_read_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let quarry = Quarry::start();
    let path = dir.path().join("image");
    let limited = |file_bytes_max, read_only| Run {
        policy: Policy {
            file_bytes_max,
            read_only,
            ..Policy::default()
        },
        ..Run::default()
    };
    let code = |run: Run, pid: u32| run.fault(Verb::Memdump, json!({ "path": path, "pid": pid })).code;
    assert_eq!(code(Run::default(), std::process::id()), "protected_process");
    assert_eq!(code(limited(4096, false), quarry.pid()), "file_too_large");
    assert_eq!(code(limited(u64::MAX, true), quarry.pid()), "read_only");
    assert_eq!(code(Run::denying(dir.path()), quarry.pid()), "path_denied");
    assert_eq!(code(Run::within(Duration::ZERO), quarry.pid()), "command_timeout");
    assert_eq!(code(Run::default(), i32::MAX as u32), "ESRCH");
    let no_directory = json!({ "path": dir.path().join("no/image"), "pid": quarry.pid() });
    assert_eq!(Run::default().fault(Verb::Memdump, no_directory).code, "ENOENT");
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_thread_of_the_kernel_and_a_process_that_ended_have_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    let mut ended = Command::new("true").spawn().unwrap();
    crate::support::wait_until("it has ended", || !crate::support::alive(ended.id()));
    let code = |pid: u32| {
        Run::default()
            .fault(Verb::Memdump, json!({ "path": path, "pid": pid }))
            .code
    };
    // To root it is empty, to others it is closed.
    let expected = if crate::support::is_root() {
        "ESRCH"
    } else {
        "EACCES"
    };
    assert_eq!(code(ended.id()), expected);
    ended.wait().unwrap();
    if fs::read_to_string("/proc/2/comm").is_ok_and(|name| name == "kthreadd\n") {
        assert_eq!(code(2), expected);
    }
    assert!(names(dir.path()).is_empty());
}

#[test]
fn the_whole_memory_is_read_where_the_host_allows_it_and_said_why_not_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    // So that nothing is written on a machine that would let it be read.
    let policy = Policy {
        file_bytes_max: 1024 * 1024,
        ..Policy::default()
    };
    let run = Run {
        policy,
        ..Run::default()
    };
    let fault = run.fault(Verb::Memdump, json!({ "path": dir.path().join("image") }));
    assert_eq!(fault.class, FaultClass::Unsupported);
    match &*fault.code {
        "file_too_large" => {}
        "memory_not_readable" => {
            let sources = ["/dev/crash: ", "/proc/kcore: ", "/dev/mem: "];
            let named = sources.iter().all(|source| fault.text.contains(source));
            assert!(named || fault.text.contains("/proc/iomem"), "{}", fault.text);
        }
        other => panic!("{other}: {}", fault.text),
    }
    assert!(names(dir.path()).is_empty());
}
