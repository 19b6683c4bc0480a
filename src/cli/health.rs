//! `tripline health`: what `/readyz` says, as an exit code. For whoever watches the server without a token: a
//! container's health check, a script, a person.

use super::client::unreachable;
use super::connection::without_token;
use super::output::{Format, print, print_json, table};
use super::{Failure, Global, chain};
use clap::Args;
use serde_json::{Map, Value};

#[derive(Debug, Args)]
#[command(
    after_help = "It needs no token. Without --server it asks the local server over plain HTTP.\n\n\
                  Exit codes: 0 every part works, 1 the server answers and a part does not work, 2 bad usage,\n\
                  3 not reachable.\n\n\
                  Examples:\n  tripline health\n  tripline health --server https://tripline.example:7443 --output json"
)]
pub(super) struct Arguments {}

/// The parts by their names, as the server tells them.
type Parts = Map<String, Value>;

pub(super) async fn run(global: &Global) -> Result<(), Failure> {
    let (http, server) = without_token(global)?;
    let url = server
        .join("/readyz")
        .map_err(|error| Failure::Input(format!("{server} cannot be a server: {error}")))?;
    let response = http.get(url).send().await;
    let response = response.map_err(|error| unreachable(&server, &error))?;
    let status = response.status();
    let parts: Parts = response.json().await.map_err(|error| {
        Failure::Failed(format!(
            "{server} answered {status} and nothing that a Tripline server says of its health: {}",
            chain(&error)
        ))
    })?;
    match global.output {
        Format::Json => print_json(&parts)?,
        Format::Table => print(&table(["PART", "STATE"], rows(&parts)))?,
    }
    match status.is_success() {
        true => Ok(()),
        false => Err(Failure::Failed(format!(
            "{server} is not ready: {}",
            failed(&parts)
        ))),
    }
}

fn rows(parts: &Parts) -> impl Iterator<Item = [String; 2]> {
    parts.iter().map(|(name, value)| {
        let value = match value {
            Value::Bool(true) => "yes".to_owned(),
            Value::Bool(false) => "no".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        [name.clone(), value]
    })
}

/// What is in the way of being ready: parts that do not work, or an end that has begun. A pause is not.
fn failed(parts: &Parts) -> String {
    let names = parts.iter().filter(|(name, value)| match name.as_str() {
        "ready" | "paused" => false,
        "draining" => **value == Value::Bool(true),
        _ => **value == Value::Bool(false),
    });
    let names: Vec<&str> = names.map(|(name, _)| name.as_str()).collect();
    match names.is_empty() {
        true => "it does not say which part".to_owned(),
        false => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_in_the_way_is_named() {
        let of = |parts: Value| match parts {
            Value::Object(parts) => failed(&parts),
            other => panic!("{other}"),
        };
        let parts =
            json!({"ready": false, "store": true, "broker": false, "paused": false, "draining": false});
        assert_eq!(of(parts), "broker");
        let ending = json!({"ready": false, "store": true, "broker": true, "paused": true, "draining": true});
        assert_eq!(of(ending), "draining");
        assert_eq!(of(json!({"ready": false})), "it does not say which part");
    }
}
