//! Codes of problems: those that the code can answer with are in the document.

use crate::schema::DOCUMENT;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Of a frame of the agent channel.
const ELSEWHERE: &str = "bad_hello";

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let skipped = name.starts_with("tests")
            || [
                "carbonblack",
                "littlebrother",
                "limacharlie.rs",
                "agent_channel",
                "slot",
            ]
            .contains(&name);
        if path.is_dir() && !skipped {
            sources(&path, found);
        } else if name.ends_with(".rs") && !skipped {
            found.push(path);
        }
    }
}

/// Words in quotes right behind one of these beginnings of an expression.
fn codes(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for beginning in [
        "code: \"",
        "invalid(\"",
        "conflict(\"",
        "invalid(\n",
        "conflict(\n",
        "let code = \"",
    ] {
        for rest in text.split(beginning).skip(1) {
            let rest = rest.trim_start().trim_start_matches('"');
            let word: String = rest
                .chars()
                .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                .collect();
            let is_word = rest[word.len()..].starts_with('"') && !word.is_empty();
            found.extend(Some(word).filter(|_| is_word));
        }
    }
    found
}

#[test]
fn every_code_that_a_request_can_be_refused_with_is_in_the_document() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in [
        "actors/src/core",
        "actors/src/access",
        "actors/src/directory",
        "actors/src/fanout",
        "actors/src/scheduler",
        "actors/src/audit",
        "src/http",
    ] {
        sources(&root.join(folder), &mut files);
    }
    for file in [
        "actors/src/once.rs",
        "actors/src/replay.rs",
        "actors/src/labels.rs",
        "actors/src/slot/interact.rs",
    ] {
        files.push(root.join(file));
    }
    let described = DOCUMENT.to_string();
    let mut seen = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source");
        let production = text.split("#[cfg(test)]").next().unwrap_or_default();
        for code in codes(production) {
            seen += 1;
            let known = described.contains(&format!("`{code}`")) || code == ELSEWHERE;
            assert!(
                known,
                "{}: {code} is in no answer of src/http/openapi",
                file.display()
            );
        }
    }
    assert!(seen > 40, "only {seen} codes were found");
}
