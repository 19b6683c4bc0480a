//! Keeping listings small enough for one frame.

use super::to_json;
use crate::platform::Listed;
use serde::Serialize;
use serde_json::{Value, json};
use tripline_protocol::Fault;

/// Most bytes of JSON in a listing; entries after it are counted.
pub(super) const LISTING_BYTES_MAX: usize = 240 * 1024;

/// `{"<key>": entries, "omitted": count}`, with as many of the first entries as fit.
pub(super) fn fit<T: Serialize>(key: &str, listed: &Listed<T>) -> Result<Value, Fault> {
    let mut entries = Vec::with_capacity(listed.entries.len());
    let mut left = LISTING_BYTES_MAX;
    for entry in &listed.entries {
        let bytes = serde_json::to_string(entry).map_or(0, |text| text.len()) + 1;
        let Some(rest) = left.checked_sub(bytes) else {
            break;
        };
        left = rest;
        entries.push(to_json(entry)?);
    }
    let omitted = listed.omitted + (listed.entries.len() - entries.len()) as u64;
    Ok(json!({ key: entries, "omitted": omitted }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted() {
        let listed = Listed {
            entries: vec!["x".repeat(1000); 500],
            omitted: 7,
        };
        let value = fit("files", &listed).unwrap();
        let kept = value["files"].as_array().unwrap().len();
        assert!((200..250).contains(&kept));
        assert_eq!(value["omitted"], 500 - kept as u64 + 7);
        assert!(value.to_string().len() < LISTING_BYTES_MAX + 100);
    }
}
