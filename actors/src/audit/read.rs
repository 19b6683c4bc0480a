//! Reading the audit: a chain from its beginning, and the newest records of all chains.
//!
//! Only what is durable is shown: what a crash could take back was never there for anybody.

use crate::refusal::Refusal;
use crate::store::{Head, Store, Table, chain_key, key, row_key};
use serde_json::value::RawValue;
use tripline_protocol::Timestamp;
use tripline_protocol::api::Page;
use tripline_protocol::audit::{AuditChain, AuditMark, AuditRecord};
use tripline_protocol::{Org, Sha256};

/// Records looked at for one page.
const LOOKED_AT_MAX: usize = 10_000;
/// Records read at once.
const CHUNK: usize = 256;
/// Chains that a list goes through at once.
const CHAINS_MAX: usize = 100;

/// Which records to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only of this chain: an org, or `_`.
    pub org: Option<String>,
    /// Only of whom this is the id or the name.
    pub who: Option<String>,
    /// Only about the host with this id or name.
    pub host: Option<String>,
    /// Only this action, or actions of this noun.
    pub action: Option<String>,
    /// Only from then on.
    pub since: Option<Timestamp>,
    /// Only before then.
    pub until: Option<Timestamp>,
    /// Only after the record that `Page::next` named.
    pub after: Option<String>,
    /// At most this many, 1 to 1000.
    pub limit: usize,
}

impl AuditFilter {
    fn matches(&self, record: &AuditRecord) -> bool {
        let is = |wanted: &Option<String>, found: &[Option<&String>]| {
            let wanted = wanted.as_ref();
            wanted.is_none_or(|wanted| found.iter().flatten().any(|found| *found == wanted))
        };
        let noun = record.action.split_once('.').map(|(noun, _)| noun.to_owned());
        let by = &record.by;
        is(&self.who, &[by.id.as_ref(), by.name.as_ref()])
            && is(&self.host, &[record.on.get("host"), record.on.get("hostname")])
            && is(&self.action, &[Some(&record.action), noun.as_ref()])
            && self.since.is_none_or(|since| record.at >= since)
            && self.until.is_none_or(|until| record.at < until)
    }
}

/// The chain that a text names.
pub fn chain_of(text: &str) -> Result<String, Refusal> {
    if text == tripline_protocol::audit::SERVER_CHAIN || text.parse::<Org>().is_ok() {
        return Ok(text.to_owned());
    }
    let text: String = text.chars().take(80).collect();
    Err(Refusal::NotFound {
        what: "audit chain",
        id: text,
    })
}

/// One record as it is stored.
pub(crate) fn row(store: &Store, chain: &str, number: u64) -> Result<Option<Vec<u8>>, Refusal> {
    match number <= store.head(chain).number {
        true => Ok(store.get(Table::Audit, &row_key(chain, number))?),
        false => Ok(None),
    }
}

/// At most `limit` records of a chain with numbers from `from` on, ascending, as they are stored.
pub(crate) fn rows(
    store: &Store,
    chain: &str,
    from: u64,
    limit: usize,
) -> Result<Vec<(u64, Vec<u8>)>, Refusal> {
    let head = store.head(chain);
    let after = row_key(chain, from.saturating_sub(1));
    let rows = store.scan(Table::Audit, &chain_key(chain), Some(&after), limit)?;
    Ok(numbered(chain, rows)
        .filter(|(number, _)| *number <= head.number)
        .collect())
}

fn numbered(chain: &str, rows: crate::store::Rows) -> impl Iterator<Item = (u64, Vec<u8>)> {
    let prefix = chain_key(chain).len();
    rows.into_iter()
        .filter_map(move |(key, row)| Some((key::read_u64(key.get(prefix..)?)?, row)))
}

/// What is kept of each chain, by chain.
pub(crate) fn chains(store: &Store) -> Result<Vec<AuditChain>, Refusal> {
    let chain = |(chain, head): (String, Head)| {
        let first = rows(store, &chain, 0, 1)?.first().map(|(number, _)| *number);
        Ok(AuditChain {
            first,
            head: mark(head),
            pruned: anchor(store, &chain)?.map(mark),
            published: published(store, &chain)?,
            org: chain,
        })
    };
    store.heads().into_iter().map(chain).collect()
}

/// The last record that was pruned.
pub(crate) fn anchor(store: &Store, chain: &str) -> Result<Option<Head>, Refusal> {
    let anchor = store.get(Table::AuditAnchor, chain.as_bytes())?;
    Ok(anchor.as_deref().and_then(Head::decode))
}

/// The number up to which a chain was published.
pub(crate) fn published(store: &Store, chain: &str) -> Result<u64, Refusal> {
    let published = store.get(Table::AuditPublished, chain.as_bytes())?;
    Ok(published.as_deref().and_then(key::read_u64).unwrap_or(0))
}

fn mark(head: Head) -> AuditMark {
    AuditMark {
        n: head.number,
        sha256: Sha256::from_digest(&head.sha256),
    }
}

/// The newest records that `filter` wants, newest first. A page may have fewer than `limit`, and even none, while
/// `next` says that there is more: so much is looked at for one page and no more.
pub(crate) fn list(store: &Store, filter: &AuditFilter) -> Result<Page<Box<RawValue>>, Refusal> {
    let mut walks = walks(store, filter)?;
    let mut items = Vec::new();
    for _ in 0..LOOKED_AT_MAX {
        if items.len() >= filter.limit {
            break;
        }
        let Some((row, record)) = take_newest(store, &mut walks)? else {
            return Ok(Page { items, next: None });
        };
        if filter.since.is_some_and(|since| record.at.after(SKEW) < since) {
            return Ok(Page { items, next: None });
        }
        if filter.matches(&record) {
            items.extend(raw(row));
        }
    }
    let places = walks.iter().map(|walk| format!("{}:{}", walk.chain, walk.before));
    let next = Some(places.collect::<Vec<_>>().join(","));
    Ok(Page { items, next })
}

/// Records are in the order of their commits; their times may be out of order by as much, not more.
const SKEW: tripline_protocol::Span = tripline_protocol::Span::from_secs(3600);

fn raw(row: Vec<u8>) -> Option<Box<RawValue>> {
    String::from_utf8(row)
        .ok()
        .and_then(|text| RawValue::from_string(text).ok())
}

/// A chain on its way from its newest record to its oldest.
struct Walk {
    chain: String,
    /// Numbers from this one on were shown.
    before: u64,
    /// The next ones, the newest last.
    ahead: Vec<(u64, Vec<u8>, AuditRecord)>,
}

fn walks(store: &Store, filter: &AuditFilter) -> Result<Vec<Walk>, Refusal> {
    let bad_cursor = || Refusal::Invalid {
        code: "bad_cursor",
        detail: "after is not what a page of this list named as next".into(),
    };
    let walk = |chain: &str, before: u64| Walk {
        chain: chain.to_owned(),
        before,
        ahead: Vec::new(),
    };
    let walks: Vec<Walk> = match &filter.after {
        Some(after) => {
            let place = |place: &str| {
                let (chain, before) = place.split_once(':')?;
                Some(walk(chain, before.parse().ok()?))
            };
            let places: Option<Vec<Walk>> = after.split(',').map(place).collect();
            places.ok_or_else(bad_cursor)?
        }
        None => {
            let heads = store.heads().into_iter();
            heads.map(|(chain, head)| walk(&chain, head.number + 1)).collect()
        }
    };
    let wanted = |walk: &Walk| filter.org.as_ref().is_none_or(|org| *org == walk.chain);
    let walks: Vec<Walk> = walks.into_iter().filter(wanted).collect();
    if walks.len() > CHAINS_MAX {
        return Err(Refusal::Invalid {
            code: "too_many_chains",
            detail: format!(
                "there are {} chains; name the org whose records you want",
                walks.len()
            ),
        });
    }
    Ok(walks)
}

/// The newest record that was not shown, of whichever chain.
fn take_newest(store: &Store, walks: &mut [Walk]) -> Result<Option<(Vec<u8>, AuditRecord)>, Refusal> {
    for walk in walks.iter_mut() {
        walk.look_ahead(store)?;
    }
    let newest = walks
        .iter_mut()
        .max_by_key(|walk| walk.ahead.last().map(|(_, _, record)| record.at));
    Ok(newest.and_then(|walk| {
        let (number, row, record) = walk.ahead.pop()?;
        walk.before = number;
        Some((row, record))
    }))
}

impl Walk {
    fn look_ahead(&mut self, store: &Store) -> Result<(), Refusal> {
        if !self.ahead.is_empty() || self.before <= 1 {
            return Ok(());
        }
        let before = row_key(&self.chain, self.before);
        let rows = store.scan_back(Table::Audit, &chain_key(&self.chain), Some(&before), CHUNK)?;
        let none = rows.is_empty();
        for (number, row) in numbered(&self.chain, rows) {
            match serde_json::from_slice(&row) {
                Ok(record) => self.ahead.push((number, row, record)),
                // To be found by who verifies; a list goes on.
                Err(error) => {
                    tracing::error!(chain = self.chain, number, %error, "a record of the audit is unreadable")
                }
            }
        }
        self.ahead.reverse();
        if none {
            self.before = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Chains;
    use super::*;
    use tripline_protocol::audit::Action;

    fn all() -> AuditFilter {
        AuditFilter {
            limit: 1000,
            ..AuditFilter::default()
        }
    }

    #[test]
    fn so_many_records_are_looked_at_for_one_page_and_the_next_page_goes_on() {
        let chains = Chains::new();
        chains.add("default", Action::HostForget, 1);
        chains.add("default", Action::HostLabel, LOOKED_AT_MAX - 1);
        let forgotten = AuditFilter {
            action: Some("host.forget".into()),
            ..all()
        };
        let page = list(&chains.store, &forgotten).unwrap();
        assert_eq!(page.items.len(), 1, "it is the last that is looked at");
        chains.add("default", Action::HostLabel, 1);
        let page = list(&chains.store, &forgotten).unwrap();
        assert!(page.items.is_empty());
        let rest = AuditFilter {
            after: Some(page.next.unwrap()),
            ..forgotten
        };
        let page = list(&chains.store, &rest).unwrap();
        assert_eq!((page.items.len(), page.next), (1, None));
    }

    #[test]
    fn a_list_goes_through_so_many_chains_and_of_more_one_is_to_be_named() {
        let chains = Chains::new();
        chains.add_chains(0..CHAINS_MAX);
        assert_eq!(list(&chains.store, &all()).unwrap().items.len(), CHAINS_MAX);
        chains.add_chains([CHAINS_MAX]);
        let refused = list(&chains.store, &all()).unwrap_err();
        assert_eq!(refused.code(), "too_many_chains");
        let count = CHAINS_MAX + 1;
        assert!(
            refused
                .to_string()
                .contains(&format!("{count} chains; name the org")),
            "{refused}"
        );
        let named = AuditFilter {
            org: Some(format!("org-{CHAINS_MAX}")),
            ..all()
        };
        assert_eq!(list(&chains.store, &named).unwrap().items.len(), 1);
    }
}
