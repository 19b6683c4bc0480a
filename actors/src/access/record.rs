//! Tokens as they are stored. The uses that are left stand in a row of their own: taking one must not write
//! back a token that is revoked meanwhile.

use super::{Principal, TOKENS_MAX};
use crate::refusal::Refusal;
use crate::store::key::{self, Key};
use crate::store::{Batch, Store, Table};
use serde::{Deserialize, Serialize};
use sha2::Digest;
use subtle::ConstantTimeEq;
use tripline_protocol::api::{CreateToken, Role, TokenView};
use tripline_protocol::{Org, Sha256, Timestamp};

/// Begins the key of a token.
const TOKEN: &[u8] = b"t";
/// Begins the key of a token's uses left.
const USES: &[u8] = b"u";
/// Characters of the longest id a token text can name.
const ID_CHARS_MAX: usize = 32;

/// A token as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Names it.
    pub id: String,
    /// Whom it is for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The only org it may act in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<Org>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Of the token's whole text.
    pub sha256: Sha256,
    /// Uses it was made with; `None`: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
    /// Uses left; `None`: any number.
    #[serde(skip)]
    pub uses_left: Option<u32>,
}

impl TokenRecord {
    pub(super) fn new(id: String, text: &str, request: CreateToken, now: Timestamp) -> Self {
        let CreateToken {
            name,
            role,
            org,
            uses,
            expires,
        } = request;
        let expires_at = super::expiry(now, expires);
        let sha256 = Sha256::from_digest(&sha2::Sha256::digest(text).into());
        Self {
            id,
            name,
            role,
            org,
            created_at: now,
            expires_at,
            sha256,
            uses,
            uses_left: uses,
        }
    }

    /// Whether `text` is this token, in a time that does not depend on how much of it is right.
    pub(super) fn matches(&self, text: &str) -> bool {
        let given: [u8; 32] = sha2::Sha256::digest(text).into();
        key::sha256(&self.sha256).ct_eq(&given).into()
    }

    pub(super) fn expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }

    pub(super) fn into_principal(self) -> Principal {
        Principal {
            token_id: self.id,
            name: self.name,
            role: self.role,
            org: self.org,
            place: None,
            depth: None,
        }
    }

    pub(super) fn into_view(self) -> TokenView {
        let Self {
            id,
            name,
            role,
            org,
            created_at,
            expires_at,
            uses_left,
            ..
        } = self;
        TokenView {
            id,
            name,
            role,
            org,
            uses_left,
            created_at,
            expires_at,
        }
    }

    pub(super) fn put(&self, batch: &mut Batch) -> Result<(), Refusal> {
        batch.put(Table::Token, token_key(&self.id), encode(self)?);
        match self.uses_left {
            Some(uses) => batch.put(Table::Token, uses_key(&self.id), key::u32(uses)),
            None => batch.delete(Table::Token, uses_key(&self.id)),
        }
        Ok(())
    }
}

/// The id that a text `tl_<id>.<secret>` names.
pub(super) fn id_of(text: &str) -> Option<&str> {
    let (id, _) = text.strip_prefix("tl_")?.split_once('.')?;
    (id.len() <= ID_CHARS_MAX).then_some(id)
}

fn token_key(id: &str) -> Key {
    Key::new().bytes(TOKEN).bytes(id.as_bytes())
}

fn uses_key(id: &str) -> Key {
    Key::new().bytes(USES).bytes(id.as_bytes())
}

/// The token `id`.
pub(super) fn read(store: &Store, id: &str) -> Result<Option<TokenRecord>, Refusal> {
    match store.get(Table::Token, token_key(id).as_ref())? {
        None => Ok(None),
        Some(value) => with_uses(store, &value).map(Some),
    }
}

fn with_uses(store: &Store, value: &[u8]) -> Result<TokenRecord, Refusal> {
    let mut record: TokenRecord = decode(value)?;
    if record.uses.is_some() {
        let left = store.get(Table::Token, uses_key(&record.id).as_ref())?;
        record.uses_left = Some(left.and_then(|left| key::read_u32(&left)).unwrap_or(0));
    }
    Ok(record)
}

/// All tokens by id, the administrator's among them.
pub(super) fn all(store: &Store) -> Result<Vec<TokenRecord>, Refusal> {
    let rows = store.scan(Table::Token, TOKEN, None, TOKENS_MAX)?;
    rows.iter().map(|(_, value)| with_uses(store, value)).collect()
}

pub(super) fn delete(batch: &mut Batch, id: &str) {
    batch.delete(Table::Token, token_key(id));
    batch.delete(Table::Token, uses_key(id));
}

/// The token `token_id`, if it may enrol `now`. Whether it has a use left, [`take_use`] checks.
pub fn enrol_token(store: &Store, token_id: &str, now: Timestamp) -> Result<TokenRecord, Refusal> {
    let record = read(store, token_id)?.ok_or_else(|| forbidden("the enrolment token was revoked"))?;
    if record.expired(now) {
        return Err(forbidden("the enrolment token has expired"));
    }
    if !matches!(record.role, Role::Enrol | Role::Admin) {
        return Err(forbidden("a token of this role may not enrol"));
    }
    Ok(record)
}

fn forbidden(detail: &str) -> Refusal {
    Refusal::Forbidden {
        detail: detail.to_owned(),
    }
}

/// Takes one use of the enrolment token `token_id`: checks that it is there and valid `now`, and writes into
/// `batch` that it has one use fewer. For the one actor that enrols, within the batch that enrols.
pub fn take_use(
    store: &Store,
    batch: &mut Batch,
    token_id: &str,
    now: Timestamp,
) -> Result<TokenRecord, Refusal> {
    let mut record = enrol_token(store, token_id, now)?;
    if let Some(uses) = record.uses_left {
        let left = uses
            .checked_sub(1)
            .ok_or_else(|| forbidden("the enrolment token is used up"))?;
        batch.put(Table::Token, uses_key(token_id), key::u32(left));
        record.uses_left = Some(left);
    }
    Ok(record)
}

pub(super) fn encode(record: &impl Serialize) -> Result<Vec<u8>, Refusal> {
    serde_json::to_vec(record).map_err(|error| {
        tracing::error!(%error, "cannot encode a record");
        Refusal::Unavailable {
            detail: "a record cannot be encoded",
        }
    })
}

pub(super) fn decode<'de, T: Deserialize<'de>>(value: &'de [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(value).map_err(|error| {
        tracing::error!(%error, "cannot decode a record");
        Refusal::Unavailable {
            detail: "a stored record cannot be understood",
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Access;
    use crate::clock::SystemClock;
    use crate::store::Options;
    use std::sync::Arc;

    #[test]
    fn a_text_names_a_token_with_an_id_up_to_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Options::new(dir.path())).unwrap();
        let access = Access::new(store.clone(), Arc::new(SystemClock::default()));
        for (chars, named) in [(ID_CHARS_MAX, true), (ID_CHARS_MAX + 1, false)] {
            let id = "a".repeat(chars);
            let text = format!("tl_{id}.secret");
            let request = CreateToken {
                name: "ana".to_owned(),
                role: Role::Viewer,
                org: None,
                uses: None,
                expires: None,
            };
            let record = TokenRecord::new(id.clone(), &text, request, Timestamp::default());
            let mut batch = Batch::new();
            record.put(&mut batch).unwrap();
            store.commit(batch, || {});
            assert_eq!(read(&store, &id).unwrap(), Some(record), "it is there either way");
            let holder = access.authenticate(&text);
            assert_eq!(holder.map(|holder| holder.token_id), named.then_some(id));
        }
    }
}
