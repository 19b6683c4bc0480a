//! Events and gaps as server-sent events.

use super::super::problem::ApiError;
use super::super::sse::block;
use actix_web::web::Bytes;
use tripline_protocol::event::{GAP, StreamGap, StreamedEvent};

/// An event.
pub(super) fn event(sequence: u64, event: &StreamedEvent) -> Result<Bytes, ApiError> {
    block(Some(sequence), event.etype.as_str(), event)
}

/// What nobody can read any more.
pub(super) fn gap(gap: &StreamGap) -> Result<Bytes, ApiError> {
    block(Some(gap.next.saturating_sub(1)), GAP, gap)
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
