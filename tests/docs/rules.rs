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
    let keys = blocks
        .iter()
        .filter(|block| block.language == "yaml" && !block.text.starts_with("name:"));
    let lines: Vec<&str> = keys.flat_map(|block| block.text.lines()).collect();
    assert!(lines.len() > 2, "only {lines:?} were found");
    for line in lines {
        let text = format!("name: p\non: a\n{line}\njob: {{ steps: [ list_processes: {{}} ] }}\n");
        let path = "the page".to_owned();
        let checked = RuleSet::parse(&[SourceFile { path, text }], &[]);
        assert!(checked.is_ok(), "{line}: {}", checked.err().unwrap());
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
