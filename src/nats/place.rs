//! A message's place in its stream, as its reply subject tells, and the message as the actors take it.

use async_nats::Message;
use tripline_actors::Delivery;
use tripline_protocol::Timestamp;

/// What a reply subject says about its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    stream: String,
    /// How often it was delivered, 1 the first time.
    pub(crate) delivered: u64,
    /// Its sequence in the stream.
    pub(crate) sequence: u64,
    /// Which delivery of its consumer it is, from 1.
    pub(crate) consumer_sequence: u64,
    stored_at: Timestamp,
}

impl Place {
    /// `None` when it is no message of a consumer.
    pub(crate) fn of(message: &Message) -> Option<Self> {
        parse_reply(message.reply.as_ref()?)
    }

    /// `message`, whose place this is, as the actors take it.
    pub(crate) fn delivery(&self, message: &Message) -> Delivery {
        let headers = message.headers.as_ref().map_or_else(Vec::new, |headers| {
            let pairs = headers.iter().flat_map(|(name, values)| {
                values
                    .iter()
                    .map(move |value| (name.to_string(), value.as_str().to_owned()))
            });
            pairs.collect()
        });
        Delivery {
            subject: message.subject.as_str().to_owned(),
            headers,
            payload: message.payload.clone(),
            stream: self.stream.clone(),
            sequence: self.sequence,
            stored_at: self.stored_at,
            delivered: self.delivered,
        }
    }
}

/// `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer sequence>.<nanoseconds>.<pending>`, or with
/// domain and account hash before the stream and room for more at the end (NATS ADR-15).
pub(super) fn parse_reply(reply: &str) -> Option<Place> {
    let tokens = reply.strip_prefix("$JS.ACK.")?;
    let mut tokens = tokens
        .split('.')
        .skip(if tokens.split('.').count() >= 9 { 2 } else { 0 });
    let stream = tokens.next()?.to_owned();
    let delivered = tokens.nth(1)?.parse().ok()?;
    let sequence = tokens.next()?.parse().ok()?;
    let consumer_sequence = tokens.next()?.parse().ok()?;
    let nanos: i64 = tokens.next()?.parse().ok()?;
    tokens.next()?;
    Some(Place {
        stream,
        delivered,
        sequence,
        consumer_sequence,
        stored_at: Timestamp::from_micros(nanos / 1000),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_reply_is_read_as_it_says_or_not_at_all(
            before in "([^.]{0,5}\\.){0,3}", numbers in any::<(u64, u64, u64, i64)>(), behind in "\\PC{0,20}",
        ) {
            let (delivered, sequence, consumer_sequence, nanos) = numbers;
            let counts = format!("{delivered}.{sequence}.{consumer_sequence}.{nanos}");
            let place = parse_reply(&format!("$JS.ACK.S.c.{counts}.5"));
            prop_assert_eq!(place, Some(Place {
                stream: "S".into(), delivered, sequence, consumer_sequence,
                stored_at: Timestamp::from_micros(nanos / 1000),
            }));
            parse_reply(&format!("$JS.ACK.{before}{counts}{behind}"));
            parse_reply(&behind);
        }
    }

    #[test]
    fn both_forms_of_a_reply_are_understood() {
        let expected = Place {
            stream: "S".into(),
            delivered: 2,
            sequence: 7,
            consumer_sequence: 9,
            stored_at: Timestamp::from_micros(1_700_000_000_123_456),
        };
        let old = "$JS.ACK.S.c.2.7.9.1700000000123456789.5";
        let new = "$JS.ACK.hub.hash.S.c.2.7.9.1700000000123456789.5.token";
        assert_eq!(parse_reply(old), Some(expected.clone()));
        assert_eq!(parse_reply(new), Some(expected));
        assert_eq!(parse_reply("_INBOX.x"), None);
        assert_eq!(parse_reply("$JS.ACK.S.c.2.7"), None);
    }
}
