//! Files: which are read, and what they are together.

use super::events::{file, parse};
use crate::pipeline::RuleSet;
use std::fs;

#[test]
fn problems_of_all_files_come_together_and_print_one_per_line() {
    let good = "name: good\non: a\njob: { steps: [ list_processes: {} ] }\n";
    let pipelines = [
        file("a.yaml", "name: A\n"),
        file("b.yaml", good),
        file("c.yaml", good),
    ];
    let error = RuleSet::parse(&pipelines, &[]).map(drop).unwrap_err();
    let text = error.to_string();
    assert_eq!(text.lines().count(), error.problems.len());
    assert!(text.contains("a.yaml:1:7: \"A\" is not a valid name"), "{text}");
    assert!(
        text.contains("c.yaml:1:7: the pipeline name \"good\" is taken already at b.yaml:1"),
        "{text}"
    );
}

#[test]
fn several_documents_of_a_file_have_versions_of_their_own() {
    let one = "name: one\non: a\njob: { steps: [ list_processes: {} ] }\n";
    let two = one.replace("one", "two");
    let version = |text: &str, name: &str| {
        parse(text, "")
            .unwrap()
            .pipeline(&name.parse().unwrap())
            .unwrap()
            .version()
            .clone()
    };
    let both = format!("{one}---\n{two}");
    let changed = format!("{one}---\n{}", two.replace("on: a", "on: b"));
    assert_eq!(version(&both, "one"), version(&changed, "one"));
    assert_ne!(version(&both, "two"), version(&changed, "two"));
}

#[test]
fn a_pipeline_changes_its_version_with_its_named_job() {
    let pipeline = "name: p\non: a\njob: j\n";
    let job = "name: j\nsteps:\n  - list_processes: {}\n";
    let version = |job: &str| {
        let rules = parse(pipeline, job).unwrap();
        (
            rules.pipeline(&"p".parse().unwrap()).unwrap().version().clone(),
            rules.version(),
        )
    };
    let (first, changed) = (version(job), version(&format!("{job}timeout: 1m\n")));
    assert_eq!(first, version(job));
    assert_ne!(first.0, changed.0);
    assert_ne!(first.1, changed.1);
}

#[test]
fn a_folder_is_read_by_its_yaml_files_within_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| fs::write(folder.path().join(name), text).unwrap();
    write(
        "a.yaml",
        b"name: a\non: x\njob: { steps: [ list_processes: {} ] }\n",
    );
    write("notes.txt", b"not: [yaml");
    write(".hidden.yaml", b"not: [yaml");
    fs::create_dir(folder.path().join("sub.yaml")).unwrap();
    assert_eq!(
        RuleSet::load(Some(folder.path()), None)
            .unwrap()
            .pipelines()
            .count(),
        1
    );

    write("large.yml", &[b'#'; 256 * 1024 + 1]);
    write("bytes.yml", &[0xff, 0xfe, 0x00]);
    let problems = RuleSet::load(Some(folder.path()), None)
        .map(drop)
        .unwrap_err()
        .problems;
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(problems[0].file.ends_with("bytes.yml"), "{problems:#?}");
    assert!(
        problems[1].message.contains("longer than 262144 bytes"),
        "{problems:#?}"
    );
}

#[test]
fn a_folder_that_is_not_there_is_a_problem_and_no_folder_is_none() {
    let missing = tempfile::tempdir().unwrap().path().join("missing");
    let problems = RuleSet::load(Some(&missing), None)
        .map(drop)
        .unwrap_err()
        .problems;
    assert!(
        problems[0].message.contains("failed to list the folder"),
        "{}",
        problems[0]
    );
    assert_eq!(
        RuleSet::load(None, None).unwrap().version(),
        RuleSet::default().version()
    );
}
