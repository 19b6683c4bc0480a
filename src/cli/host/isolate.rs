//! `tripline host isolate` and `unisolate`: a job of one verb, which waits for the host and is followed to its end.

use crate::cli::job::follow;
use crate::cli::output::{Format, clean, or_dash, print, print_json};
use crate::cli::{Client, Failure, Global};
use clap::Args;
use tripline_protocol::api::{HostView, JobView, SubmitJob};
use tripline_protocol::job::{JobSpec, Priority};
use tripline_protocol::step::Step;
use tripline_protocol::verb::{Isolate as Arguments, NoArguments, VerbCall};
use tripline_protocol::{Isolation, Network, Org, Span, Timestamp};

/// How the job is handed in.
#[derive(Debug, Args)]
struct Handing {
    /// How long it may wait for a host that is away
    #[arg(long, value_name = "SPAN", default_value = "1d")]
    expires: Span,
    /// Print the job's id and do not wait for its end
    #[arg(long)]
    no_wait: bool,
    /// The tenant it is for
    #[arg(long)]
    org: Option<Org>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Isolate {
    /// Its host id, sensor id or hostname
    host: String,
    /// When it ends by itself, from 1m to 30d
    #[arg(long = "for", value_name = "SPAN", default_value = "4h")]
    lasts: Span,
    /// Go on with it after the host booted again
    #[arg(long)]
    persist: bool,
    /// An address or range that stays reachable, such as 10.0.0.0/8; may be given several times
    #[arg(long, value_name = "CIDR")]
    allow: Vec<Network>,
    #[command(flatten)]
    handing: Handing,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Unisolate {
    /// Its host id, sensor id or hostname
    host: String,
    #[command(flatten)]
    handing: Handing,
}

pub(super) async fn isolate(global: &Global, arguments: Isolate) -> Result<(), Failure> {
    let call = VerbCall::Isolate(Arguments {
        lasts: Some(arguments.lasts),
        persist: arguments.persist,
        allow: arguments.allow,
    });
    hand_in(global, arguments.host, call, arguments.handing).await
}

pub(super) async fn unisolate(global: &Global, arguments: Unisolate) -> Result<(), Failure> {
    let call = VerbCall::Unisolate(NoArguments {});
    hand_in(global, arguments.host, call, arguments.handing).await
}

async fn hand_in(global: &Global, host: String, call: VerbCall, handing: Handing) -> Result<(), Failure> {
    let request = SubmitJob {
        org: handing.org.clone(),
        host,
        job: Some(job(call, handing.expires)?),
        named: None,
        params: Default::default(),
        idempotency_key: None,
        investigation_id: None,
    };
    let client = Client::find(global)?;
    let job: JobView = client.post(&["jobs"], &request).await?;
    match global.output {
        _ if !handing.no_wait => follow(global, &client, job.job_id).await,
        Format::Json => print_json(&job),
        Format::Table => print(&job.job_id.to_string()),
    }
}

/// Twice is as good as once, so it is run again when nobody knows how it ended.
fn job(call: VerbCall, expires: Span) -> Result<JobSpec, Failure> {
    let call = call.checked().map_err(|error| Failure::input(&error))?;
    let mut step = Step::new(call.verb(), call.to_args());
    step.idempotent = true;
    let name = call.verb().as_str().parse();
    let name = name.map_err(|error| Failure::input(&error))?;
    Ok(JobSpec {
        expires: Some(expires),
        priority: Priority::High,
        ..JobSpec::new(name, vec![step])
    })
}

/// Until when, for lists.
pub(super) fn until(host: &HostView) -> String {
    or_dash(host.isolation.as_ref().map(|isolation| isolation.until))
}

/// What is said of a host that this server can reach no more.
pub(super) fn stays(hostname: &str, until: Timestamp) -> String {
    let hostname = clean(hostname);
    format!("tripline: {hostname} stays isolated until {until}: nobody can end that from afar any more")
}

/// All of it, for one host.
pub(super) fn shown(isolation: &Isolation) -> String {
    let Isolation {
        command_id,
        since,
        until,
        persist,
        allow,
    } = isolation;
    let mut text = format!("since {since} until {until} by command {command_id}");
    if *persist {
        text.push_str(", also over boots");
    }
    if !allow.is_empty() {
        let allow: Vec<String> = allow.iter().map(Network::to_string).collect();
        text.push_str(&format!(", but for {}", allow.join(" ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_job_of_one_verb_that_may_be_repeated() {
        let call = VerbCall::Isolate(Arguments {
            lasts: Some(Span::from_secs(3600)),
            persist: true,
            allow: vec!["10.0.0.0/8".parse().unwrap()],
        });
        let job = job(call, Span::from_secs(60)).unwrap();
        assert_eq!(job.name.as_str(), "isolate");
        assert_eq!(
            serde_json::to_value(&job.steps).unwrap(),
            json!([{"isolate": {"for": "1h", "persist": true, "allow": ["10.0.0.0/8"]}, "idempotent": true}])
        );
    }

    #[test]
    fn what_the_host_would_refuse_is_refused_before_anything_is_sent() {
        let call = VerbCall::Isolate(Arguments {
            lasts: Some(Span::from_secs(1)),
            ..Arguments::default()
        });
        assert_eq!(job(call, Span::from_secs(60)).unwrap_err().code(), 2);
    }
}
