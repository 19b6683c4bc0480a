//! What a person or program submits, checked and resolved before it reaches the scheduler.

use crate::audit::By;
use crate::ground::Ground;
use crate::pipeline::{self, RenderedJob, RuleSet};
use crate::ports::OutMessage;
use crate::refusal::Refusal;
use crate::router::{HostBook, Hosts};
use crate::scheduler::NewJob;
use serde_json::Map;
use tripline_protocol::JobId;
use tripline_protocol::api::SubmitJob;
use tripline_protocol::limit::EVENT_BYTES_MAX;
use uuid::Uuid;

/// Longest `idempotency_key` of a submission, in bytes.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 200;
/// Longest `investigation_id`, in bytes: services put their whole state into it.
const INVESTIGATION_ID_BYTES_MAX: usize = 4_096;

/// Resolves the host, renders a named job or checks an inline one, and derives the job's id.
pub(super) fn new_job(
    ground: &Ground,
    rules: &RuleSet,
    request: SubmitJob,
    (by, depth): (&By, u8),
) -> Result<NewJob, Refusal> {
    let book = HostBook::new(&ground.store, &ground.attachments);
    let host = book.named(request.org.as_ref(), &request.host)?;
    let RenderedJob { spec, vars } = rendered(&book, rules, &request, &host)?;
    let job_id = match &request.idempotency_key {
        Some(key) if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX => {
            return Err(invalid(
                "bad_idempotency_key",
                "idempotency_key must be 1 to 200 bytes",
            ));
        }
        Some(key) => JobId::derive_submitted(&host.org, key, host.host_id),
        None => JobId(Uuid::new_v4()),
    };
    let investigation_id = request.investigation_id;
    if investigation_id
        .as_ref()
        .is_some_and(|id| !(1..=INVESTIGATION_ID_BYTES_MAX).contains(&id.len()))
    {
        return Err(invalid(
            "bad_investigation_id",
            "investigation_id must be 1 to 4096 bytes",
        ));
    }
    Ok(NewJob {
        job_id,
        org: host.org.clone(),
        spec,
        vars,
        host: host.to_ref(),
        pipeline: None,
        event: None,
        fanout: None,
        traceparent: None,
        depth,
        investigation_id,
        by: Some(by.clone()),
        run: 0,
    })
}

fn invalid(code: &'static str, detail: impl Into<String>) -> Refusal {
    Refusal::Invalid {
        code,
        detail: detail.into(),
    }
}

fn rendered(
    book: &HostBook<'_>,
    rules: &RuleSet,
    request: &SubmitJob,
    host: &crate::record::HostRecord,
) -> Result<RenderedJob, Refusal> {
    match (&request.job, &request.named) {
        (Some(_), None) if !request.params.is_empty() => Err(invalid(
            "bad_params",
            "params belong to a named job; an inline job takes none",
        )),
        (Some(spec), None) => pipeline::prepare_submitted(spec.clone())
            .map(|spec| RenderedJob {
                spec,
                vars: Map::new(),
            })
            .map_err(|error| invalid(error.code(), error.to_string())),
        (None, Some(name)) => {
            let not_found = || Refusal::NotFound {
                what: "named job",
                id: name.to_string(),
            };
            let named = rules.named_job(name).ok_or_else(not_found)?;
            named
                .render(&request.params, &book.facts(host)?)
                .map_err(|error| invalid(error.code(), error.to_string()))
        }
        _ => Err(invalid("bad_job", "exactly one of job and named is needed")),
    }
}

/// An event that a publisher could not have published either is refused where it comes in.
pub(super) fn check_size(message: &OutMessage) -> Result<(), Refusal> {
    if message.payload.len() > EVENT_BYTES_MAX {
        let detail = format!(
            "event of {} bytes, at most {EVENT_BYTES_MAX} are taken",
            message.payload.len()
        );
        return Err(invalid("too_large", detail));
    }
    Ok(())
}
