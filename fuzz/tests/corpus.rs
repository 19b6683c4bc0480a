//! Every target over its corpus, as plain tests: what once was found wrong stays right.

#![expect(
    clippy::expect_used,
    reason = "helpers of tests fail as tests do; clippy excuses only functions marked as tests"
)]

use std::fs;
use std::path::Path;
use tripline_fuzz::TARGETS;

/// Runs a target over what is in its folder.
fn replay(name: &str) {
    let (_, run) = TARGETS
        .iter()
        .find(|(target, _)| *target == name)
        .expect("a target");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("a corpus")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    assert!(files.len() > 4, "{} has hardly a corpus", folder.display());
    for file in files {
        let data = fs::read(&file).expect("a file");
        // Said so that a failure names its input.
        println!("{}", file.display());
        run(&data);
    }
}

macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_target_has_its_test_and_every_corpus_its_target() {
            let tested = [$(stringify!($name)),*];
            let targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(targets, tested);
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
            for entry in fs::read_dir(folder).expect("the corpora") {
                let name = entry.expect("an entry").file_name();
                assert!(targets.contains(&name.to_string_lossy().as_ref()), "{name:?} has no target");
            }
        }
    };
}

targets!(
    agent_channel,
    agent_configuration,
    audit,
    configuration,
    events,
    exports,
    frames,
    http,
    limacharlie,
    littlebrother,
    machine,
    multipart,
    pipelines,
    salvage,
    services,
    state,
    words,
);
