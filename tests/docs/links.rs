//! Links: each one within the repository leads somewhere.

use crate::pages::{Page, pages};

/// Targets of `[text](target)` that are within the repository.
fn targets(page: &Page) -> Vec<String> {
    page.prose()
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_owned())
        .filter(|target| !target.contains("://"))
        .collect()
}

/// What GitHub makes of a heading.
fn anchor(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'))
        .map(|letter| if letter == ' ' { '-' } else { letter })
        .collect()
}

fn has_anchor(text: &str, wanted: &str) -> bool {
    text.lines()
        .any(|line| line.starts_with('#') && anchor(line) == wanted)
}

#[test]
fn every_link_within_the_repository_leads_somewhere() {
    let mut seen = 0;
    for page in pages() {
        for target in targets(&page) {
            seen += 1;
            let (path, fragment) = target.split_once('#').unwrap_or((&target, ""));
            let file = match path {
                "" => page.path.clone(),
                path => page.path.parent().unwrap().join(path),
            };
            let from = page.path.display();
            assert!(file.exists(), "{from}: {target} does not exist");
            if !fragment.is_empty() {
                let text = std::fs::read_to_string(&file).unwrap();
                assert!(
                    has_anchor(&text, fragment),
                    "{from}: {target} has no such heading"
                );
            }
        }
    }
    assert!(seen > 15, "only {seen} links were found");
}
