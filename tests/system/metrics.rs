//! `/metrics` of a running server: everything is described, and nothing is there that is not.

use crate::harness::{AgentProcess, Server, Site, cloud_event, eventually, job_of};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use tripline::metric::{self, Kind, Values};

/// A sample: its name, its labels, and its value.
type Sample = (String, BTreeMap<String, String>, f64);

fn samples(text: &str) -> Vec<Sample> {
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(sample).collect()
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.trim_end_matches('}').split("\",");
    let labels = labels.filter(|label| !label.is_empty()).map(|label| {
        let (name, value) = label.split_once("=\"").expect("a label");
        (name.to_owned(), value.trim_end_matches('"').to_owned())
    });
    (
        name.to_owned(),
        labels.collect(),
        value.parse().expect("a number"),
    )
}

/// Checks one against the table; the name of its metric.
fn check((name, labels, _): &Sample) -> &'static str {
    let part = ["_bucket", "_sum", "_count"]
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix));
    let metric = part
        .and_then(metric::of)
        .filter(|metric| metric.kind == Kind::Histogram)
        .or_else(|| metric::of(name))
        .unwrap_or_else(|| panic!("{name} is not in the table"));
    let mut found: BTreeSet<&str> = labels.keys().map(String::as_str).collect();
    if name.ends_with("_bucket") && metric.kind == Kind::Histogram {
        found.remove("le");
    }
    let expected: BTreeSet<&str> = metric.labels.iter().map(|label| label.name).collect();
    assert_eq!(found, expected, "{name}");
    for label in metric.labels {
        if let Values::Listed(values) = label.values {
            let value = labels[label.name].as_str();
            assert!(values.contains(&value), "{name}: {}={value}", label.name);
        }
    }
    metric.name
}

#[tokio::test]
async fn every_metric_is_described_and_every_series_has_labels_and_values_of_the_table() {
    let site = Site::new().await;
    let pipeline = "name: look\non: [acme.*]\njob: { steps: [ list_directory: { path: /proc } ] }\n";
    site.write("pipelines/look.yaml", pipeline);
    let pipelines = site.path("pipelines");
    let server = Server::start(&site, &[("pipelines.dir", pipelines.to_str().expect("UTF-8"))]).await;
    let api = server.api();
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let outside = server.outside().await;
    outside
        .publish("acme.one", &cloud_event("e-1", "acme.one", host, json!({})))
        .await;
    outside.publish("acme.two", &json!({"no": "host"})).await;
    api.run(host, job_of("list_directory", json!({"path": "/nowhere"})))
        .await;
    assert_eq!(api.with_token("wrong").get("/v1/hosts").await.status, 401);
    assert_eq!(api.get("/nowhere").await.status, 404);

    let text = eventually("events and jobs are counted", async || {
        let body = api.get("/metrics").await.body;
        let text = body.as_str()?.to_owned();
        let value = |wanted: &str, label: &str| -> f64 {
            let found = samples(&text).into_iter();
            let found =
                found.filter(|(name, labels, _)| name == wanted && labels.values().any(|one| one == label));
            found.map(|(_, _, value)| value).sum()
        };
        let counted = value("tripline_ingest_dead_total", "no_host") == 1.0
            && value("tripline_scheduler_jobs_ended_total", "succeeded") == 1.0
            && value("tripline_scheduler_jobs_ended_total", "failed") == 1.0
            && value("tripline_server_ready", "broker") == 1.0
            && value("tripline_scheduler_slots", "nobody") == 10.0
            && value("tripline_audit_denied_total", "unauthenticated") == 1.0;
        counted.then_some(text)
    })
    .await;

    for metric in metric::all() {
        let help = format!("# HELP {} {}\n", metric.name, metric.help);
        let kind = format!("# TYPE {} {}\n", metric.name, metric.kind.as_str());
        assert_eq!(text.matches(&help).count(), 1, "{help}");
        assert_eq!(text.matches(&kind).count(), 1, "{kind}");
    }
    let shown: BTreeSet<&str> = samples(&text).iter().map(check).collect();
    for metric in metric::all().filter(|metric| !metric.when_known) {
        let listed = |label: &metric::Label| matches!(label.values, Values::Listed(_));
        if metric.labels.iter().all(listed) {
            assert!(
                shown.contains(metric.name),
                "{} has no series from the start",
                metric.name
            );
        }
    }
}
