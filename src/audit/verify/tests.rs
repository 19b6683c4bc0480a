//! What a verifier must find.

use super::*;
use serde_json::json;

/// A sound chain, each line in its canonical encoding.
fn chain(count: u64) -> Vec<String> {
    extended(0, &"0".repeat(64), count, |_| json!({}))
}

fn extended(after: u64, prev: &str, count: u64, detail: impl Fn(u64) -> Value) -> Vec<String> {
    let mut prev = prev.to_owned();
    let line = |n: u64| {
        let line = canonical(&json!({
            "action": if detail(n) == json!({}) { "host.label" } else { "audit.prune" },
            "at": "2026-11-21T09:00:00Z", "by": {"kind": "system"}, "detail": detail(n), "n": n, "on": {},
            "org": "acme", "outcome": {"result": "done"}, "prev": prev,
        }));
        prev = hash(&line);
        line
    };
    (after + 1..=after + count).map(line).collect()
}

fn hash(line: &str) -> String {
    tripline_protocol::Sha256::from_digest(&Sha256::digest(line).into()).to_string()
}

fn mark(lines: &[String], n: u64) -> AuditMark {
    let line = &lines[usize::try_from(n).unwrap() - 1];
    AuditMark {
        n,
        sha256: hash(line).parse().unwrap(),
    }
}

fn verify(lines: &[String], marks: Vec<AuditMark>) -> Result<Option<Verified>, Broken> {
    let mut verifier = Verifier::new(marks);
    for line in lines {
        verifier.take(line.as_bytes())?;
    }
    verifier.end(false)
}

fn bad(lines: &[String], marks: Vec<AuditMark>) -> u64 {
    verify(lines, marks).expect_err("broken").number
}

#[test]
fn a_sound_chain_is_sound_and_tells_its_head() {
    let lines = chain(20);
    let verified = verify(&lines, vec![mark(&lines, 7), mark(&lines, 20)])
        .unwrap()
        .unwrap();
    assert_eq!((verified.first, verified.last), (1, mark(&lines, 20)));
    assert_eq!(verify(&[], vec![]), Ok(None));
}

#[test]
fn a_changed_record_is_named() {
    let mut lines = chain(20);
    lines[6] = lines[6].replace("09:00:00Z", "09:00:01Z");
    assert_eq!(bad(&lines, vec![]), 7);
}

#[test]
fn a_record_that_was_only_written_in_another_way_is_named() {
    let mut lines = chain(5);
    lines[2] = lines[2].replace("\"on\":{}", "\"on\": {}");
    assert_eq!(bad(&lines, vec![]), 3);
    let mut lines = chain(5);
    lines[2] = lines[2].replace("\"on\":{}", "\"on\":{},\"on\":{}");
    assert_eq!(bad(&lines, vec![]), 3);
}

#[test]
fn a_record_with_a_field_that_cannot_be_written_again_is_named() {
    // Fields of later versions are passed over, and these are no values that JSON can be read to.
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for value in [deep.as_str(), "1e999", r#""\ud800""#] {
        let mut lines = chain(5);
        lines[4] = lines[4].replace("\"on\":{}", &format!("\"on\":{{}},\"one\":{value}"));
        assert_eq!(bad(&lines, vec![]), 5, "{value}");
    }
}

#[test]
fn numbers_begin_with_1_and_have_an_end() {
    let numbered = |n: u64| {
        let line = &chain(1)[0];
        line.replace("\"n\":1,", &format!("\"n\":{n},"))
            .replace(&"0".repeat(64), &"7".repeat(64))
    };
    assert_eq!(bad(&[numbered(0)], vec![]), 0);
    let last = [numbered(u64::MAX), numbered(u64::MAX)];
    assert_eq!(bad(&last, vec![]), u64::MAX);
    let from_middle = |lines: &[String]| {
        let mut verifier = Verifier::default();
        lines.iter().try_for_each(|line| verifier.take(line.as_bytes()))
    };
    assert_eq!(from_middle(&[numbered(u64::MAX - 1)]), Ok(()));
    let far = from_middle(&[numbered(7), numbered(u64::MAX)]).expect_err("missing");
    assert_eq!(far.number, 8);
}

#[test]
fn the_last_record_changed_is_found_with_a_head_that_was_noted() {
    let sound = chain(20);
    let mut lines = sound.clone();
    lines[19] = lines[19].replace("09:00:00Z", "09:00:01Z");
    assert!(verify(&lines, vec![]).is_ok(), "nothing says so");
    assert_eq!(bad(&lines, vec![mark(&sound, 20)]), 20);
}

#[test]
fn a_missing_record_is_named() {
    let mut lines = chain(20);
    lines.remove(6);
    assert_eq!(bad(&lines, vec![]), 7);
    lines.remove(6);
    assert_eq!(bad(&lines, vec![]), 7);
}

#[test]
fn records_out_of_order_or_twice_are_named() {
    let mut lines = chain(20);
    lines.swap(6, 7);
    assert_eq!(bad(&lines, vec![]), 7);
    let mut lines = chain(20);
    let again = lines[4].clone();
    lines.insert(9, again);
    assert_eq!(bad(&lines, vec![]), 5);
}

#[test]
fn records_numbered_anew_after_one_was_removed_are_found() {
    let mut lines = chain(20);
    lines.remove(6);
    for (index, line) in lines.iter_mut().enumerate().skip(6) {
        *line = line.replace(&format!("\"n\":{}", index + 2), &format!("\"n\":{}", index + 1));
    }
    assert_eq!(bad(&lines, vec![]), 6);
}

#[test]
fn a_tail_that_was_cut_off_is_found_with_a_head_that_was_noted() {
    let lines = chain(20);
    assert!(verify(&lines[..15], vec![]).is_ok(), "nothing says so");
    assert_eq!(bad(&lines[..15], vec![mark(&lines, 20)]), 16);
    assert_eq!(bad(&[], vec![mark(&lines, 20)]), 1);
}

#[test]
fn a_chain_that_was_made_anew_whole_is_found_with_a_head_that_was_noted() {
    let lines = chain(20);
    let other = extended(0, &"0".repeat(64), 20, |_| json!({"x": 1}));
    assert!(verify(&other, vec![]).is_ok(), "nothing says so");
    assert_eq!(bad(&other, vec![mark(&lines, 12)]), 12);
}

#[test]
fn a_pruned_chain_verifies_only_as_its_own_record_says() {
    let lines = chain(20);
    let detail = |n| match n {
        21 => json!({"first": 1, "last": 8, "sha256": hash(&lines[7])}),
        _ => json!({}),
    };
    let tail = extended(20, &hash(&lines[19]), 3, detail);
    let whole = [lines.clone(), tail].concat();
    let verified = verify(&whole[8..], vec![]).unwrap().unwrap();
    assert_eq!((verified.first, verified.last.n), (9, 23));
    assert_eq!(bad(&whole[9..], vec![]), 9, "one more than was pruned is missing");
    assert_eq!(bad(&lines[8..], vec![]), 8, "no record says so");
    let mut from_middle = Verifier::default();
    from_middle.take(lines[8].as_bytes()).unwrap();
    assert!(from_middle.end(true).is_ok());
}

#[test]
fn a_record_of_another_chain_has_no_place_here() {
    let mut lines = chain(5);
    lines[3] = lines[3].replace("acme", "other");
    assert_eq!(bad(&lines, vec![]), 4);
    assert_eq!(bad(&["x".to_owned()], vec![]), 1);
}

#[test]
fn a_first_record_that_names_one_before_it_is_none() {
    let lines = extended(0, &"1".repeat(64), 3, |_| json!({}));
    assert_eq!(bad(&lines, vec![]), 1);
}
