//! What is sent: calls as a cloud makes them, and what is expected of their answers.

use super::example::example;
use crate::config::Secret;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tripline_protocol::limacharlie::{Call, Jwt, Mtd, ServiceEtype, VERSION};
use tripline_protocol::{Span, Timestamp};
use tripline_service::sign;
use uuid::Uuid;

/// How long a token is good for; real ones are for half an hour at least.
const JWT_SPAN: Span = Span::from_secs(3_600);

/// Who calls, about what.
pub(super) struct Play {
    pub(super) secret: Secret,
    pub(super) oid: String,
    pub(super) deadline: Span,
}

/// Something that is sent.
#[derive(Debug)]
pub(super) struct Sent {
    /// What a person knows it by.
    pub(super) name: String,
    pub(super) expect: Expect,
    pub(super) content: Content,
    pub(super) signing: Signing,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    /// With a deadline from when it is sent.
    Call(Call),
    /// Bytes as they are.
    Raw(Vec<u8>),
}

/// What is done with the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signing {
    Right,
    Missing,
    /// With another secret.
    Wrong,
    UpperCase,
    /// Right for a body that had one space less.
    BodyChanged,
}

/// What an answer has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    Health,
    /// An etype that the service says it handles.
    Handled,
    /// `get_resource` of something that is probably not there.
    Resource,
    /// An etype that it does not handle, or that nobody knows.
    NotImplemented,
    /// 401 without a body.
    Unauthorized,
    /// The same, to a signature that would be right in lower case.
    UpperCase,
    /// No object: 400 or 500, or an answer that refuses.
    NoCall,
    /// The deadline is no number.
    BadDeadline,
    /// A version after the only one.
    Version,
    /// Parameters of a request that are not as the service defines them.
    Parameters,
    /// `data` is null.
    NullData,
}

/// What goes over the wire.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) body: Vec<u8>,
    pub(super) signature: Option<String>,
}

impl Sent {
    pub(super) fn request(&self, play: &Play, now: Timestamp) -> Request {
        let mut body = match &self.content {
            Content::Raw(bytes) => bytes.clone(),
            Content::Call(call) => {
                let deadline = Some(now.after(play.deadline));
                let jwt = call.oid.as_ref().map(|oid| jwt(oid, now));
                Call {
                    deadline,
                    jwt,
                    ..call.clone()
                }
                .to_body()
            }
        };
        let right = sign(play.secret.expose(), &body);
        let signature = match self.signing {
            Signing::Right | Signing::BodyChanged => Some(right),
            Signing::Missing => None,
            Signing::Wrong => Some(sign(&format!("{} ", play.secret.expose()), &body)),
            Signing::UpperCase => Some(right.to_uppercase()),
        };
        if self.signing == Signing::BodyChanged {
            body.push(b' ');
        }
        Request { body, signature }
    }
}

/// Has the form of a token, so that a service that looks into it finds what is in real ones. Nobody takes it: it is not signed.
fn jwt(oid: &str, now: Timestamp) -> Jwt {
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let expires = now.after(JWT_SPAN).as_micros() / 1_000_000;
    let head = part(json!({"alg": "none", "typ": "JWT"}));
    let body = part(json!({"oid": oid, "exp": expires, "sub": "tripline service test"}));
    Jwt::new(format!("{head}.{body}."))
}

impl Play {
    /// The first call of all.
    pub(super) fn health(&self) -> Sent {
        self.call(ServiceEtype::Health, &Mtd::default(), None)
    }

    /// A call of an etype, with data that are made up unless they are given.
    pub(super) fn call(&self, etype: ServiceEtype, mtd: &Mtd, data: Option<Value>) -> Sent {
        let is_handled = mtd.callbacks.iter().any(|name| name == etype.as_str());
        let expect = match etype {
            ServiceEtype::Health => Expect::Health,
            _ if !is_handled => Expect::NotImplemented,
            ServiceEtype::GetResource if data.is_none() => Expect::Resource,
            _ => Expect::Handled,
        };
        let data = data.unwrap_or_else(|| example(etype, mtd, &self.oid));
        Sent {
            name: etype.to_string(),
            expect,
            content: Content::Call(self.envelope(etype.as_str(), data, etype.is_of_org())),
            signing: Signing::Right,
        }
    }

    /// The fields around some data.
    pub(super) fn envelope(&self, etype: &str, data: Value, is_of_org: bool) -> Call {
        Call {
            version: Some(VERSION),
            oid: is_of_org.then(|| self.oid.clone()),
            mid: Some(Uuid::new_v4().to_string()),
            deadline: None,
            jwt: None,
            tripdepth: None,
            etype: etype.to_owned(),
            data,
        }
    }

    /// Calls of all etypes that the service handles, or of all there are; the org that is installed first is uninstalled last.
    pub(super) fn calls(&self, mtd: &Mtd, all: bool) -> Vec<Sent> {
        let is_wanted = |etype: &ServiceEtype| {
            let is_handled = mtd.callbacks.iter().any(|name| name == etype.as_str());
            *etype != ServiceEtype::Health && (all || is_handled)
        };
        let mut etypes: Vec<ServiceEtype> = ServiceEtype::all().filter(is_wanted).collect();
        etypes.sort_by_key(|etype| *etype == ServiceEtype::OrgUninstall);
        etypes
            .into_iter()
            .map(|etype| self.call(etype, mtd, None))
            .collect()
    }
}
