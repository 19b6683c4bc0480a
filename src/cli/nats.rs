//! `tripline nats`: how to reach the broker that the local server started.

use super::connection::data_dir;
use super::output::{Format, fields, print, print_json};
use super::{Failure, Global, chain};
use crate::nats::ConnectionInfo;
use crate::nats::connection::Login;
use clap::Subcommand;
use serde::Serialize;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Print the URL and the credentials of the embedded broker for publishers and subscribers
    #[command(after_help = "Example, with the client of nats.io:\n  \
                            info=$(tripline nats info --output json)\n  \
                            nats --server \"$(jq -r .url <<<\"$info\")\" --user subscriber \\\n    \
                            --password \"$(jq -r .subscriber.password <<<\"$info\")\" sub 'tripline.results.>'")]
    Info,
}

/// What outsiders need; the server's own credentials are not among it.
#[derive(Serialize)]
struct Info {
    url: String,
    publisher: Login,
    subscriber: Login,
}

pub(super) fn run(global: &Global, verb: &Verb) -> Result<(), Failure> {
    let Verb::Info = verb;
    let ConnectionInfo {
        url,
        publisher,
        subscriber,
        ..
    } = ConnectionInfo::read(&data_dir(global))
        .map_err(|error| Failure::Unavailable(format!("cannot {}", chain(&error))))?;
    let info = Info {
        url,
        publisher,
        subscriber,
    };
    match global.output {
        Format::Json => print_json(&info),
        Format::Table => print(&fields([
            ("url", info.url),
            ("publisher user", info.publisher.user),
            ("publisher password", info.publisher.password),
            ("subscriber user", info.subscriber.user),
            ("subscriber password", info.subscriber.password),
        ])),
    }
}
