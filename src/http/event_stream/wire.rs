//! Server-sent events as text.

use super::super::problem::ApiError;
use actix_web::web::Bytes;
use serde::Serialize;
use tripline_protocol::event::{GAP, StreamGap, StreamedEvent};

/// A sign of life, with the place to go on from if it has moved. The line is a comment: readers pass it over.
pub(super) fn alive(reached: Option<u64>) -> Bytes {
    match reached {
        None => Bytes::from_static(b": alive\n\n"),
        Some(sequence) => format!(": alive\nid: {sequence}\n\n").into(),
    }
}

/// An event.
pub(super) fn event(sequence: u64, event: &StreamedEvent) -> Result<Bytes, ApiError> {
    block(sequence, event.etype.as_str(), event)
}

/// What nobody can read any more.
pub(super) fn gap(gap: &StreamGap) -> Result<Bytes, ApiError> {
    block(gap.next.saturating_sub(1), GAP, gap)
}

/// The place to go on from, and nothing that a reader would be shown.
pub(super) fn reached(sequence: u64) -> Bytes {
    format!("id: {sequence}\n\n").into()
}

/// An etype and JSON have no ends of lines.
fn block(id: u64, name: &str, data: &impl Serialize) -> Result<Bytes, ApiError> {
    let data = serde_json::to_string(data).map_err(|error| ApiError::internal("write an event", error))?;
    Ok(format!("id: {id}\nevent: {name}\ndata: {data}\n\n").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_one_block_whatever_is_in_it() {
        let read: StreamedEvent = serde_json::from_value(json!({
            "specversion": "1.0", "id": "1\n2", "source": "s", "type": "acme.alert", "time": "2026-11-20T14:00:00Z",
            "datacontenttype": "application/json", "org": "default", "attestedby": "publisher",
            "data": "a\r\n\nid: 9\u{2028}"
        }))
        .expect("an event");
        let text = String::from_utf8(event(7, &read).expect("written").to_vec()).expect("UTF-8");
        let lines: Vec<&str> = text.split('\n').collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert_eq!(lines[..2], ["id: 7", "event: acme.alert"]);
        let data = lines[2].strip_prefix("data: ").expect("data");
        assert_eq!(serde_json::from_str::<StreamedEvent>(data).expect("read"), read);
        assert!(!text.contains('\r'));
    }

    #[test]
    fn a_gap_says_how_many_and_where_it_goes_on() {
        let text = gap(&StreamGap {
            after: 2,
            next: 5,
            lost: Some(2),
        });
        assert_eq!(
            text.expect("written"),
            "id: 4\nevent: gap\ndata: {\"after\":2,\"next\":5,\"lost\":2}\n\n"
        );
    }
}
