//! Who came without a valid token, key or secret, and who asked for more than a token allows: on record at once the
//! first time, and after that counted and on record once a minute, so that nobody can fill the audit by trying.

use super::{By, Entry};
use parking_lot::Mutex;
use std::collections::HashMap;
use tripline_protocol::audit::{Action, Place};
use tripline_protocol::{Org, Span, Timestamp};

/// How long refusals of one source are counted before they go on record.
const GATHERED: Span = Span::from_secs(60);
/// Sources that are told apart.
const SOURCES_MAX: usize = 1_000;

/// Somebody was turned away.
#[derive(Debug, Clone)]
pub struct Denied {
    /// Who; [`By::unknown`] without a valid token.
    pub by: By,
    /// The org of a token that was valid.
    pub org: Option<Org>,
    /// Why: the stable code of the answer.
    pub code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Source {
    /// Without the port, which differs each time.
    address: Option<String>,
    who: Option<String>,
    dialect: &'static str,
    code: &'static str,
}

#[derive(Debug)]
struct Count {
    denied: Denied,
    since: Timestamp,
    more: u64,
    last: Timestamp,
}

/// Refusals that are counted.
#[derive(Debug, Default)]
pub(crate) struct Denials {
    counts: Mutex<HashMap<Source, Count>>,
}

impl Denials {
    /// Takes one in: the record that is to be made of it now, if one is.
    pub(crate) fn note(&self, denied: Denied, now: Timestamp) -> Option<Entry> {
        metrics::counter!("tripline_audit_denied_total", "code" => denied.code).increment(1);
        let mut counts = self.counts.lock();
        let mut source = source(&denied);
        if !counts.contains_key(&source) && counts.len() >= SOURCES_MAX {
            // Too many to be told apart: their addresses are not.
            source.address = None;
            source.who = None;
        }
        if let Some(count) = counts.get_mut(&source) {
            count.more += 1;
            count.last = now;
            return None;
        }
        let entry = entry(&denied, now);
        let (since, last) = (now, now);
        counts.insert(
            source,
            Count {
                denied,
                since,
                more: 0,
                last,
            },
        );
        Some(entry)
    }

    /// The records of what was counted long enough, or of everything.
    pub(crate) fn gathered(&self, now: Timestamp, all: bool) -> Vec<Entry> {
        let mut entries = Vec::new();
        self.counts.lock().retain(|source, count| {
            if !all && now < count.since.after(GATHERED) {
                return true;
            }
            if count.more == 0 {
                return false;
            }
            let mut denied = count.denied.clone();
            if let Some(place) = &mut denied.by.from {
                place.request = None;
                place.address.clone_from(&source.address);
            }
            let entry = entry(&denied, now).detail("count", count.more);
            entries.push(
                entry
                    .detail("first_at", count.since)
                    .detail("last_at", count.last),
            );
            count.more = 0;
            count.since = now;
            true
        });
        entries
    }
}

fn source(denied: &Denied) -> Source {
    let place: Option<&Place> = denied.by.from.as_ref();
    let address = place.and_then(|place| place.address.as_deref());
    let host = |address: &str| match address.parse::<std::net::SocketAddr>() {
        Ok(address) => address.ip().to_string(),
        Err(_) => address.to_owned(),
    };
    Source {
        address: address.map(host),
        who: denied.by.who.id.clone(),
        dialect: place.map_or("", |place| place.dialect.as_str()),
        code: denied.code,
    }
}

fn entry(denied: &Denied, now: Timestamp) -> Entry {
    let action = match denied.by.who.id {
        Some(_) => Action::AccessForbid,
        None => Action::AccessDeny,
    };
    Entry::new(action, &denied.by, denied.org.as_ref(), now).refused(denied.code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tripline_protocol::audit::Dialect;

    fn denied(address: &str) -> Denied {
        let place = Place {
            dialect: Dialect::V1,
            address: Some(address.into()),
            request: Some("r".into()),
        };
        Denied {
            by: By::unknown(place),
            org: None,
            code: "unauthenticated",
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn the_first_of_a_source_goes_on_record_at_once_and_the_others_together() {
        let denials = Denials::default();
        assert!(denials.note(denied("192.0.2.1:1000"), at(0)).is_some());
        for port in 1001..1100 {
            assert!(
                denials
                    .note(denied(&format!("192.0.2.1:{port}")), at(1))
                    .is_none()
            );
        }
        assert!(denials.note(denied("192.0.2.2:1000"), at(1)).is_some());
        assert!(denials.gathered(at(59), false).is_empty());
        assert_eq!(denials.gathered(at(61), false).len(), 1, "one for all of them");
        assert!(denials.gathered(at(200), false).is_empty());
        assert!(
            denials.note(denied("192.0.2.1:1"), at(201)).is_some(),
            "forgotten meanwhile"
        );
    }

    #[test]
    fn so_many_sources_are_told_apart_and_no_more() {
        let denials = Denials::default();
        let note = |n: usize| denials.note(denied(&format!("10.0.{}.{}:1", n / 250, n % 250)), at(0));
        let made = (0..SOURCES_MAX).filter(|n| note(*n).is_some()).count();
        assert_eq!(made, SOURCES_MAX);
        let more = (SOURCES_MAX..3 * SOURCES_MAX)
            .filter(|n| note(*n).is_some())
            .count();
        assert_eq!(more, 1, "all others are one source");
        assert_eq!(denials.gathered(at(0), true).len(), 1);
    }
}
