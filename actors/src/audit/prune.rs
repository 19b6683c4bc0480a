//! Removing the oldest records of a chain, so that the rest still verifies.
//!
//! What remains begins with a record that holds the hash of the last one removed. That hash and its number are kept
//! (the anchor), and a record of the chain itself says them too, so that nobody can move the anchor unseen.

use super::By;
use super::read::rows;
use crate::ground::Ground;
use crate::refusal::Refusal;
use crate::store::{Batch, Head, Table, row_key};
use tripline_protocol::audit::{Action, AuditRecord, SERVER_CHAIN};
use tripline_protocol::{Org, Sha256, Span, Timestamp};

/// Records removed at once.
const PRUNED_MAX: usize = 1_000;
/// A chain is pruned when it is beyond a bound by this part of it, so that pruning, which is on record itself, is rare.
const SLACK: u64 = 20;

/// What was pruned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Nothing,
    /// As much as is removed at once; there may be more.
    Some,
    All,
}

/// Removes what is too old, as far as it was published, and what is too much. The newest record always stays.
pub(super) fn prune(
    ground: &Ground,
    chain: &str,
    head: Head,
    published: u64,
    now: Timestamp,
) -> Result<Cut, Refusal> {
    let max = ground.config.audit_retain_max;
    let Some((first, oldest)) = rows(&ground.store, chain, 0, 1)?.into_iter().next() else {
        return Ok(Cut::Nothing);
    };
    let kept = head.number + 1 - first;
    let retain = ground.config.audit_retain;
    let slack = Span::from_millis(retain.as_millis() / SLACK);
    let is_old = first <= published && at(&oldest).is_some_and(|at| at < now.before(retain).before(slack));
    if !is_old && kept <= max + max / SLACK {
        return Ok(Cut::Nothing);
    }
    let too_much = head.number.saturating_sub(max);
    let since = now.before(retain);
    let goes = |number: u64, row: &[u8]| {
        number < head.number
            && (number <= too_much || (number <= published && at(row).is_some_and(|at| at < since)))
    };
    let oldest = rows(&ground.store, chain, first, PRUNED_MAX)?;
    let gone: Vec<_> = oldest
        .iter()
        .take_while(|(number, row)| goes(*number, row))
        .collect();
    let Some((last, row)) = gone.last() else {
        return Ok(Cut::Nothing);
    };
    commit(ground, chain, first, Head::of(*last, row), gone.len());
    match gone.len() == PRUNED_MAX {
        true => Ok(Cut::Some),
        false => Ok(Cut::All),
    }
}

fn at(row: &[u8]) -> Option<Timestamp> {
    let record: AuditRecord = serde_json::from_slice(row).ok()?;
    Some(record.at)
}

fn commit(ground: &Ground, chain: &str, first: u64, last: Head, count: usize) {
    let mut batch = Batch::new();
    for number in first..=last.number {
        batch.delete(Table::Audit, row_key(chain, number));
    }
    batch.put(Table::AuditAnchor, chain.as_bytes().to_vec(), last.encode());
    let org: Option<Org> = chain.parse().ok().filter(|_| chain != SERVER_CHAIN);
    let entry = ground.audit(Action::AuditPrune, &By::system(), org.as_ref());
    batch.audit(
        entry
            .detail("first", first)
            .detail("last", last.number)
            .detail("sha256", Sha256::from_digest(&last.sha256)),
    );
    ground.store.commit(batch, || {});
    metrics::counter!("tripline_audit_pruned_total").increment(count as u64);
    tracing::info!(
        chain,
        count,
        last = last.number,
        "oldest records of the audit pruned"
    );
}
