//! What is kept of LimaCharlie, and its keys.

use crate::ground::{read, unreadable_key};
use crate::refusal::Refusal;
use crate::store::key::Key;
use crate::store::{Batch, Store, Table};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use tripline_protocol::limacharlie::{Answer, ServiceEtype};
use tripline_protocol::{JobId, Org, Span, Timestamp};

/// An answer is remembered for so long after the last moment at which the call could still come again in time.
pub(super) const REMEMBERED_AFTER: Span = Span::from_secs(24 * 3600);
/// No call is taken to come again later than this after it came first, whatever its deadline says.
pub(super) const DEADLINE_MAX: Span = Span::from_secs(3600);

/// Prefix of the row of an org that is subscribed.
pub(crate) const INSTALLED: u8 = b'o';
/// Prefix of the row of an org that is being removed, or was.
pub(crate) const REMOVED: u8 = b'r';

/// An org that LimaCharlie subscribed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Installed {
    pub(crate) since: Timestamp,
    /// It said so; else a call about the org was the first that was heard of it.
    pub(crate) told: bool,
    /// It came back, not long after it had left like this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) left: Option<Removal>,
}

/// An org that ended its subscription.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Removal {
    pub(crate) asked_at: Timestamp,
    /// When the streams had been purged of it for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) purged_at: Option<Timestamp>,
    /// When nothing of it was left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) done_at: Option<Timestamp>,
}

/// For so long after its removal calls about an org are refused, if it does not subscribe again, and events from before it left cause
/// nothing, even if it does: those that are on their way must not bring back what is gone.
const REMEMBERED_FOR: Span = Span::from_secs(25 * 3600);

/// What goes with an org: what there was of it when it left. Whatever others go on doing in its name begins a new life of the
/// name, or a removal would never end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) asked_at: Timestamp,
    /// Events of that time are gone from their stream, and so is what they caused.
    pub(crate) purged_at: Option<Timestamp>,
}

impl Cut {
    /// Nothing goes that was made later.
    pub(crate) fn latest(&self) -> Timestamp {
        self.purged_at
            .map_or(self.asked_at, |purged_at| purged_at.max(self.asked_at))
    }

    /// Whether something goes that was made then, by an event or a call of the org itself, or by somebody's wish.
    pub(crate) fn takes(&self, made_at: Timestamp, by_event: bool) -> bool {
        made_at <= if by_event { self.latest() } else { self.asked_at }
    }
}

impl Removal {
    pub(super) fn begin(asked_at: Timestamp) -> Self {
        Self {
            asked_at,
            purged_at: None,
            done_at: None,
        }
    }

    /// Whether it ended so long ago that nothing from before it can be on its way any more.
    pub(super) fn is_past(&self, now: Timestamp) -> bool {
        self.done_at
            .is_some_and(|done_at| now.since(done_at) >= REMEMBERED_FOR)
    }

    pub(super) fn cut(&self) -> Cut {
        Cut {
            asked_at: self.asked_at,
            purged_at: self.purged_at,
        }
    }

    /// Writes how far it has come.
    pub(super) fn put(&self, batch: &mut Batch, org: &Org) {
        batch.put(Table::LcOrg, org_row(REMOVED, org), crate::record::encode(self));
    }
}

/// What an org is to LimaCharlie.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum OrgState {
    Installed(Installed),
    Leaving(Removal),
}

impl OrgState {
    /// How it left, if it did.
    pub(super) fn left(&self) -> Option<&Removal> {
        match self {
            Self::Installed(installed) => installed.left.as_ref(),
            Self::Leaving(removal) => Some(removal),
        }
    }
}

/// A call that was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CallNote {
    pub(crate) etype: String,
    pub(crate) at: Timestamp,
    /// It is forgotten then.
    pub(crate) until: Timestamp,
    /// `None`: `jobs` were accepted, and their ends are waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<Answer>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) jobs: Vec<JobId>,
}

/// A call's identity: the org as given, none for a call about none, and `mid`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CallKey {
    pub(crate) org: Option<Org>,
    pub(crate) mid: String,
}

impl CallKey {
    /// The row's key.
    pub(super) fn row(&self) -> Vec<u8> {
        let org = self.org.as_ref().map_or("", Org::as_str);
        Key::new().text(org).bytes(self.mid.as_bytes()).into()
    }
}

impl CallNote {
    /// Until when a call is remembered that came now.
    pub(super) fn remembered_until(deadline: Option<Timestamp>, now: Timestamp) -> Timestamp {
        let latest = now.after(DEADLINE_MAX);
        let last = deadline.map_or(latest, |deadline| deadline.clamp(now, latest));
        last.after(REMEMBERED_AFTER)
    }

    /// Writes it, and returns what that is; one that is there already has the same time.
    pub(super) fn put(&self, batch: &mut Batch, row: &[u8]) -> Weight {
        let note = crate::record::encode(self);
        let weight = self.weight(&note);
        batch.put(Table::LcCall, row.to_vec(), note);
        batch.put(Table::LcCallByTime, by_time(self.until, row), weight.row());
        weight
    }

    /// What it is in the store, where it is `encoded`.
    pub(crate) fn weight(&self, encoded: &[u8]) -> Weight {
        Weight {
            bytes: u32::try_from(encoded.len()).unwrap_or(u32::MAX),
            lasts: self.is_about_subscription(),
        }
    }

    /// Whether it is of a call that says that an org subscribes or leaves. It is not forgotten before its time: a repeat would do so again,
    /// and what an org is by then does not follow from any id.
    pub(super) fn is_about_subscription(&self) -> bool {
        let etypes = [ServiceEtype::OrgInstall, ServiceEtype::OrgUninstall];
        etypes.iter().any(|etype| etype.as_str() == self.etype)
    }

    /// Forgets it.
    pub(super) fn delete(&self, batch: &mut Batch, row: &[u8]) {
        batch.delete(Table::LcCall, row.to_vec());
        batch.delete(Table::LcCallByTime, by_time(self.until, row));
    }
}

/// The row of a call, in the order in which they are forgotten.
pub(crate) fn by_time(until: Timestamp, row: &[u8]) -> Vec<u8> {
    Key::new().time(until).bytes(row).into()
}

/// What is said of a note beside it, so that it need not be read to be counted or forgotten: the row of its call by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weight {
    pub(super) bytes: u32,
    /// It is not forgotten before its time.
    pub(super) lasts: bool,
}

/// Behind the size of a note that is not forgotten early.
const LASTS: u8 = b'l';

impl Weight {
    /// The row: four bytes, and one more if it lasts.
    pub(crate) fn row(self) -> Vec<u8> {
        let mark: &[u8] = if self.lasts { &[LASTS] } else { &[] };
        [self.bytes.to_be_bytes().as_slice(), mark].concat()
    }

    /// What such a row says; nothing where it is none.
    pub(super) fn read(row: &[u8]) -> Self {
        let (bytes, mark) = row.split_first_chunk().unwrap_or((&[0; 4], &[]));
        Self {
            bytes: u32::from_be_bytes(*bytes),
            lasts: mark == [LASTS],
        }
    }
}

/// The prefix of an org's rows.
pub(crate) fn rows_of(org: &Org) -> Vec<u8> {
    Key::new().text(org.as_str()).into()
}

/// The key of a job's news.
pub(crate) fn news_row(org: &Org, job_id: JobId) -> Vec<u8> {
    Key::new().text(org.as_str()).bytes(job_id.as_bytes()).into()
}

pub(crate) fn org_row(prefix: u8, org: &Org) -> Vec<u8> {
    [&[prefix], org.as_str().as_bytes()].concat()
}

/// Orgs whose hosts are looked for by LimaCharlie's id where nobody says which.
const ORGS_MAX: usize = 1_000;

/// The orgs that are subscribed.
pub(crate) fn orgs(store: &Store) -> Result<Vec<Org>, Refusal> {
    let rows = store.scan(Table::LcOrg, &[INSTALLED], None, ORGS_MAX)?;
    rows.iter().map(|(key, _)| org_of(key)).collect()
}

/// All orgs that LimaCharlie told of.
pub(super) fn load_orgs(store: &Store) -> Result<HashMap<Org, OrgState>, Refusal> {
    let mut orgs = HashMap::new();
    for (prefix, is_there) in [(INSTALLED, true), (REMOVED, false)] {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = store.scan(Table::LcOrg, &[prefix], after.as_deref(), 1_000)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (key, _) in &page {
                let org = org_of(key)?;
                let state = if is_there {
                    read(store, Table::LcOrg, key, "org")?.map(OrgState::Installed)
                } else {
                    read(store, Table::LcOrg, key, "removed org")?.map(OrgState::Leaving)
                };
                orgs.extend(state.map(|state| (org, state)));
            }
        }
    }
    Ok(orgs)
}

fn org_of(key: &[u8]) -> Result<Org, Refusal> {
    let text = key.get(1..).and_then(|key| std::str::from_utf8(key).ok());
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| unreadable_key("an org"))
}
