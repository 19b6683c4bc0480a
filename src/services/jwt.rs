//! Tokens that services get with their calls: JSON web tokens, signed with HMAC-SHA256 under a key of this server's own.
//!
//! A token names a service and an org and is kept nowhere. What its holder may do is looked up whenever it is presented, so
//! that it is worth nothing once the service is removed or the org has left it. Only the one form that is made here is taken:
//! another header, and with it another algorithm or none, is no token.

use crate::private::write_private;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tripline_actors::Core;
use tripline_actors::access::{Bearers, Principal};
use tripline_actors::ports::ServiceTokens;
use tripline_protocol::api::Role;
use tripline_protocol::limacharlie::{Jwt, oid};
use tripline_protocol::{Name, Org, Timestamp};

/// How long a token is good at least, in seconds.
const LIFE_SECONDS: i64 = 3600;
/// Tokens that are made within so many seconds for the same service and org are one: whoever remembers which were right has
/// few to remember.
const STEP_SECONDS: i64 = 300;
/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 2048;
const KEY_BYTES: usize = 32;
const ISSUER: &str = "tripline";
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
/// In `data_dir`.
const KEY_FILE: &str = "services.key";

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claims {
    iss: String,
    /// The service.
    sub: Name,
    /// The org, as services know it.
    oid: String,
    /// The org.
    org: Org,
    /// When the org's subscription began, in microseconds since the Unix epoch.
    #[serde(default)]
    joined: i64,
    /// How deep the call was that it came with.
    depth: u8,
    iat: i64,
    exp: i64,
}

/// Makes tokens and reads them.
#[derive(Clone)]
pub struct Tokens(Arc<[u8; KEY_BYTES]>);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("{action} the key of services' tokens {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// It is there, and something else.
    #[error("{0} has no key; remove the file, and tokens that services have are refused")]
    Damaged(String),
    /// The system has no random bytes.
    #[error("make a key: the system has no random bytes")]
    Random,
}

impl Tokens {
    /// With the key that is kept under `data_dir`; made if there is none.
    ///
    /// # Errors
    /// Its file cannot be read or written, or has no key.
    pub fn open(data_dir: &Path) -> Result<Self, KeyError> {
        let path = data_dir.join(KEY_FILE);
        let shown = path.display().to_string();
        let failed = |action| {
            let path = shown.clone();
            move |source| KeyError::File { action, path, source }
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let key = URL_SAFE_NO_PAD.decode(text.trim()).ok();
                let key = key.and_then(|key| key.try_into().ok());
                key.map(Self::with).ok_or(KeyError::Damaged(shown))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = random()?;
                let text = format!("{}\n", URL_SAFE_NO_PAD.encode(key));
                write_private(&path, text.as_bytes()).map_err(failed("write"))?;
                Ok(Self::with(key))
            }
            Err(error) => Err(failed("read")(error)),
        }
    }

    fn with(key: [u8; KEY_BYTES]) -> Self {
        Self(Arc::new(key))
    }

    fn signature(&self, signed: &str) -> Option<Hmac<Sha256>> {
        // A key may have any length.
        let mac = Hmac::<Sha256>::new_from_slice(self.0.as_slice()).ok()?;
        Some(mac.chain_update(signed.as_bytes()))
    }

    fn write(&self, claims: &Claims) -> Option<String> {
        let claims = serde_json::to_vec(claims).ok()?;
        let header = URL_SAFE_NO_PAD.encode(HEADER);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = self.signature(&signed)?.finalize().into_bytes();
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// What a token says that was made here and has not expired.
    fn read(&self, token: &str, now: Timestamp) -> Option<Claims> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        if header != URL_SAFE_NO_PAD.encode(HEADER) {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        // Takes as long wherever it differs.
        self.signature(signed)?.verify_slice(&signature).ok()?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        let is_good =
            claims.iss == ISSUER && now < Timestamp::from_micros(claims.exp.saturating_mul(1_000_000));
        is_good.then_some(claims)
    }
}

impl ServiceTokens for Tokens {
    fn token(&self, service: &Name, (org, joined): (&Org, Timestamp), depth: u8, now: Timestamp) -> Jwt {
        let second = now.as_micros().div_euclid(1_000_000);
        let iat = second - second.rem_euclid(STEP_SECONDS);
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: service.clone(),
            oid: oid(org).to_string(),
            org: org.clone(),
            joined: joined.as_micros(),
            depth,
            iat,
            exp: iat + STEP_SECONDS + LIFE_SECONDS,
        };
        // These claims can be written; if they could not, an empty token is refused like any other that is wrong.
        Jwt::new(self.write(&claims).unwrap_or_default())
    }
}

/// What services may do now.
pub trait Rights: Send + Sync + 'static {
    /// What the holder of a token of `service` may do in `org`, if it is of the subscription that began then; `None`: nothing.
    fn rights(&self, service: &Name, org: &Org, joined: Timestamp) -> Option<Role>;
}

impl Rights for Core {
    fn rights(&self, service: &Name, org: &Org, joined: Timestamp) -> Option<Role> {
        self.service_rights(service, org, joined)
    }
}

/// Holders of services' tokens.
pub struct ServiceBearers<R> {
    tokens: Tokens,
    rights: R,
}

impl<R: Rights> ServiceBearers<R> {
    /// Of `tokens`, who may do what `rights` says.
    pub fn new(tokens: Tokens, rights: R) -> Self {
        Self { tokens, rights }
    }
}

impl<R: Rights> Bearers for ServiceBearers<R> {
    fn principal(&self, token: &str, now: Timestamp) -> Option<Principal> {
        let claims = self.tokens.read(token, now)?;
        let role = self
            .rights
            .rights(&claims.sub, &claims.org, Timestamp::from_micros(claims.joined))?;
        Some(Principal {
            // Of the org, too: what a request with an idempotency key made in one org is not told in another.
            token_id: format!("service-{}@{}", claims.sub, claims.org),
            name: format!("service {}", claims.sub),
            role,
            org: Some(claims.org),
            place: None,
            depth: Some(claims.depth),
        })
    }
}

fn random() -> Result<[u8; KEY_BYTES], KeyError> {
    let mut key = [0; KEY_BYTES];
    let provider = rustls::crypto::ring::default_provider();
    match provider.secure_random.fill(&mut key) {
        Ok(()) => Ok(key),
        Err(_) => Err(KeyError::Random),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use serde_json::{Value, json};
    use tripline_protocol::Span;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    fn org(text: &str) -> Org {
        text.parse().expect("an org")
    }

    fn tokens() -> Tokens {
        Tokens::with([7; KEY_BYTES])
    }

    fn token() -> String {
        let token = tokens().token(&name("yara"), (&org("acme"), JOINED), 2, NOW);
        token.reveal().to_owned()
    }

    /// What each service may do in the org `acme`.
    #[derive(Clone, Default)]
    struct Registered(Arc<Mutex<Option<Role>>>);

    /// When the org subscribed.
    const JOINED: Timestamp = Timestamp::from_micros(7);

    impl Rights for Registered {
        fn rights(&self, service: &Name, org: &Org, joined: Timestamp) -> Option<Role> {
            (*self.0.lock())
                .filter(|_| service.as_str() == "yara" && org.as_str() == "acme" && joined == JOINED)
        }
    }

    fn bearers(role: Role) -> (ServiceBearers<Registered>, Registered) {
        let registered = Registered(Arc::new(Mutex::new(Some(role))));
        (ServiceBearers::new(tokens(), registered.clone()), registered)
    }

    fn part(token: &str, index: usize) -> Value {
        let part = token.split('.').nth(index).expect("a part");
        let json = URL_SAFE_NO_PAD.decode(part).expect("base64");
        serde_json::from_slice(&json).expect("JSON")
    }

    #[test]
    fn a_token_is_a_jwt_that_names_service_and_org_and_lasts_an_hour() {
        let token = token();
        assert_eq!(part(&token, 0), json!({ "alg": "HS256", "typ": "JWT" }));
        let claims = part(&token, 1);
        assert_eq!(claims["sub"], "yara");
        assert_eq!(claims["org"], "acme");
        assert_eq!(claims["oid"], oid(&org("acme")).to_string());
        let seconds = claims["exp"].as_i64().expect("a time") - NOW.as_micros() / 1_000_000;
        assert!(
            (LIFE_SECONDS..=LIFE_SECONDS + STEP_SECONDS).contains(&seconds),
            "{seconds}"
        );
    }

    #[test]
    fn the_signature_is_that_of_the_standard() {
        // Computed with another implementation of HMAC-SHA256.
        let signed = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30";
        let mac = tokens().signature(signed).expect("a key").finalize().into_bytes();
        let expected = "65ektt7cdrzJ5zoJmXwkB62umI7l85S9GKi3MgTgsbU";
        assert_eq!(URL_SAFE_NO_PAD.encode(mac), expected);
    }

    #[test]
    fn its_holder_may_what_the_service_may_now_in_its_org_and_no_more() {
        let (bearers, registered) = bearers(Role::Viewer);
        let holder = bearers.principal(&token(), NOW).expect("known");
        assert_eq!((holder.role, holder.org), (Role::Viewer, Some(org("acme"))));
        assert_eq!((holder.name.as_str(), holder.depth), ("service yara", Some(2)));
        *registered.0.lock() = Some(Role::Operator);
        assert_eq!(
            bearers.principal(&token(), NOW).expect("known").role,
            Role::Operator
        );
        *registered.0.lock() = None;
        assert_eq!(bearers.principal(&token(), NOW), None, "it was removed");
        *registered.0.lock() = Some(Role::Viewer);
        let elsewhere = tokens().token(&name("yara"), (&org("other"), JOINED), 0, NOW);
        assert_eq!(bearers.principal(elsewhere.reveal(), NOW), None);
        let earlier = tokens().token(&name("yara"), (&org("acme"), NOW), 0, NOW);
        assert_eq!(
            bearers.principal(earlier.reveal(), NOW),
            None,
            "of another subscription"
        );
    }

    #[test]
    fn a_token_ends_after_its_hour() {
        let (bearers, _) = bearers(Role::Viewer);
        let hour = Span::from_secs(LIFE_SECONDS as u64);
        let step = Span::from_secs(STEP_SECONDS as u64);
        assert!(bearers.principal(&token(), NOW.after(hour)).is_some());
        assert_eq!(bearers.principal(&token(), NOW.after(hour).after(step)), None);
    }

    #[test]
    fn what_was_not_made_here_is_no_token() {
        let (bearers, _) = bearers(Role::Admin);
        let token = token();
        let (signed, signature) = token.rsplit_once('.').expect("three parts");
        let claims = signed.split_once('.').expect("two parts").1;
        let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let forged = part(&token, 1)
            .to_string()
            .replace("viewer", "admin")
            .replace("acme", "evil");
        let foreign = Tokens::with([8; KEY_BYTES]).token(&name("yara"), (&org("acme"), JOINED), 2, NOW);
        let other_issuer = Claims {
            iss: "other".to_owned(),
            ..tokens().read(&token, NOW).expect("ours")
        };
        for wrong in [
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            signed.to_owned(),
            format!("{signed}."),
            format!("{}.{claims}.", encoded(r#"{"alg":"none","typ":"JWT"}"#)),
            format!(
                "{}.{claims}.{signature}",
                encoded(r#"{"alg":"HS512","typ":"JWT"}"#)
            ),
            format!("{}.{}.{signature}", encoded(HEADER), encoded(&forged)),
            format!("{signed}.{}", &signature[1..]),
            format!("{signed}.{}A", &signature[..signature.len() - 1]),
            format!("{token}."),
            format!("{token} "),
            format!("{}{}", token, "A".repeat(TOKEN_BYTES_MAX)),
            foreign.reveal().to_owned(),
            tokens().write(&other_issuer).expect("claims"),
        ] {
            assert_eq!(bearers.principal(&wrong, NOW), None, "{wrong}");
        }
    }

    #[test]
    fn the_key_is_made_once_and_its_owner_only_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let first = Tokens::open(folder.path()).expect("a key");
        let path = folder.path().join(KEY_FILE);
        let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = Tokens::open(folder.path()).expect("the key");
        assert_eq!(first.0, again.0);
        std::fs::write(&path, "short").expect("written");
        assert!(matches!(Tokens::open(folder.path()), Err(KeyError::Damaged(_))));
    }
}
