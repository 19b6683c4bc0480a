//! What is thought of an answer: as it must be, different from the reference implementations in a way that a cloud bears, or
//! wrong. What follows from it for whoever wrote the service is said with it.

use super::caller::{Answered, Outcome};
use super::health;
use super::play::Expect;
use serde::Serialize;
use serde_json::Value;
use tripline_protocol::limacharlie::{Answer, ResourceAnswer, RetryAdvice};

/// What lcservice says of itself when it is asked for a resource that it does not have.
const RESOURCE_BUG: &str = "isRetry";
const LOG: &str = "look for the exception in the service's log; what a callback does through LimaCharlie's own API cannot work here";
const ENVELOPE: &str = "answer 200 with a JSON object that has success: true or false";
const SIGNATURE: &str = "compare the header with the lower-case hexadecimal HMAC-SHA256 of the raw body before anything is read from it";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Ok,
    /// From the reference implementations; a cloud bears it.
    Differs,
    Wrong,
}

/// What is thought of one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    /// What is not as it should be.
    pub(super) why: Option<String>,
    /// What to do about it.
    pub(super) todo: Option<&'static str>,
}

impl Judged {
    pub(super) fn ok() -> Self {
        Self {
            verdict: Verdict::Ok,
            why: None,
            todo: None,
        }
    }

    pub(super) fn differs(why: impl Into<String>, todo: &'static str) -> Self {
        Self {
            verdict: Verdict::Differs,
            why: Some(why.into()),
            todo: Some(todo),
        }
    }

    pub(super) fn wrong(why: impl Into<String>, todo: &'static str) -> Self {
        Self {
            verdict: Verdict::Wrong,
            ..Self::differs(why, todo)
        }
    }

    /// The graver of two, the first of two that are as grave.
    pub(super) fn or_worse(self, other: Self) -> Self {
        if other.verdict > self.verdict { other } else { self }
    }
}

pub(super) fn judge(expect: &Expect, outcome: &Outcome) -> Judged {
    match outcome {
        Outcome::Answered(answered) => judge_answer(*expect, answered),
        Outcome::Unreachable(why) => Judged::wrong(
            format!("no connection any more: {why}"),
            "look in the service's log why it ended, or does not accept",
        ),
        Outcome::Late => Judged::wrong(
            "no whole answer by the deadline",
            "answer before the deadline; what takes longer is for a thread of its own and a job's history",
        ),
        Outcome::Cut(why) => Judged::wrong(
            format!("the connection ended before the answer did: {why}"),
            "look in the service's log why it ended; a cloud delivers such a call again",
        ),
        Outcome::TooLong => Judged::wrong(
            "the answer is too long to be read",
            "answer with less; files are for artifacts, and lists for several resources",
        ),
    }
}

fn judge_answer(expect: Expect, answered: &Answered) -> Judged {
    match expect {
        Expect::Unauthorized | Expect::UpperCase => unauthorized(expect, answered),
        Expect::NoCall => no_call(answered),
        Expect::BadDeadline => bad_deadline(answered),
        Expect::NullData => null_data(answered),
        _ => match envelope(answered) {
            Ok(answer) => meaning(expect, &answer).or_worse(form(answered)),
            Err(judged) => judged,
        },
    }
}

fn unauthorized(expect: Expect, answered: &Answered) -> Judged {
    match answered.status {
        401 if answered.body.is_empty() => Judged::ok(),
        401 => Judged::differs(
            "401 comes with a body; those of the reference implementations have none",
            "answer nothing beside the status: whoever has no secret should learn nothing",
        ),
        200 if expect == Expect::UpperCase => Judged::differs(
            "it takes a signature in upper case",
            "compare the signature as text: only lower case is one",
        ),
        status @ 400..=499 => Judged::differs(
            format!("refused with {status}; the reference implementations answer 401"),
            "answer 401, by which a cloud knows that the secret is wrong",
        ),
        status => Judged::wrong(
            format!("answered with {status} although the signature is not right"),
            SIGNATURE,
        ),
    }
}

/// Both reference implementations answer with a status, of which one is 500.
fn no_call(answered: &Answered) -> Judged {
    if leaks(&answered.body) {
        return Judged::wrong("the answer has a traceback in it", "answer 400 without one");
    }
    let todo = "answer 400 to a body that is no JSON object";
    match (answered.status, Answer::read(&answered.body)) {
        (400, _) | (500, Err(_)) => Judged::ok(),
        (200, Ok(answer)) if answer.advice() == RetryAdvice::GiveUp => Judged::differs(
            "refused with status 200; the reference implementations answer 400 or 500",
            todo,
        ),
        (200, Ok(_)) => Judged::wrong("taken for a call", todo),
        (status, _) => Judged::differs(
            format!("answered with {status}; the reference implementations answer 400 or 500"),
            todo,
        ),
    }
}

fn bad_deadline(answered: &Answered) -> Judged {
    if leaks(&answered.body) {
        return Judged::wrong("the answer has a traceback in it", "refuse it without one");
    }
    let todo = "refuse a deadline that is no number, without retry";
    match (
        answered.status,
        Answer::read(&answered.body).map(|answer| answer.advice()),
    ) {
        (400 | 500, _) | (200, Ok(RetryAdvice::GiveUp)) => Judged::ok(),
        (200, Ok(RetryAdvice::Done)) => Judged::differs("it is passed over", todo),
        (200, Ok(RetryAdvice::Again)) => {
            Judged::wrong("it is asked for again, and will never be better", todo)
        }
        (status, _) => Judged::differs(format!("answered with {status}"), todo),
    }
}

fn null_data(answered: &Answered) -> Judged {
    let todo = "look at what data is before its fields are read, and refuse what is no object";
    match envelope(answered).map(|answer| (answer.advice(), exception(&answer).is_some())) {
        Ok((_, true)) => Judged::differs(
            "the callback raises an exception, and is asked again and again",
            todo,
        ),
        Ok((RetryAdvice::Again, false)) => {
            Judged::differs("it is asked for again, and will never be better", todo)
        }
        Ok(_) => Judged::ok(),
        Err(_) if answered.status == 400 => Judged::ok(),
        Err(judged) => judged,
    }
}

/// The envelope of the protocol.
pub(super) fn envelope(answered: &Answered) -> Result<Answer, Judged> {
    match answered.status {
        200 => Answer::read(&answered.body).map_err(|error| Judged::wrong(error.to_string(), ENVELOPE)),
        401 => Err(Judged::wrong("it does not take the signature", SIGNATURE)),
        status @ 300..=399 => {
            let place = answered.location.as_deref().unwrap_or("nowhere");
            Err(Judged::wrong(
                format!("{status}: it sends others to {place}, and a cloud goes nowhere else"),
                "register the URL that answers by itself",
            ))
        }
        status @ (404 | 405) => Err(Judged::wrong(
            format!("it answers with status {status}"),
            "look whether the URL has the service's own path (Tripline's own role is at /lc, once limacharlie.secret is set); \
             whatever is there must answer 200 with an envelope to POST",
        )),
        status => Err(Judged::wrong(
            format!("it answers with status {status}"),
            ENVELOPE,
        )),
    }
}

/// Fields that a cloud passes over, because they are not what they must be.
fn form(answered: &Answered) -> Judged {
    let is_json = answered
        .content_type
        .as_deref()
        .is_some_and(|text| text.to_ascii_lowercase().starts_with("application/json"));
    if !is_json {
        let given = answered.content_type.as_deref().unwrap_or("nothing");
        return Judged::differs(
            format!("the content type is {given}"),
            "say that it is application/json",
        );
    }
    let value: Value = serde_json::from_slice(&answered.body).unwrap_or_default();
    let jobs = value.get("jobs").and_then(Value::as_array).map_or(0, Vec::len);
    let read = Answer::read(&answered.body).map_or(0, |answer| answer.jobs.len());
    let is_other = |key: &str, is_right: fn(&Value) -> bool| value.get(key).is_some_and(|it| !is_right(it));
    if value.get("data").is_none() {
        Judged::differs(
            "there is no data",
            "write data always: {} when there is nothing to say",
        )
    } else if is_other("retry", Value::is_boolean) {
        Judged::differs(
            "retry is neither true nor false",
            "leave retry out, or write true or false",
        )
    } else if is_other("error", Value::is_string) {
        Judged::differs("error is no text", "leave error out, or write a text")
    } else if is_other("jobs", Value::is_array) || read < jobs {
        Judged::differs(
            "jobs has something that is no update of a job",
            "an update has an id; see the list of fields",
        )
    } else {
        Judged::ok()
    }
}

fn meaning(expect: Expect, answer: &Answer) -> Judged {
    match expect {
        Expect::Health => health::judge(answer),
        Expect::Resource => resource(answer),
        Expect::NotImplemented => not_implemented(answer),
        Expect::Version => version(answer),
        Expect::Parameters => parameters(answer),
        _ => handled(answer),
    }
}

fn handled(answer: &Answer) -> Judged {
    if exception(answer).is_some() {
        return Judged::wrong(
            "the callback raised an exception, and its traceback is in the answer",
            LOG,
        );
    }
    match (answer.advice(), answer.problem()) {
        (RetryAdvice::GiveUp, Some("not implemented")) => Judged::wrong(
            "callbacks has it, and the answer is that it is not implemented",
            "take it out of callbacks, or handle it",
        ),
        (RetryAdvice::GiveUp | RetryAdvice::Again, None) => Judged::differs(
            "it failed without a word",
            "say in error what went wrong: the org reads it",
        ),
        _ => Judged::ok(),
    }
}

fn resource(answer: &Answer) -> Judged {
    match (answer.advice(), exception(answer)) {
        (_, Some(text)) if text.contains(RESOURCE_BUG) => Judged::differs(
            "a resource that is not there ends in a traceback and is asked for again: lcservice does so",
            "newer versions of lcservice may do better; a resource that is there can be asked for with --data",
        ),
        (_, Some(_)) => handled(answer),
        (RetryAdvice::Done, None)
            if serde_json::from_value::<ResourceAnswer>(answer.data.clone()).is_err() =>
        {
            Judged::wrong(
                "data is no resource",
                "answer with hash (SHA-256, hexadecimal), res_cat and, where it is asked for, res_data (base64)",
            )
        }
        _ => Judged::ok(),
    }
}

fn not_implemented(answer: &Answer) -> Judged {
    let todo = "answer success: false and error: not implemented to what is not handled, without retry";
    match (answer.advice(), answer.problem()) {
        (RetryAdvice::GiveUp, Some("not implemented")) => Judged::ok(),
        (RetryAdvice::GiveUp, _) => Judged::differs("it is refused with another text", todo),
        (RetryAdvice::Done, _) => Judged::differs(
            "it is taken, and callbacks does not have it: no cloud sends it",
            "name in callbacks what is handled",
        ),
        (RetryAdvice::Again, _) => Judged::wrong("it is asked for again, and will never be handled", todo),
    }
}

fn version(answer: &Answer) -> Judged {
    let todo = "refuse a version after 1, without retry: its meaning is not known";
    match (answer.advice(), answer.problem()) {
        (RetryAdvice::GiveUp, Some(text)) if text.starts_with("unsupported version") => Judged::ok(),
        (RetryAdvice::GiveUp, _) => Judged::differs("it is refused with another text", todo),
        (RetryAdvice::Done | RetryAdvice::Again, _) => Judged::wrong("it is not refused", todo),
    }
}

fn parameters(answer: &Answer) -> Judged {
    let todo = "hold requests to what request_params says of them, and refuse others without retry";
    match (answer.advice(), answer.problem()) {
        (RetryAdvice::GiveUp, Some(text))
            if text.starts_with("missing parameter ") || text.starts_with("invalid parameter ") =>
        {
            Judged::ok()
        }
        (RetryAdvice::GiveUp, _) => Judged::differs("it is refused with another text", todo),
        (RetryAdvice::Done | RetryAdvice::Again, _) => Judged::differs("it is not refused", todo),
    }
}

/// A traceback, where the Python implementation puts it.
fn exception(answer: &Answer) -> Option<&str> {
    answer.data.get("exception").and_then(Value::as_str)
}

fn leaks(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("Traceback (most recent call last)")
}
