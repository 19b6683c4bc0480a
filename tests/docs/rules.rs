//! Examples of files: pipelines, named jobs and configurations are ones that the server would take.

use crate::pages::{Block, Page, page, pages, root};
use tripline::config::Config;
use tripline_actors::pipeline::{RuleSet, SourceFile};

fn file(page: &Page, block: &Block) -> SourceFile {
    SourceFile {
        path: format!("{}, from line {}, line ", page.path.display(), block.line),
        text: block.text.clone(),
    }
}

/// Those of the examples, which pipelines may name.
fn named_jobs() -> Vec<SourceFile> {
    std::fs::read_dir(root().join("examples/jobs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| SourceFile {
            path: path.display().to_string(),
            text: std::fs::read_to_string(path).unwrap(),
        })
        .collect()
}

fn has_key(block: &Block, key: &str) -> bool {
    block.text.lines().any(|line| line.starts_with(key))
}

#[test]
fn every_pipeline_and_named_job_is_taken() {
    let mut seen = 0;
    for page in pages() {
        for block in page.blocks().iter().filter(|block| block.language == "yaml") {
            let checked = if has_key(block, "on:") {
                RuleSet::parse(&[file(&page, block)], &named_jobs())
                    .and_then(|mut rules| tripline_actors::trial::check(&mut rules))
            } else if has_key(block, "steps:") {
                RuleSet::parse(&[], &[file(&page, block)]).map(drop)
            } else {
                continue;
            };
            seen += 1;
            assert!(checked.is_ok(), "{}", checked.err().unwrap());
        }
    }
    assert!(seen > 2, "only {seen} were found");
}

#[test]
fn keys_of_a_pipeline_that_are_shown_by_themselves_are_taken() {
    let page = page("docs/pipelines.md");
    let blocks = page.blocks();
    let shown = blocks
        .iter()
        .filter(|block| block.language == "yaml" && !block.text.starts_with("name:"));
    let shown: Vec<String> = shown.flat_map(|block| without_repeats(&block.text)).collect();
    assert!(shown.len() > 2, "only {shown:?} were found");
    for keys in shown {
        let text = format!("name: p\non: a\n{keys}job: {{ steps: [ list_processes: {{}} ] }}\n");
        let path = "the page".to_owned();
        let checked = RuleSet::parse(&[SourceFile { path, text }], &[]);
        assert!(checked.is_ok(), "{keys}: {}", checked.err().unwrap());
    }
}

/// The keys of a text; one that comes again begins another text.
fn without_repeats(text: &str) -> Vec<String> {
    let mut texts = vec![String::new()];
    let mut seen: Vec<&str> = Vec::new();
    for line in text.lines() {
        let key = line.split(':').next().filter(|_| !line.starts_with(' '));
        if key.is_some_and(|key| seen.contains(&key)) {
            texts.push(String::new());
            seen.clear();
        }
        seen.extend(key);
        let last = texts.last_mut().unwrap();
        last.push_str(line);
        last.push('\n');
    }
    texts
}

#[test]
fn the_tests_of_the_tutorial_hold() {
    let page = page("docs/pipelines.md");
    let all = page.blocks();
    let from = |start: &str| {
        all.iter()
            .position(|block| block.text.starts_with(start))
            .unwrap()
    };
    let tutorial = &all[from("name: end-miner")..from("target: { platform: linux, labels: [workstation] }")];
    let part = |start: &'static str| {
        let blocks = tutorial.iter();
        blocks.filter(move |block| block.text.starts_with(start))
    };
    let (pipeline, guards) = (part("name:").next().unwrap(), part("suppress:").next().unwrap());
    let tests: Vec<&Block> = part("tests:").collect();
    assert_eq!(tests.len(), 2);
    for tests in tests {
        let path = "the page".to_owned();
        let text = format!("{}\n{}\n{}", pipeline.text, guards.text, tests.text);
        let checked = RuleSet::parse(&[SourceFile { path, text }], &[])
            .and_then(|mut rules| tripline_actors::trial::check(&mut rules));
        assert!(checked.is_ok(), "{}", checked.err().unwrap());
    }
}

#[test]
fn every_configuration_of_the_server_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tripline.toml");
    for page in ["README.md", "docs/littlebrother.md", "docs/install.md"].map(page) {
        let blocks = page.blocks();
        let texts: Vec<&Block> = blocks.iter().filter(|block| block.language == "toml").collect();
        assert!(!texts.is_empty());
        for block in texts {
            std::fs::write(&path, &block.text).unwrap();
            let loaded = Config::load(Some(&path), Vec::new());
            let from = page.path.display();
            assert!(
                loaded.is_ok(),
                "{from}, line {}: {}",
                block.line,
                loaded.err().unwrap()
            );
        }
    }
}
