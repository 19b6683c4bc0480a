//! `tripline service test`: plays the cloud against one service, and says what it made of each call.
//!
//! What is sent is in `play` (with its data in `example`) and `probe`, how in `caller`, what is thought of the answers in
//! `verdict` and `health`. All of that but `caller` is pure. Deliberately not here: deliveries that anybody relies on.

mod arguments;
mod caller;
mod example;
mod health;
mod play;
mod probe;
mod report;
mod verdict;

#[cfg(test)]
mod tests;

pub(in crate::cli) use arguments::Arguments;

use super::super::{Failure, Global};
use caller::{Caller, Outcome};
use report::{Report, Row};
use std::time::SystemTime;
use tripline_protocol::Timestamp;
use verdict::judge;

pub(super) const HELP: &str = "The secret is read from --secret-file or TRIPLINE_SERVICE_SECRET; one given with --secret is seen by everybody who \
lists processes.\n\nExit codes: 0 nothing is wrong (what only differs from the reference implementations is told), 1 something is, 2 bad \
usage,\n3 the service cannot be reached, or the secret is another.\n\n\
Examples:\n  tripline service test http://127.0.0.1:8080/ --secret-file secret\n  \
tripline service test https://service.example/ --secret-file secret --etype detection --data '{\"cat\": \"x\"}'\n  \
tripline service test http://127.0.0.1:8080/ --secret-file secret --all --output json";

pub(super) async fn run(global: &Global, arguments: &Arguments) -> Result<(), Failure> {
    let play = arguments.play()?;
    let caller = Caller::new(arguments.url.clone(), global.ca.as_deref(), arguments.deadline())?;
    let mut report = Report::default();
    let sent = play.health();
    let (outcome, took) = caller.post(sent.request(&play, now())).await;
    if let Outcome::Unreachable(why) = &outcome {
        return Err(Failure::Unavailable(format!(
            "cannot reach {}: {why}; {}",
            arguments.url,
            what_helps(why)
        )));
    }
    let mtd = health::read(&outcome);
    report.add(Row::new(&sent, &outcome, took, judge(&sent.expect, &outcome)));
    if let Some(mtd) = mtd {
        for sent in arguments.calls(&play, &mtd) {
            let (outcome, took) = caller.post(sent.request(&play, now())).await;
            report.add(Row::new(&sent, &outcome, took, judge(&sent.expect, &outcome)));
        }
    }
    report.print(global.output)?;
    match outcome.status() {
        Some(401) => Err(Failure::Unavailable(format!(
            "{} does not take the signature: the secret is another, or it signs something else than the raw body",
            arguments.url
        ))),
        _ if report.wrong() > 0 => Err(Failure::NotSucceeded),
        _ => Ok(()),
    }
}

/// What to do about a service that cannot be reached.
fn what_helps(why: &str) -> &'static str {
    match why {
        why if why.contains("UnknownIssuer") => "name the CA of its certificate with --ca",
        why if why.contains("dns error") => "is its name right?",
        _ => "does the service listen there, and is what is in front of it open?",
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}
