//! Who may look at a session, and who may act on it.

use super::SessionRecord;
use crate::access::Principal;
use crate::refusal::Refusal;
use tripline_protocol::Org;
use tripline_protocol::api::Role;

/// Whether the caller's token reaches into this org.
pub(crate) fn may_see(caller: &Principal, org: &Org) -> bool {
    caller.may(Role::Viewer) && caller.org.as_ref().is_none_or(|own| own == org)
}

/// Whether the caller's token opened the session.
pub(crate) fn is_owner(caller: &Principal, record: &SessionRecord) -> bool {
    caller.token_id == record.owner.token_id
}

/// Only its owner and administrators act on a session.
pub(crate) fn check_act(caller: &Principal, record: &SessionRecord) -> Result<(), Refusal> {
    let own = is_owner(caller, record) && caller.may(Role::Operator);
    if own || caller.may(Role::Admin) {
        return Ok(());
    }
    let detail = format!("session {} belongs to another token", record.session_id);
    Err(Refusal::Forbidden { detail })
}
