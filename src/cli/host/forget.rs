//! `tripline host forget`.

use super::super::output::{Format, fields, print, print_json};
use super::super::{Client, Failure, report};
use super::isolate;
use tripline_protocol::api::ForgottenHost;

pub(super) async fn run(client: &Client, output: Format, host: &str, force: bool) -> Result<(), Failure> {
    let query = [("force", force.to_string())];
    let forgotten: ForgottenHost = client.end(&["hosts", host], &query).await?;
    if let Some(until) = forgotten.isolated_until {
        report(&[isolate::stays(&forgotten.hostname, until)]);
    }
    match output {
        Format::Json => print_json(&forgotten),
        Format::Table => print(&show(&forgotten)),
    }
}

fn show(forgotten: &ForgottenHost) -> String {
    fields([
        ("forgotten", forgotten.hostname.clone()),
        ("host id", forgotten.host_id.to_string()),
        ("org", forgotten.org.to_string()),
        ("jobs cancelled", forgotten.jobs_cancelled.to_string()),
        ("sessions closed", forgotten.sessions_closed.to_string()),
    ])
}
