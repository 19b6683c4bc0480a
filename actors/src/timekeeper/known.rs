//! What the store says about those whose turn it is.

use super::newcomers::Noted;
use super::state::Book;
use crate::ground::{Ground, read, unreadable_key};
use crate::host::littlebrother::Saved;
use crate::link;
use crate::record::HostRecord;
use crate::refusal::Refusal;
use crate::store::Table;
use tripline_protocol::{HostId, Org, Span, Timestamp};
use uuid::Uuid;

/// Hosts that were not seen for so long get no ticks.
const SEEN_WITHIN: Span = Span::from_secs(30 * 24 * 3600);
/// Rows read at once.
const ROWS_PAGE: usize = 1_000;

/// All hosts that are known, and their orgs: both are in the index by name.
pub(super) fn all(ground: &Ground) -> Result<Noted, Refusal> {
    let mut noted = Noted::default();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = ground
            .store
            .scan(Table::HostByName, &[], after.as_deref(), ROWS_PAGE)?;
        let Some((last, _)) = page.last() else {
            return Ok(noted);
        };
        after = Some(last.clone());
        for (row, _) in &page {
            let (org, host_id) = named(row).ok_or_else(|| unreadable_key("a host by its name"))?;
            noted.come(host_id, &org);
        }
    }
}

/// The org and the host of a row: `org`, 0, `hostname`, 0, host id.
fn named(row: &[u8]) -> Option<(Org, HostId)> {
    let org = row.split(|byte| *byte == 0).next()?;
    let (_, host_id) = row.split_last_chunk::<16>()?;
    let org = std::str::from_utf8(org).ok()?.parse().ok()?;
    Some((org, HostId(Uuid::from_bytes(*host_id))))
}

/// The store, and what is known beside it.
pub(super) struct Known<'a> {
    pub(super) ground: &'a Ground,
    pub(super) now: Timestamp,
}

impl Known<'_> {
    /// The org of a host that was seen lately and stands for itself.
    fn sensor(&self, host_id: HostId) -> Result<Option<Org>, Refusal> {
        let store = &self.ground.store;
        let Some(record) = read::<HostRecord>(store, Table::Host, host_id.as_bytes(), "host")? else {
            return Ok(None);
        };
        if record.is_littlebrother() && link::host_of(store, host_id)?.is_some() {
            return Ok(None);
        }
        Ok(self.is_seen(&record)?.then_some(record.org))
    }

    fn is_seen(&self, record: &HostRecord) -> Result<bool, Refusal> {
        let horizon = self.now.before(SEEN_WITHIN);
        if record.last_seen_at >= horizon || self.ground.attachments.get(record.host_id).is_some() {
            return Ok(true);
        }
        let store = &self.ground.store;
        let client = match record.is_littlebrother() {
            true => Some(record.host_id),
            false => link::client_of(store, record.host_id)?,
        };
        let Some(client) = client else { return Ok(false) };
        let saved: Option<Saved> = read(store, Table::LbHost, client.as_bytes(), "client")?;
        let view = self.ground.clients.view(client, self.now);
        let view = view.or_else(|| saved?.view(client, self.now));
        Ok(view.is_some_and(|view| view.last_message_at >= horizon))
    }

    fn has_hosts(&self, org: &Org) -> Result<bool, Refusal> {
        let prefix = [org.as_str().as_bytes(), &[0]].concat();
        Ok(!self
            .ground
            .store
            .scan(Table::HostByName, &prefix, None, 1)?
            .is_empty())
    }
}

impl Book for Known<'_> {
    /// One whose record cannot be read gets no tick: the others are not to wait for it.
    fn org_of(&self, host_id: HostId) -> Option<Org> {
        self.sensor(host_id).unwrap_or_else(|error| {
            tracing::error!(host = %host_id, %error, "a host gets no tick");
            None
        })
    }

    fn serves(&self, org: &Org, is_subscribed: bool) -> bool {
        let is_there = || {
            let is_default = *org == Org::default_org();
            Ok::<_, Refusal>(is_default || is_subscribed || self.has_hosts(org)?)
        };
        let serves = is_there().and_then(|is_there| Ok(is_there && !self.ground.is_limacharlie_org(org)?));
        serves.unwrap_or_else(|error| {
            tracing::error!(%org, %error, "an org gets no tick");
            false
        })
    }
}

impl Ground {
    /// Whether an org's ticks come from LimaCharlie, because it installed us there.
    pub(crate) fn is_limacharlie_org(&self, org: &Org) -> Result<bool, Refusal> {
        let key = [b"o", org.as_str().as_bytes()].concat();
        Ok(self.store.get(Table::LcOrg, &key)?.is_some())
    }
}
