//! Who may do what: bearer tokens with roles, and agents' keys.
//!
//! A token is `tl_<id>.<secret>`. The store has its SHA-256 only: the secret is 32 random bytes, so a slow
//! hash would protect nothing. Deliberately not here: HTTP headers, the file the administrator's token is
//! written to, sessions of people.

mod agent_key;
mod principal;
mod record;
#[cfg(test)]
mod tests;

pub(crate) use agent_key::read as read_key;
pub use agent_key::{AgentKeyRecord, agent_keys, host_of_key, put_key, revoke_key};
pub use principal::Principal;
pub use record::{TokenRecord, enrol_token, take_use};

use crate::audit::{By, Entry};
use crate::clock::Clock;
use crate::refusal::Refusal;
use crate::store::{Batch, Store};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::sync::Arc;
use tripline_protocol::api::{CreateToken, CreatedToken, Role, TokenView};
use tripline_protocol::audit::Action;
use tripline_protocol::{Span, Timestamp};

/// The id of the administrator's token, which the configuration sets and nobody revokes.
pub const ADMIN_ID: &str = "admin";
/// Tokens there may be at a time.
pub const TOKENS_MAX: usize = 10_000;
/// Characters of a name.
const NAME_CHARS_MAX: usize = 64;
/// Characters of a configured administrator's token.
const ADMIN_CHARS: std::ops::RangeInclusive<usize> = 16..=512;

/// The tokens. Cheap to clone.
#[derive(Clone)]
pub struct Access {
    store: Store,
    clock: Arc<dyn Clock>,
    by: By,
    bearers: Option<Arc<dyn Bearers>>,
}

/// Tokens that the store does not have: whoever made them reads them.
pub trait Bearers: Send + Sync + 'static {
    /// Whom the token belongs to `now`; `None`: nobody.
    fn principal(&self, token: &str, now: Timestamp) -> Option<Principal>;
}

impl Access {
    /// The tokens in `store`.
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        let by = By::system();
        Self {
            store,
            clock,
            by,
            bearers: None,
        }
    }

    /// The same tokens, and those of `bearers` where [`Access::caller`] is asked.
    #[must_use]
    pub fn with_bearers(self, bearers: Arc<dyn Bearers>) -> Self {
        Self {
            bearers: Some(bearers),
            ..self
        }
    }

    /// Whom a token belongs to that may be a service's, too. For Tripline's own API: dialects of others know no such
    /// tokens.
    pub fn caller(&self, token: &str) -> Option<Principal> {
        let of_service = || self.bearers.as_ref()?.principal(token, self.clock.now());
        self.authenticate(token).or_else(of_service)
    }

    /// The same tokens, asked on behalf of `caller`: what is asked for goes on record as the caller's.
    #[must_use]
    pub fn by(&self, caller: &Principal) -> Self {
        Self {
            by: By::from(caller),
            ..self.clone()
        }
    }

    /// A record about a token. A token is its org's concern, or that of the server itself.
    fn audit(&self, action: Action, token: &TokenRecord) -> Entry {
        Entry::new(action, &self.by, token.org.as_ref(), self.clock.now())
            .on("token", &token.id)
            .detail("name", &token.name)
            .detail("role", token.role)
    }

    /// Whom the bearer token `token` belongs to; `None`: nobody, or it has expired. A store that cannot be
    /// read lets nobody in.
    pub fn authenticate(&self, token: &str) -> Option<Principal> {
        let id = record::id_of(token).unwrap_or(ADMIN_ID);
        [id, ADMIN_ID]
            .into_iter()
            .find_map(|id| self.principal(id, token))
    }

    fn principal(&self, id: &str, token: &str) -> Option<Principal> {
        let record = match record::read(&self.store, id) {
            Ok(record) => record?,
            Err(refusal) => {
                tracing::error!(%refusal, "cannot look a token up");
                return None;
            }
        };
        let valid = record.matches(token) && !record.expired(self.clock.now());
        valid.then(|| record.into_principal())
    }

    /// Makes a token; durable when it returns. Tokens that have expired are removed on the way.
    pub async fn create(&self, request: CreateToken) -> Result<CreatedToken, Refusal> {
        check(&request)?;
        let mut batch = Batch::new();
        self.remove_expired(&mut batch)?;
        let id = random_bytes::<8>()?.map(|byte| format!("{byte:02x}")).concat();
        let token = token_text(&id)?;
        let record = TokenRecord::new(id, &token, request, self.clock.now());
        record.put(&mut batch)?;
        let entry = self.audit(Action::TokenCreate, &record);
        let limits = entry
            .detail("uses", record.uses)
            .detail("expires_at", record.expires_at);
        batch.audit(limits);
        commit(&self.store, batch).await?;
        Ok(CreatedToken {
            token,
            view: record.into_view(),
        })
    }

    fn remove_expired(&self, batch: &mut Batch) -> Result<(), Refusal> {
        let now = self.clock.now();
        let (expired, valid): (Vec<_>, Vec<_>) = record::all(&self.store)?
            .into_iter()
            .partition(|record| record.expired(now));
        if valid.len() >= TOKENS_MAX {
            let detail = format!("there are {TOKENS_MAX} tokens, which is the most; revoke some first");
            return Err(Refusal::Conflict {
                code: "too_many_tokens",
                detail,
            });
        }
        expired
            .iter()
            .for_each(|record| record::delete(batch, &record.id));
        Ok(())
    }

    /// All tokens by id, at most [`TOKENS_MAX`], without their secrets.
    pub fn list(&self) -> Result<Vec<TokenView>, Refusal> {
        Ok(record::all(&self.store)?
            .into_iter()
            .map(TokenRecord::into_view)
            .collect())
    }

    /// Ends a token; durable when it returns.
    pub async fn revoke(&self, id: &str) -> Result<(), Refusal> {
        if id == ADMIN_ID {
            let detail = "the administrator's token is set by the configuration: change auth.admin_token, or \
                          remove the file admin.token, and start the server again";
            return Err(Refusal::Conflict {
                code: "admin_token",
                detail: detail.to_owned(),
            });
        }
        let Some(record) = record::read(&self.store, id)? else {
            return Err(Refusal::NotFound {
                what: "token",
                id: id.chars().take(80).collect(),
            });
        };
        let mut batch = Batch::new();
        record::delete(&mut batch, id);
        batch.audit(self.audit(Action::TokenRevoke, &record));
        commit(&self.store, batch).await
    }

    /// Sets the administrator's token to the text `secret`, whatever it was before; durable when it returns.
    pub async fn ensure_admin(&self, secret: &str) -> Result<(), Refusal> {
        if !ADMIN_CHARS.contains(&secret.len()) || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            let detail = format!(
                "the administrator's token must have {} to {} visible ASCII characters",
                ADMIN_CHARS.start(),
                ADMIN_CHARS.end()
            );
            return Err(Refusal::Invalid {
                code: "admin_token",
                detail,
            });
        }
        if record::read(&self.store, ADMIN_ID)?.is_some_and(|record| record.matches(secret)) {
            return commit(&self.store, Batch::new()).await;
        }
        let request = CreateToken {
            name: ADMIN_ID.to_owned(),
            role: Role::Admin,
            org: None,
            uses: None,
            expires: None,
        };
        let mut batch = Batch::new();
        let record = TokenRecord::new(ADMIN_ID.to_owned(), secret, request, self.clock.now());
        record.put(&mut batch)?;
        batch.audit(self.audit(Action::TokenCreate, &record));
        commit(&self.store, batch).await
    }
}

/// A new text for the administrator's token, from the system's randomness.
pub fn generate_admin_token() -> Result<String, Refusal> {
    token_text(ADMIN_ID)
}

fn token_text(id: &str) -> Result<String, Refusal> {
    Ok(format!(
        "tl_{id}.{}",
        URL_SAFE_NO_PAD.encode(random_bytes::<32>()?)
    ))
}

fn random_bytes<const N: usize>() -> Result<[u8; N], Refusal> {
    let mut bytes = [0; N];
    // Requests of up to 256 bytes are filled whole (getrandom(2)).
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(filled) if filled == N => Ok(bytes),
        outcome => {
            tracing::error!(?outcome, "no random bytes");
            Err(Refusal::Unavailable {
                detail: "the system has no random bytes",
            })
        }
    }
}

fn check(request: &CreateToken) -> Result<(), Refusal> {
    let invalid = |code, detail: &str| {
        Err(Refusal::Invalid {
            code,
            detail: detail.to_owned(),
        })
    };
    let chars = request.name.chars().count();
    if !(1..=NAME_CHARS_MAX).contains(&chars) || request.name.chars().any(char::is_control) {
        return invalid(
            "token_name",
            "the name must have 1 to 64 characters, none of them a control character",
        );
    }
    match request.uses {
        Some(_) if request.role != Role::Enrol => {
            return invalid(
                "token_uses",
                "only a token of role enrol can have a number of uses",
            );
        }
        Some(0) => return invalid("token_uses", "uses must be at least 1"),
        _ => {}
    }
    match request.expires {
        Some(Span::ZERO) => invalid(
            "token_expires",
            "expires must be longer than nothing, such as 24h",
        ),
        _ => Ok(()),
    }
}

/// Until when a token made `now` is valid.
fn expiry(now: Timestamp, expires: Option<Span>) -> Option<Timestamp> {
    expires.map(|span| now.after(span))
}

/// Commits and waits until it is durable.
async fn commit(store: &Store, batch: Batch) -> Result<(), Refusal> {
    let (done, wait) = tokio::sync::oneshot::channel();
    store.commit(batch, move || {
        // An error says that nobody waits any more; the batch counts all the same.
        let _ = done.send(());
    });
    wait.await.map_err(|_| Refusal::Unavailable {
        detail: "the store takes no writes",
    })
}
