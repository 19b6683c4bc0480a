//! The clock by which the server goes, and the program that has it.

use crate::harness::{Server, Site};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tripline_protocol::{Span, Timestamp};

/// Seconds from when a call of the cloud is made to its deadline.
const DEADLINE: i64 = 590;

/// As many seconds ahead of the machine's as its file says.
pub(super) struct Clock {
    file: PathBuf,
    ahead: u64,
}

impl Clock {
    pub(super) fn new(site: &Site) -> Self {
        let file = site.path("ahead");
        let clock = Self { file, ahead: 0 };
        clock.write();
        clock
    }

    /// The server goes by it from its next start on.
    pub(super) fn wind(&self, server: &mut Server) {
        let program = Path::new(env!("CARGO_BIN_EXE_tripline")).with_file_name("examples/turned-clock");
        assert!(
            program.is_file(),
            "{} is missing; build it first: cargo build --example turned-clock (or test the whole --workspace)",
            program.display()
        );
        let newer = newer_source(&program);
        assert!(
            newer.is_none(),
            "{} is older than {newer:?}, and a server of before would be tested; build it again: cargo build --example turned-clock",
            program.display()
        );
        server.program = program;
        server.set_variable("TURNED_CLOCK", &self.file);
    }

    pub(super) fn turn(&mut self, by: Span) {
        self.ahead += by.as_millis() / 1000;
        self.write();
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from(SystemTime::now()).after(Span::from_secs(self.ahead))
    }

    /// Of a call that is made now, in Unix seconds.
    pub(super) fn deadline(&self) -> i64 {
        self.now().as_micros() / 1_000_000 + DEADLINE
    }

    /// Whoever reads it finds it whole.
    fn write(&self) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, self.ahead.to_string()).expect("written");
        std::fs::rename(new, &self.file).expect("moved");
    }
}

/// A source that changed, or went, since the program was built from it. A build of the tests alone makes the program no newer, as it
/// would `tripline` itself; what it was built from cargo writes beside it.
fn newer_source(program: &Path) -> Option<PathBuf> {
    let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    let built = changed(program).expect("when it was built");
    let list = std::fs::read_to_string(program.with_extension("d")).expect("what it was built from");
    let sources = list.split_once(": ").expect("a program and its sources").1;
    // Spaces within a path have a backslash before them.
    let sources = sources.replace("\\ ", "\0");
    let mut sources = sources
        .split_whitespace()
        .map(|path| PathBuf::from(path.replace('\0', " ")));
    sources.find(|source| changed(source).is_none_or(|at| at > built))
}

#[test]
fn a_program_is_old_when_one_of_its_sources_is_newer_or_gone() {
    let dir = tempfile::tempdir().expect("a folder");
    let built = SystemTime::now();
    let file = |name: &str, at: SystemTime| {
        let path = dir.path().join(name);
        let file = std::fs::File::create(&path).expect("created");
        file.set_modified(at).expect("set");
        path
    };
    let program = file("program", built);
    let sources = ["a.rs", "with space.rs"].map(|name| file(name, built - Duration::from_secs(1)));
    let escaped = sources
        .each_ref()
        .map(|path| path.to_str().expect("UTF-8").replace(' ', "\\ "));
    let list = format!("{}: {}\n", program.display(), escaped.join(" "));
    std::fs::write(program.with_extension("d"), list).expect("written");
    assert_eq!(newer_source(&program), None);
    file("with space.rs", built + Duration::from_secs(1));
    assert_eq!(newer_source(&program).as_ref(), Some(&sources[1]));
    std::fs::remove_file(&sources[0]).expect("removed");
    assert_eq!(newer_source(&program).as_ref(), Some(&sources[0]));
}
