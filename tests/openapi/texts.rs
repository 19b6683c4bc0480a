//! Texts with a form of their own: the schema takes what the type takes.

use crate::schema::of_component;
use serde::de::DeserializeOwned;
use serde_json::json;
use tripline_protocol::{Etype, HostId, Label, Name, Org, RemotePath, Sha256, Span, Timestamp};
use utoipa::ToSchema;

fn agree<T: ToSchema + DeserializeOwned>(texts: &[&str]) {
    let name = T::name();
    let schema = of_component(&name);
    let (mut taken, mut refused) = (0, 0);
    for text in texts {
        let by_type = serde_json::from_value::<T>(json!(text)).is_ok();
        assert_eq!(schema.is_valid(&json!(text)), by_type, "{name}: {text:?}");
        if by_type { taken += 1 } else { refused += 1 }
    }
    assert!(taken > 0 && refused > 0, "{name}: both kinds are among the texts");
}

#[test]
fn words_are_taken_and_refused_as_by_their_types() {
    let long = "a".repeat(64);
    let too_long = "a".repeat(65);
    let words = [
        "",
        "a",
        "A",
        "-a",
        "_",
        "a-b_c",
        "a.b",
        "owner:ana",
        "a/b=c",
        "a b",
        "é",
        "0",
        &long,
        &too_long,
    ];
    agree::<Org>(&words);
    agree::<Name>(&words);
    agree::<Label>(&words);
}

#[test]
fn etypes_are_taken_and_refused_as_by_their_type() {
    let (long, too_long) = ("a".repeat(200), "a".repeat(201));
    agree::<Etype>(&[
        "acme.alert.high",
        "PROHIBITED_PROCESS",
        "é",
        "a..b",
        ".a",
        "a.",
        "",
        "a b",
        "a.*",
        ">",
        "a\u{0}",
        "a\u{85}b",
        "a\u{2028}b",
        &long,
        &too_long,
    ]);
}

#[test]
fn hashes_ids_and_times_are_taken_and_refused_as_by_their_types() {
    let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    agree::<Sha256>(&[hash, &hash.to_uppercase(), &hash[1..], ""]);
    agree::<HostId>(&["6a476cc7-fafe-5985-9fb8-67233a7efb39", "6a476cc7", "web-1", ""]);
    agree::<Timestamp>(&[
        "2026-11-20T14:00:00Z",
        "2026-11-20T14:00:00.5+01:00",
        "2026-11-20",
        "yesterday",
        "1795183200",
        "",
    ]);
}

#[test]
fn spans_and_paths_are_taken_and_refused_as_by_their_types() {
    agree::<Span>(&[
        "30s",
        "2m",
        "1h 30m",
        "1h30m",
        " 5 minutes  1 sec ",
        "90ms",
        "0s",
        "",
        " ",
        "30",
        "s",
        "-1s",
        "1.5h",
        "500us",
        "1month",
        "30S",
        "1 fortnight",
        "1mm",
    ]);
    agree::<RemotePath>(&["/etc/hosts", "a", "", "a\u{0}b"]);
}
