//! What services offer by name: asked for by hash, fetched when it changed, and kept.

use super::actor::Service;
use super::messages::{CallOf, Resource};
use super::record::{ResourceRecord, prefix, text_key};
use super::redact::without_secret;
use super::verdict::{Verdict, short};
use crate::ground::{decoded, read};
use crate::ports::CallFailure;
use crate::record::encode;
use crate::refusal::Refusal;
use crate::store::{Batch, Store, Table};
use actix::prelude::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256 as Hasher};
use std::collections::BTreeMap;
use tripline_protocol::api::ServiceResource;
use tripline_protocol::limacharlie::{
    Answer, GetResource, Resource as Told, ResourceAnswer, ResourceNames, ServiceEtype,
};
use tripline_protocol::{Name, Sha256, Span, Timestamp};
use uuid::Uuid;

/// Resources of a service that are kept.
pub(crate) const RESOURCES_MAX: usize = 64;
/// The largest resource that is kept, in bytes.
pub(crate) const RESOURCE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// Requests of one service that may be under way.
const ASKING_MAX: usize = 4;

impl Service {
    /// Asks for the hash of a resource.
    pub(super) fn ask_resource(&mut self, request: Resource, ctx: &mut Context<Self>) {
        if let Err(refusal) = self.check_resource(&request) {
            return request.reply.send(Err(refusal));
        }
        self.asking += 1;
        self.call_resource(request, false, ctx);
    }

    fn check_resource(&self, request: &Resource) -> Result<(), Refusal> {
        self.check_reach(request)?;
        if !(1..=NAME_BYTES_MAX).contains(&request.resource.len()) || request.resource.contains('\0') {
            return Err(bad("the name of a resource must be 1 to 256 bytes"));
        }
        if self.asking >= ASKING_MAX {
            return Err(Refusal::Busy {
                what: "requests to the service",
                retry_after: Span::from_secs(1),
            });
        }
        Ok(())
    }

    /// Whether the service may be asked for who wants it.
    fn check_reach(&self, request: &Resource) -> Result<(), Refusal> {
        let sees = |org| self.spec.orgs.contains(org);
        if self.record.leaving || !request.org.as_ref().is_none_or(sees) {
            return Err(super::registry::not_found(&request.service));
        }
        if self.edge().is_none() {
            return Err(failed("nobody calls services yet"));
        }
        if !self.machine.is_known {
            // A token goes with the call, and nobody knows yet who is there.
            return Err(failed("the service did not answer `health` there yet"));
        }
        Ok(())
    }

    fn call_resource(&self, request: Resource, with_data: bool, ctx: &mut Context<Self>) {
        let data = json!(GetResource {
            resource: ResourceNames::One(request.resource.clone()),
            is_include_data: with_data,
        });
        let org = request.org.as_ref().or(self.spec.orgs.first());
        let call = self.new_call(
            ServiceEtype::GetResource,
            Uuid::new_v4(),
            org,
            data,
            request.depth,
        );
        self.call(call, CallOf::Resource { request, with_data }, ctx);
    }

    /// The service answered.
    pub(super) fn got_resource(
        &mut self,
        request: Resource,
        with_data: bool,
        result: Result<Answer, CallFailure>,
        ctx: &mut Context<Self>,
    ) {
        let mut told = told(&result);
        let mut batch = Batch::new();
        let org = request.org.as_ref().or(self.spec.orgs.first()).cloned();
        self.hear_of_jobs(result, org.as_ref(), &mut batch);
        self.commit(batch, Vec::new(), || {});
        let known = told
            .as_ref()
            .ok()
            .and_then(|told| self.known(&request, &told.hash));
        if let (Ok(_), None, false) = (&told, &known, with_data) {
            // Meanwhile it may have been put elsewhere, or the org may have left.
            match self.check_reach(&request) {
                Ok(()) => return self.call_resource(request, true, ctx),
                Err(refusal) => told = Err(refusal),
            }
        }
        self.asking = self.asking.saturating_sub(1);
        let record = match (known, told) {
            (Some(known), _) => Ok(known),
            (None, Ok(told)) => self.keep(&request, told),
            (None, Err(refusal)) => Err(refusal),
        };
        let (service, resource) = (self.name().clone(), request.resource);
        let answer = record.map(|record| ServiceResource {
            service,
            resource,
            hash: record.hash,
            res_cat: record.res_cat,
            res_data: record.res_data,
            fetched_at: record.fetched_at,
        });
        self.ground.after_commit(move || request.reply.send(answer));
    }

    /// What was fetched before, if it is that still.
    fn known(&self, request: &Resource, hash: &Sha256) -> Option<ResourceRecord> {
        let key = text_key(self.name(), &request.resource);
        let known = read(
            &self.ground.store,
            Table::ServiceResource,
            &key,
            "resource of a service",
        );
        let known: Option<ResourceRecord> = known.unwrap_or_else(|error| {
            tracing::error!(service = %self.name(), %error, "a resource of a service cannot be read");
            None
        });
        known.filter(|known| known.hash == *hash)
    }

    /// Keeps what was fetched; what is too much goes, the oldest first.
    fn keep(&mut self, request: &Resource, told: Told) -> Result<ResourceRecord, Refusal> {
        let res_data = checked(&told)?;
        let record = ResourceRecord {
            hash: told.hash,
            res_cat: short(without_secret(&told.res_cat, &self.secret)),
            res_data,
            fetched_at: self.ground.now(),
        };
        let mut batch = Batch::new();
        let key = text_key(self.name(), &request.resource);
        self.resources.put(&key, record.fetched_at, &mut batch);
        batch.put(Table::ServiceResource, key, encode(&record));
        self.commit(batch, Vec::new(), || {});
        Ok(record)
    }
}

/// What is kept of a service's resources, and since when: they are long, and none is read to make room for another.
#[derive(Debug, Default)]
pub(super) struct Resources(BTreeMap<Vec<u8>, Timestamp>);

impl Resources {
    pub(super) fn load(store: &Store, service: &Name) -> Result<Self, Refusal> {
        let mut kept = BTreeMap::new();
        let (prefix, mut after) = (prefix(service), None::<Vec<u8>>);
        // One at a time: they may be long.
        while let Some((row, value)) = {
            let page = store.scan(Table::ServiceResource, &prefix, after.as_deref(), 1)?;
            page.into_iter().next()
        } {
            let Fetched { fetched_at } = decoded("resource of a service", &value)?;
            kept.insert(row.clone(), fetched_at);
            after = Some(row);
        }
        Ok(Self(kept))
    }

    /// One is kept from now on; of what is too much then, what was fetched first goes.
    fn put(&mut self, key: &[u8], fetched_at: Timestamp, batch: &mut Batch) {
        self.0.insert(key.to_vec(), fetched_at);
        while self.0.len() > RESOURCES_MAX {
            let others = self.0.iter().filter(|(row, _)| *row != key);
            let Some(oldest) = others.min_by_key(|(_, at)| **at).map(|(row, _)| row.clone()) else {
                return;
            };
            self.0.remove(&oldest);
            batch.delete(Table::ServiceResource, oldest);
        }
    }
}

/// What is read of a [`ResourceRecord`] without its content.
#[derive(Deserialize)]
struct Fetched {
    fetched_at: Timestamp,
}

fn bad(detail: impl Into<String>) -> Refusal {
    Refusal::Invalid {
        code: "bad_resource",
        detail: detail.into(),
    }
}

fn failed(detail: impl Into<String>) -> Refusal {
    Refusal::Conflict {
        code: "service_failed",
        detail: detail.into(),
    }
}

/// What the service says of the resource.
fn told(result: &Result<Answer, CallFailure>) -> Result<Told, Refusal> {
    let answer = match (Verdict::of(result), result) {
        (Verdict::Done, Ok(answer)) => answer,
        (verdict, _) => {
            let why = verdict.text().unwrap_or("it did not say why");
            return Err(failed(format!("the service did not give it: {why}")));
        }
    };
    match serde_json::from_value(answer.data.clone()) {
        Ok(ResourceAnswer::One(told)) => Ok(told),
        Ok(ResourceAnswer::Many { .. }) => Err(bad("the service answered with many resources")),
        Err(error) => Err(bad(format!("what the service answered is no resource: {error}"))),
    }
}

/// The content, if it is what its hash says.
fn checked(told: &Told) -> Result<String, Refusal> {
    let Some(data) = &told.res_data else {
        return Err(bad("the service gave no content"));
    };
    let content = STANDARD
        .decode(data)
        .map_err(|error| bad(format!("the content is no base64: {error}")))?;
    if content.len() > RESOURCE_BYTES_MAX {
        let bytes = content.len();
        return Err(bad(format!(
            "a content of {bytes} bytes, at most {RESOURCE_BYTES_MAX} are kept"
        )));
    }
    let digest: [u8; 32] = Hasher::digest(&content).into();
    if Sha256::from_digest(&digest) != told.hash {
        return Err(bad("the content has another SHA-256 than the service says"));
    }
    Ok(data.clone())
}
