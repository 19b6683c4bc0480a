//! `GET /v1/streams/hosts`: all hosts as they are, and then every change of one.
//!
//! A reader always knows the state: after a gap all hosts are told anew.

use super::super::HttpState;
use super::super::auth::Viewer;
use super::super::body::{PAGE_ITEMS_MAX, parameter};
use super::super::problem::ApiError;
use super::super::sse::{self, Source, unknown};
use super::gap;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tripline_actors::changes::{Follower, News};
use tripline_actors::clock::Clock;
use tripline_actors::{Core, HostFilter, Refusal};
use tripline_protocol::api::{EVENT_HOST, EVENT_READY, HostChange, HostChangeKind, HostView, HostsReady};
use tripline_protocol::selector::HostSelector;
use tripline_protocol::{HostId, Org, Timestamp};

/// All hosts are told anew at most this often, however often changes are missed.
const ANEW_EVERY: Duration = Duration::from_secs(1);
/// What the query may name.
const EXPECTED: &str = "org, label, platform, hostname, attached or agent_version";

/// The query.
#[derive(Debug, Default, PartialEq)]
struct Wanted {
    org: Option<Org>,
    selector: HostSelector,
}

impl Wanted {
    /// Of pairs of names and values. When a host was seen changes without anything happening, so a stream does not
    /// know it.
    fn read(pairs: Vec<(String, String)>) -> Result<Self, ApiError> {
        let mut wanted = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "org" => wanted.org = parameter("org", Some(&value))?,
                "seen_within" | "unseen_for" => return Err(unknown(&name, EXPECTED)),
                _ => match wanted.selector.set(&name, &value) {
                    Ok(true) => {}
                    Ok(false) => return Err(unknown(&name, EXPECTED)),
                    Err(why) => return Err(ApiError::Parameter(format!("query parameter {name}: {why}"))),
                },
            }
        }
        Ok(wanted)
    }
}

pub(in super::super) async fn follow(
    caller: Viewer,
    request: HttpRequest,
    state: web::Data<HttpState>,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    let wanted = Wanted::read(query.into_inner())?;
    let org = caller.org_for(wanted.org.as_ref())?;
    let place = state.places.take(&caller.token_id, "hosts")?;
    let source = Hosts {
        follower: state.core.follow_hosts(),
        core: state.core.clone(),
        clock: state.clock.clone(),
        org,
        shown: Shown::new(wanted.selector),
        stage: Stage::List(Listing::default()),
        anew_at: Instant::now() + ANEW_EVERY,
    };
    Ok(sse::answer(&request, &state, place, source))
}

struct Hosts {
    follower: Follower<HostChange>,
    core: Core,
    clock: Arc<dyn Clock>,
    org: Option<Org>,
    shown: Shown,
    stage: Stage,
    /// When all hosts may be told anew.
    anew_at: Instant,
}

/// How far the reader knows the hosts.
enum Stage {
    /// Not at all, and it was told so.
    Wait,
    /// They are being told.
    List(Listing),
    /// It does.
    Follow,
}

#[derive(Default)]
struct Listing {
    page: VecDeque<HostView>,
    after: Option<String>,
    is_last: bool,
    count: u64,
}

/// Which hosts are the stream's, and which of them the reader knows.
struct Shown {
    selector: HostSelector,
    /// Kept only where the selector does not take all hosts.
    known: Option<HashSet<HostId>>,
}

impl Shown {
    fn new(selector: HostSelector) -> Self {
        let all = selector == HostSelector::default();
        Self {
            selector,
            known: (!all).then(HashSet::new),
        }
    }

    /// The reader knows none any more.
    fn clear(&mut self) {
        self.known.as_mut().into_iter().for_each(HashSet::clear);
    }

    fn add(&mut self, host_id: HostId) {
        self.known.as_mut().map(|known| known.insert(host_id));
    }

    /// Whether a change is told, and whether the host is gone with it.
    fn take(&mut self, change: &HostChange, now: Timestamp) -> Option<bool> {
        let Some(known) = &mut self.known else {
            return Some(change.gone);
        };
        let host_id = change.host.host_id;
        if !change.gone && self.selector.selects(&change.host, now) {
            known.insert(host_id);
            return Some(false);
        }
        known.remove(&host_id).then_some(true)
    }
}

impl Source for Hosts {
    type Place = u64;

    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            match &mut self.stage {
                Stage::Wait => {
                    // Not for a condition: so that whoever is too slow does not have all hosts read all the time.
                    sleep_until(self.anew_at).await;
                    self.anew_at = Instant::now() + ANEW_EVERY;
                    self.follower.skip();
                    self.shown.clear();
                    self.stage = Stage::List(Listing::default());
                }
                Stage::List(listing) => match listing.page.pop_front() {
                    Some(host) => return self.present(host).map(Some),
                    None if listing.is_last => {
                        let ready = HostsReady { hosts: listing.count };
                        self.stage = Stage::Follow;
                        return sse::block(None::<u64>, EVENT_READY, &ready).map(Some);
                    }
                    None => {
                        if let Some(bytes) = self.read_page().await? {
                            return Ok(Some(bytes));
                        }
                    }
                },
                Stage::Follow => {
                    if let Some(bytes) = self.hear().await? {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    fn passed(&mut self) -> Option<u64> {
        None
    }
}

impl Hosts {
    /// Reads the next hosts that are to be told. While the actors cannot say, the reader is told that it does not know.
    async fn read_page(&mut self) -> Result<Option<Bytes>, ApiError> {
        let Stage::List(listing) = &mut self.stage else {
            return Ok(None);
        };
        let filter = HostFilter {
            org: self.org.clone(),
            selector: self.shown.selector.clone(),
            after: listing.after.clone(),
            limit: PAGE_ITEMS_MAX,
        };
        match self.core.list_hosts(filter).await {
            Ok(page) => {
                listing.page = page.items.into();
                listing.is_last = page.next.is_none();
                listing.after = page.next;
                Ok(None)
            }
            Err(refusal @ (Refusal::Busy { .. } | Refusal::Unavailable { .. })) => {
                tracing::debug!(%refusal, "hosts are told to a stream later");
                self.miss(None).map(Some)
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The reader knows the hosts no more.
    fn miss(&mut self, missed: Option<u64>) -> Result<Bytes, ApiError> {
        self.stage = Stage::Wait;
        gap(None::<u64>, "hosts", missed)
    }

    fn present(&mut self, host: HostView) -> Result<Bytes, ApiError> {
        if let Stage::List(listing) = &mut self.stage {
            listing.count += 1;
        }
        self.shown.add(host.host_id);
        let present = HostChange {
            change: HostChangeKind::Present,
            gone: false,
            time: self.clock.now(),
            host,
        };
        sse::block(None::<u64>, EVENT_HOST, &present)
    }

    /// The next change, if it is one of the stream's.
    async fn hear(&mut self) -> Result<Option<Bytes>, ApiError> {
        let change = match self.follower.next().await {
            News::Change(change) => change,
            News::Missed(missed) => return self.miss(missed).map(Some),
        };
        if self.org.as_ref().is_some_and(|org| *org != change.host.org) {
            return Ok(None);
        }
        let Some(gone) = self.shown.take(&change, self.clock.now()) else {
            return Ok(None);
        };
        if gone == change.gone {
            return sse::block(None::<u64>, EVENT_HOST, &*change).map(Some);
        }
        let change = HostChange {
            gone,
            ..HostChange::clone(&change)
        };
        sse::block(None::<u64>, EVENT_HOST, &change).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(query: &str) -> Result<Wanted, ApiError> {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(query).expect("pairs");
        Wanted::read(pairs.into_inner())
    }

    fn change(change: HostChangeKind, labels: &[&str]) -> HostChange {
        let view = json!({"host_id": "00000000-0000-0000-0000-000000000001", "sensor_id": 1, "org": "default",
            "hostname": "pc", "platform": "linux", "arch": "x86_64", "attachments": [], "labels": labels,
            "created_at": "2026-11-20T14:00:00Z", "last_seen_at": "2026-11-20T14:00:00Z"});
        HostChange {
            change,
            gone: change == HostChangeKind::Forgotten,
            time: Timestamp::from_micros(0),
            host: serde_json::from_value(view).expect("a host"),
        }
    }

    /// Whether each change is told, and whether the host is gone with it.
    fn told(query: &str, changes: &[HostChange]) -> Vec<Option<bool>> {
        let mut shown = Shown::new(read(query).expect("a query").selector);
        let now = Timestamp::from_micros(0);
        changes.iter().map(|change| shown.take(change, now)).collect()
    }

    #[test]
    fn a_host_that_the_filter_takes_no_more_is_gone_once() {
        use HostChangeKind::{Attached, Forgotten, Labelled};
        let changes = [
            change(Attached, &[]),
            change(Labelled, &["dmz"]),
            change(Attached, &["dmz"]),
            change(Labelled, &[]),
            change(Attached, &[]),
            change(Forgotten, &[]),
        ];
        assert_eq!(
            told("label=dmz", &changes),
            [None, Some(false), Some(false), Some(true), None, None]
        );
        assert_eq!(
            told("", &changes),
            [
                Some(false),
                Some(false),
                Some(false),
                Some(false),
                Some(false),
                Some(true)
            ]
        );
    }

    #[test]
    fn a_host_that_is_forgotten_is_gone_whatever_the_filter_says_of_it() {
        let changes = [
            change(HostChangeKind::Enrolled, &["dmz"]),
            change(HostChangeKind::Forgotten, &["dmz"]),
        ];
        assert_eq!(told("label=dmz", &changes), [Some(false), Some(true)]);
    }

    #[test]
    fn what_is_wrong_in_the_query_is_named() {
        for (query, named) in [
            ("labels=a", "labels"),
            ("label=a%20b", "label"),
            ("attached=maybe", "attached"),
            ("seen_within=1h", "seen_within"),
            ("org=a.b", "org"),
        ] {
            let error = read(query).expect_err(query).to_string();
            assert!(error.contains(named), "{query}: {error}");
        }
        assert_eq!(read("org=&label=&platform=").expect("nothing"), Wanted::default());
    }
}
