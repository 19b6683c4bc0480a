//! Who a request comes from.

use crate::refusal::Refusal;
use tripline_protocol::Org;
use tripline_protocol::api::{Asker, Role};
use tripline_protocol::audit::Place;

/// The holder of a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The token.
    pub token_id: String,
    /// Whom it is for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The only org it may act in; `None`: all.
    pub org: Option<Org>,
    /// Where its request came from, as its edge knows it.
    pub place: Option<Place>,
    /// How deep the call was that a service got its token with; `None`: it is no service.
    pub depth: Option<u8>,
}

impl Principal {
    /// Whether it may do what needs the role `needed`. Each role may do what those below it may, apart from
    /// enrolling: only `enrol` and `admin` may, and `enrol` may nothing else.
    pub fn may(&self, needed: Role) -> bool {
        match (self.role, needed) {
            (Role::Admin, _) | (Role::Enrol, Role::Enrol) => true,
            (Role::Enrol, _) | (_, Role::Enrol) => false,
            (role, needed) => role >= needed,
        }
    }

    /// Refuses a token that is bound to an org where `what` concerns the whole server.
    pub fn require_all_orgs(&self, what: &str) -> Result<(), Refusal> {
        match &self.org {
            None => Ok(()),
            Some(own) => {
                let detail = format!("{what} concerns all orgs, and this token acts in org {own} only");
                Err(Refusal::Forbidden { detail })
            }
        }
    }

    /// Who it is, as records name it.
    pub fn to_asker(&self) -> Asker {
        Asker {
            token_id: self.token_id.clone(),
            name: self.name.clone(),
        }
    }

    /// The org a request acts in that names `wanted`: a bound token's own, and no other. `None`: all orgs.
    pub fn org_for(&self, wanted: Option<&Org>) -> Result<Option<Org>, Refusal> {
        match (&self.org, wanted) {
            (None, wanted) => Ok(wanted.cloned()),
            (Some(own), Some(wanted)) if own != wanted => {
                let detail = format!("this token acts in org {own} only, not in {wanted}");
                Err(Refusal::Forbidden { detail })
            }
            (Some(own), _) => Ok(Some(own.clone())),
        }
    }
}
