//! The micro service's requests about fan-outs: their bodies, and the actors' answers.
//!
//! Where HTTP has a path, a query and a body, the body here is one object with all of their names.

use super::api::problem;
use super::asked::{limit, optional, required};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tripline_actors::{Core, FanoutFilter, FanoutHostFilter, Refusal};
use tripline_protocol::api::{Problem, SetPause};
use tripline_protocol::fanout::{FanoutHostState, FanoutState, RetryFanout, SubmitFanout};
use tripline_protocol::{FanoutId, Name, Org};

type Object = Map<String, Value>;

/// What can be asked about fan-outs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FanoutVerb {
    /// `fanouts.submit`
    Submit,
    /// `fanouts.get`
    Get,
    /// `fanouts.list`
    List,
    /// `fanouts.hosts`
    Hosts,
    /// `fanouts.pause`
    Pause,
    /// `fanouts.resume`
    Resume,
    /// `fanouts.cancel`
    Cancel,
    /// `fanouts.retry`
    Retry,
}

impl FanoutVerb {
    /// The last word of its subject.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Get => "get",
            Self::List => "list",
            Self::Hosts => "hosts",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Retry => "retry",
        }
    }

    /// Whether it changes something.
    pub(super) const fn changes(self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Hosts)
    }
}

/// Which fan-out is meant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OneFanout {
    fanout_id: FanoutId,
    #[serde(default)]
    pub(super) org: Option<Org>,
}

/// `fanouts.list`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ListFanouts {
    org: Option<Org>,
    state: Option<FanoutState>,
    name: Option<Name>,
    after: Option<String>,
    limit: Option<usize>,
}

/// `fanouts.hosts`, beside which fan-out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ListHosts {
    state: Option<FanoutHostState>,
    after: Option<String>,
    limit: Option<usize>,
}

/// What is asked, before it is known what the caller may.
#[derive(Debug)]
pub(super) enum AskedFanout {
    Submit(Box<SubmitFanout>),
    /// The same with `dry_run`.
    Preview(Box<SubmitFanout>),
    List(FanoutFilter),
    One(OneFanout, OfOne),
}

/// What is asked of one fan-out.
#[derive(Debug)]
pub(super) enum OfOne {
    Get,
    Hosts(FanoutHostFilter),
    Pause(Option<String>),
    Resume,
    Cancel,
    Retry(RetryFanout),
}

impl AskedFanout {
    pub(super) fn read(verb: FanoutVerb, body: &[u8]) -> Result<Self, Problem> {
        let of_one = |what: fn(Object) -> Result<OfOne, Problem>| {
            let (one, rest) = split(body, &["fanout_id", "org"])?;
            Ok(Self::One(of(one)?, what(rest)?))
        };
        match verb {
            FanoutVerb::Submit => submission(body),
            FanoutVerb::List => optional::<ListFanouts>(body)?.filter().map(Self::List),
            FanoutVerb::Get => of_one(|rest| nothing(rest, OfOne::Get)),
            FanoutVerb::Resume => of_one(|rest| nothing(rest, OfOne::Resume)),
            FanoutVerb::Cancel => of_one(|rest| nothing(rest, OfOne::Cancel)),
            FanoutVerb::Retry => of_one(|rest| of(rest).map(OfOne::Retry)),
            FanoutVerb::Pause => of_one(|rest| of::<SetPause>(rest).map(|pause| OfOne::Pause(pause.reason))),
            FanoutVerb::Hosts => of_one(|rest| of::<ListHosts>(rest)?.filter().map(OfOne::Hosts)),
        }
    }

    /// Where the org stands that is asked for.
    pub(super) fn org_mut(&mut self) -> &mut Option<Org> {
        match self {
            Self::Submit(request) | Self::Preview(request) => &mut request.org,
            Self::List(filter) => &mut filter.org,
            Self::One(one, _) => &mut one.org,
        }
    }

    /// The actors' answer as JSON; what is changed is changed on behalf of whom `core` acts for.
    pub(super) async fn answer(self, core: &Core) -> Result<Result<Vec<u8>, serde_json::Error>, Refusal> {
        Ok(match self {
            Self::Submit(request) => serde_json::to_vec(&core.submit_fanout(*request).await?),
            Self::Preview(request) => serde_json::to_vec(&core.preview_fanout(*request).await?),
            Self::List(filter) => serde_json::to_vec(&core.list_fanouts(filter).await?),
            Self::One(OneFanout { fanout_id, org }, OfOne::Hosts(filter)) => {
                serde_json::to_vec(&core.list_fanout_hosts(org, fanout_id, filter).await?)
            }
            Self::One(OneFanout { fanout_id, org }, what) => serde_json::to_vec(&match what {
                OfOne::Get | OfOne::Hosts(_) => core.get_fanout(org, fanout_id).await?,
                OfOne::Pause(reason) => core.pause_fanout(org, fanout_id, reason).await?,
                OfOne::Resume => core.resume_fanout(org, fanout_id).await?,
                OfOne::Cancel => core.cancel_fanout(org, fanout_id).await?,
                OfOne::Retry(request) => core.retry_fanout(org, fanout_id, request).await?,
            }),
        })
    }
}

impl ListFanouts {
    fn filter(self) -> Result<FanoutFilter, Problem> {
        Ok(FanoutFilter {
            org: self.org,
            state: self.state,
            name: self.name,
            after: self.after,
            limit: limit(self.limit)?,
        })
    }
}

impl ListHosts {
    fn filter(self) -> Result<FanoutHostFilter, Problem> {
        Ok(FanoutHostFilter {
            state: self.state,
            after: self.after,
            limit: limit(self.limit)?,
        })
    }
}

fn submission(body: &[u8]) -> Result<AskedFanout, Problem> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Query {
        dry_run: bool,
    }
    let (query, rest) = split(body, &["dry_run"])?;
    let (Query { dry_run }, request) = (of(query)?, Box::new(of(rest)?));
    Ok(match dry_run {
        true => AskedFanout::Preview(request),
        false => AskedFanout::Submit(request),
    })
}

/// An object in two: what has these names, and the rest.
fn split(body: &[u8], names: &[&str]) -> Result<(Object, Object), Problem> {
    let object: Object = required(body)?;
    Ok(object
        .into_iter()
        .partition(|(name, _)| names.contains(&name.as_str())))
}

fn of<T: DeserializeOwned>(object: Object) -> Result<T, Problem> {
    serde_json::from_value(Value::Object(object))
        .map_err(|error| problem(400, "bad_json", format!("the body is not as expected: {error}")))
}

fn nothing(rest: Object, what: OfOne) -> Result<OfOne, Problem> {
    match rest.keys().next() {
        None => Ok(what),
        Some(name) => Err(problem(
            400,
            "bad_json",
            format!("the body is not as expected: unknown field `{name}`, expected `fanout_id` or `org`"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11";

    fn read(verb: FanoutVerb, body: Value) -> Result<AskedFanout, Problem> {
        AskedFanout::read(verb, body.to_string().as_bytes())
    }

    fn refused(verb: FanoutVerb, body: Value) -> String {
        let problem = read(verb, body).expect_err("it is wrong");
        assert_eq!(problem.status, 400);
        problem.detail
    }

    #[test]
    fn a_submission_is_that_of_http_and_may_be_a_dry_run() {
        let submission = |more: Value| {
            let mut body = json!({"target": "all", "named": "look", "standing": true});
            body.as_object_mut()
                .expect("an object")
                .extend(more.as_object().cloned().unwrap_or_default());
            body
        };
        let Ok(AskedFanout::Submit(request)) = read(FanoutVerb::Submit, submission(json!({}))) else {
            panic!("a submission");
        };
        assert!(request.standing);
        let dry = read(FanoutVerb::Submit, submission(json!({"dry_run": true})));
        assert!(matches!(dry, Ok(AskedFanout::Preview(_))));
        let wrong = refused(FanoutVerb::Submit, submission(json!({"dry": true})));
        assert!(wrong.contains("`dry`"), "{wrong}");
        assert!(refused(FanoutVerb::Submit, submission(json!({"dry_run": "yes"}))).contains("boolean"));
    }

    #[test]
    fn what_is_asked_of_one_fan_out_names_it_in_the_same_object() {
        let paused = read(
            FanoutVerb::Pause,
            json!({"fanout_id": ID, "org": "acme", "reason": "INC-42"}),
        );
        let Ok(AskedFanout::One(one, OfOne::Pause(Some(reason)))) = paused else {
            panic!("{paused:?}");
        };
        assert_eq!(
            (one.fanout_id.to_string().as_str(), reason.as_str()),
            (ID, "INC-42")
        );
        assert_eq!(one.org, Some("acme".parse().expect("an org")));
        let hosts = read(
            FanoutVerb::Hosts,
            json!({"fanout_id": ID, "state": "failed", "limit": 5}),
        );
        let Ok(AskedFanout::One(_, OfOne::Hosts(filter))) = hosts else {
            panic!("{hosts:?}");
        };
        assert_eq!(
            (filter.limit, filter.state.map(FanoutHostState::as_str)),
            (5, Some("failed"))
        );
        let retry = read(FanoutVerb::Retry, json!({"fanout_id": ID}));
        let Ok(AskedFanout::One(_, OfOne::Retry(request))) = retry else {
            panic!("{retry:?}");
        };
        assert_eq!(request, RetryFanout::default());
    }

    #[test]
    fn a_body_with_something_else_is_refused_by_its_name() {
        for verb in [FanoutVerb::Get, FanoutVerb::Resume, FanoutVerb::Cancel] {
            assert!(read(verb, json!({"fanout_id": ID})).is_ok());
            assert!(refused(verb, json!({"fanout_id": ID, "reason": "x"})).contains("`reason`"));
            assert!(refused(verb, json!({})).contains("`fanout_id`"));
        }
        assert!(refused(FanoutVerb::Retry, json!({"fanout_id": ID, "outcome": []})).contains("`outcome`"));
        assert!(refused(FanoutVerb::List, json!({"stat": "paused"})).contains("`stat`"));
        assert!(refused(FanoutVerb::Hosts, json!({"fanout_id": ID, "limit": 0})).contains("limit"));
    }
}
