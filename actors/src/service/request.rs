//! Requests: people and programs ask a service for something with parameters, and it answers. They are delivered as any
//! other message, and what became of each is kept.

use super::actor::Service;
use super::messages::{Queued, Take};
use super::record::{Content, DeliveryRecord, RequestRecord};
use super::redact::redact_data;
use super::requests::ServiceRequestFilter;
use super::state::End;
use super::verdict::{Verdict, short};
use crate::audit::By;
use crate::door::Reply;
use crate::once::{Made, Once, gone};
use crate::record::encode;
use crate::refusal::Refusal;
use crate::store::Batch;
use actix::prelude::*;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tripline_protocol::api::{Installation, Page, ServiceRequestState, ServiceRequestView};
use tripline_protocol::audit::Action;
use tripline_protocol::limacharlie::{Answer, ServiceEtype, check_parameters};
use tripline_protocol::{Name, Org, Span};
use uuid::Uuid;

/// Requests to a service that may wait for their answer.
const WAITING_MAX: usize = 100;
/// Parameters of a request, in bytes of JSON.
const PARAMS_BYTES_MAX: usize = 64 * 1024;
/// `data` of an answer that is kept, in bytes of JSON.
const DATA_BYTES_MAX: usize = 256 * 1024;
/// Ids of jobs that are kept of an answer.
const JOBS_MAX: usize = 100;

/// Asks a service for something; from the API, and on to the service.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct Ask {
    pub(crate) service: Name,
    /// `None`: the only one that is subscribed.
    pub(crate) org: Option<Org>,
    pub(crate) params: Map<String, Value>,
    /// How deep who asks is.
    pub(crate) depth: u8,
    pub(crate) once: Option<Once>,
    pub(crate) by: Arc<By>,
    pub(crate) reply: Reply<ServiceRequestView>,
}

/// What became of a request; from the API, and on to the service.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct GetRequest {
    pub(crate) org: Option<Org>,
    pub(crate) service: Name,
    pub(crate) id: Uuid,
    pub(crate) reply: Reply<ServiceRequestView>,
}

/// Requests to a service; from the API, and on to it.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ListRequests {
    pub(crate) filter: ServiceRequestFilter,
    pub(crate) reply: Reply<Page<ServiceRequestView>>,
}

/// A request that is taken.
struct Taken {
    view: ServiceRequestView,
    batch: Batch,
    queued: Option<Queued>,
}

impl Service {
    fn ask(&mut self, ask: Ask, ctx: &mut Context<Self>) {
        match self.take_request(&ask) {
            Err(refusal) => ask.reply.send(Err(refusal)),
            Ok(Taken { view, batch, queued }) => {
                let me = ctx.address();
                // It goes out when it is durable: who asks again after a crash must find the same request.
                self.commit(batch, Vec::new(), move || {
                    if let Some(Queued { seq, item, .. }) = queued {
                        me.do_send(Take(vec![(seq, item)]));
                    }
                    ask.reply.send(Ok(view));
                });
            }
        }
    }

    fn take_request(&mut self, ask: &Ask) -> Result<Taken, Refusal> {
        let org = self.org_of(ask)?;
        let now = self.ground.now();
        if let Some(view) = self.made_before(ask)? {
            let batch = Batch::new();
            return Ok(Taken {
                view,
                batch,
                queued: None,
            });
        }
        let params = self.fitting(ask, &org)?;
        let id = Uuid::now_v7();
        let record = RequestRecord {
            view: ServiceRequestView {
                id,
                service: self.name().clone(),
                org: org.clone(),
                params,
                state: ServiceRequestState::Waiting,
                asked_at: now,
                ended_at: None,
                attempts: 0,
                data: None,
                data_omitted_bytes: None,
                error: None,
                jobs: Vec::new(),
            },
            depth: ask.depth,
        };
        let mut batch = Batch::new();
        let made = || Made::ServiceRequest(self.spec.name.clone(), id);
        self.ground.onces.note(ask.once.as_ref(), made, now, &mut batch)?;
        let entry = self.ground.audit(Action::ServiceRequest, &ask.by, Some(&org));
        batch.audit(entry.on("service", self.name()).on("request", id));
        let queued = self.queue_request(&record, &mut batch);
        self.requests.put(&record, &mut batch);
        Ok(Taken {
            view: record.view,
            batch,
            queued: Some(queued),
        })
    }

    fn queue_request(&self, record: &RequestRecord, batch: &mut Batch) -> Queued {
        let delivery = DeliveryRecord {
            mid: record.view.id,
            etype: ServiceEtype::Request,
            org: Some(record.view.org.clone()),
            sensor: None,
            content: Content::Request,
            depth: 0,
            queued_at: record.view.asked_at,
            attempts: 0,
            not_before: None,
        };
        let seq = self.ground.services.take_seq();
        delivery.put(batch, self.name(), seq);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Queued {
            service: self.name().clone(),
            seq,
            item: delivery.item(),
        }
    }

    /// For which org it is.
    fn org_of(&self, ask: &Ask) -> Result<Org, Refusal> {
        if self.record.leaving {
            return Err(super::registry::not_found(&ask.service));
        }
        match (&ask.org, self.spec.orgs.as_slice()) {
            (Some(org), orgs) if orgs.contains(org) => Ok(org.clone()),
            (Some(_), _) => Err(super::registry::not_found(&ask.service)),
            (None, [org]) => Ok(org.clone()),
            (None, _) => Err(Refusal::Invalid {
                code: "org_needed",
                detail: "more than one org is subscribed to the service: say for which one it is".to_owned(),
            }),
        }
    }

    /// What the same request made before.
    fn made_before(&self, ask: &Ask) -> Result<Option<ServiceRequestView>, Refusal> {
        match self.ground.onces.made(ask.once.as_ref(), self.ground.now())? {
            Some(Made::ServiceRequest(_, id)) => {
                let record = self.requests.read(&self.ground.store, id)?;
                record.map(|record| Some(record.view)).ok_or_else(gone)
            }
            _ => Ok(None),
        }
    }

    /// The parameters, as the service is told them.
    fn fitting(&self, ask: &Ask, org: &Org) -> Result<Map<String, Value>, Refusal> {
        let failed = |detail: String| Refusal::Conflict {
            code: "service_failed",
            detail,
        };
        let Some(wants) = &self.record.wants else {
            return Err(failed(format!(
                "service {} did not say yet what it handles: it did not answer `health`",
                self.name()
            )));
        };
        if !self.record.listens_to(ServiceEtype::Request) {
            return Err(failed(format!(
                "service {} takes no requests: `request` is not among the callbacks of its health",
                self.name()
            )));
        }
        if self
            .orgs
            .get(org)
            .is_some_and(|known| known.state == Installation::Refused)
        {
            return Err(failed(format!("service {} refused org {org}", self.name())));
        }
        let bad = |code, detail| Refusal::Invalid { code, detail };
        check_parameters(&wants.request_params, &ask.params)
            .map_err(|error| bad("bad_params", error.to_string()))?;
        // Null means absent, but older ones of the reference implementation refuse it.
        let mut params = ask.params.clone();
        params.retain(|name, value| !(value.is_null() && wants.request_params.contains_key(name)));
        let bytes = encode(&params).len();
        if bytes > PARAMS_BYTES_MAX {
            let detail = format!("params: have {bytes} bytes; {PARAMS_BYTES_MAX} are allowed");
            return Err(bad("too_large", detail));
        }
        let is_full = self.waiting.load(Ordering::Relaxed) >= u64::from(self.spec.queue_max);
        if is_full || self.requests.waiting() >= WAITING_MAX {
            return Err(Refusal::Busy {
                what: "requests to the service",
                retry_after: Span::from_secs(5),
            });
        }
        self.ground.admit_writes()?;
        Ok(params)
    }

    /// What a request says, and how deep who asked is.
    pub(super) fn asked(&self, id: Uuid) -> Result<Option<(Value, u8)>, Refusal> {
        let record = self.requests.read(&self.ground.store, id)?;
        Ok(record.map(|record| (Value::Object(record.view.params), record.depth)))
    }

    /// A message was tried: what that means to the request that it is, if it is one. `delivery` counts this attempt.
    pub(super) fn note_request(
        &mut self,
        delivery: &DeliveryRecord,
        end: &End,
        verdict: &Verdict,
        answer: Option<&Answer>,
        batch: &mut Batch,
    ) {
        let error = verdict.text().map(str::to_owned);
        match end {
            End::Delivered => self.end_request(delivery, ServiceRequestState::Done, (error, answer), batch),
            End::Refused => self.end_request(delivery, ServiceRequestState::Refused, (error, answer), batch),
            End::Rests { .. } | End::Held => self.note_attempt(delivery, error, batch),
            // It is told where it is given up, for whatever reason.
            End::GivenUp(_) | End::Unknown => {}
        }
    }

    /// A request waits still.
    fn note_attempt(&mut self, delivery: &DeliveryRecord, error: Option<String>, batch: &mut Batch) {
        if let Some(mut record) = self.waiting_request(delivery) {
            record.view.attempts = delivery.attempts;
            record.view.error = error;
            self.requests.put(&record, batch);
        }
    }

    pub(super) fn give_request_up(&mut self, delivery: &DeliveryRecord, text: &str, batch: &mut Batch) {
        let error = Some(short(text));
        self.end_request(delivery, ServiceRequestState::GivenUp, (error, None), batch);
    }

    /// A message is removed: if it is a request that was not answered, it never will be.
    pub(super) fn drop_request(&mut self, delivery: Option<&DeliveryRecord>, batch: &mut Batch) {
        if let Some(delivery) = delivery {
            let error = "it went before it was answered: its org left the service or LimaCharlie, or the service refused the org";
            let error = Some(error.to_owned());
            self.end_request(delivery, ServiceRequestState::Dropped, (error, None), batch);
        }
    }

    fn end_request(
        &mut self,
        delivery: &DeliveryRecord,
        state: ServiceRequestState,
        (error, answer): (Option<String>, Option<&Answer>),
        batch: &mut Batch,
    ) {
        let Some(mut record) = self.waiting_request(delivery) else {
            return;
        };
        let view = &mut record.view;
        (view.state, view.error) = (state, error);
        view.ended_at = Some(self.ground.now());
        view.attempts = delivery.attempts;
        if let Some(answer) = answer {
            let mut data = answer.data.clone();
            redact_data(&mut data, &self.secret);
            let bytes = encode(&data).len();
            match bytes > DATA_BYTES_MAX {
                true => view.data_omitted_bytes = Some(bytes as u64),
                false => view.data = Some(data),
            }
            let jobs = answer.jobs.iter().take(JOBS_MAX);
            view.jobs = jobs.map(|job| short(&job.id)).collect();
        }
        self.requests.put(&record, batch);
    }

    /// The request that a message is, as long as it waits.
    fn waiting_request(&self, delivery: &DeliveryRecord) -> Option<RequestRecord> {
        if delivery.content != Content::Request {
            return None;
        }
        let read = self.requests.read_waiting(&self.ground.store, delivery.mid);
        read.unwrap_or_else(|error| {
            tracing::error!(service = %self.name(), %error, "a request to a service cannot be read");
            None
        })
    }

    fn get_request(&self, get: &GetRequest) -> Result<ServiceRequestView, Refusal> {
        if self.record.leaving {
            return Err(super::registry::not_found(&get.service));
        }
        let found = self.requests.read(&self.ground.store, get.id)?;
        let view = found.map(|record| record.view);
        let view = view.filter(|view| get.org.as_ref().is_none_or(|org| view.org == *org));
        view.ok_or_else(|| Refusal::NotFound {
            what: "request to the service",
            id: get.id.to_string(),
        })
    }
}

impl Handler<Ask> for Service {
    type Result = ();
    fn handle(&mut self, ask: Ask, ctx: &mut Self::Context) {
        self.ask(ask, ctx);
    }
}

impl Handler<GetRequest> for Service {
    type Result = ();
    fn handle(&mut self, get: GetRequest, _: &mut Self::Context) {
        let found = self.get_request(&get);
        self.ground.after_commit(move || get.reply.send(found));
    }
}

impl Handler<ListRequests> for Service {
    type Result = ();
    fn handle(&mut self, ListRequests { filter, reply }: ListRequests, _: &mut Self::Context) {
        let page = self.requests.list(&self.ground.store, &filter);
        self.ground.after_commit(move || reply.send(page));
    }
}
