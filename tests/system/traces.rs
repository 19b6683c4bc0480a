//! Traces as a collector gets them, and a collector that is not there.

use crate::harness::{AgentProcess, Outside, Server, Site, cloud_event, eventually, free_port};
use actix_web::{App, HttpResponse, HttpServer, web};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::sync::Mutex;
use tripline_protocol::HostId;

const PIPELINE: &str = r#"
name: look
on: [acme.alert.*]
job:
  steps:
    - list_directory: { path: "/proc/self" }
    - create_process: { argv: ["/bin/true"] }
"#;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Keeps every span that comes as OTLP over HTTP.
#[derive(Default)]
struct Collector(Mutex<Vec<Value>>);

async fn take(collector: web::Data<Collector>, body: web::Json<Value>) -> HttpResponse {
    let mut kept = collector.0.lock().expect("not poisoned");
    for resource in body["resourceSpans"].as_array().expect("an array") {
        for scope in resource["scopeSpans"].as_array().expect("an array") {
            let spans = scope["spans"].as_array().expect("an array");
            kept.extend(spans.iter().cloned());
        }
    }
    HttpResponse::Ok().json(json!({}))
}

impl Collector {
    /// Listens; the endpoint.
    fn start() -> (web::Data<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let collector = web::Data::new(Self::default());
        let data = collector.clone();
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .app_data(web::JsonConfig::default().limit(16 << 20))
                .route("/v1/traces", web::post().to(take))
        });
        let server = server.workers(1).disable_signals();
        tokio::spawn(server.listen(listener).expect("a listener").run());
        (collector, endpoint)
    }

    fn named(&self, name: &str) -> Vec<Value> {
        let spans = self.0.lock().expect("not poisoned");
        spans
            .iter()
            .filter(|span| span["name"] == name)
            .cloned()
            .collect()
    }

    /// So many spans of this name, no more.
    async fn has(&self, name: &str, count: usize) -> Vec<Value> {
        let found = eventually(name, async || {
            Some(self.named(name)).filter(|found| found.len() >= count)
        })
        .await;
        assert_eq!(found.len(), count, "{name}: {found:#?}");
        found
    }
}

async fn scene(site: &Site, settings: &[(&str, &str)]) -> (Server, AgentProcess, HostId, Outside) {
    site.write("pipelines/look.yaml", PIPELINE);
    let pipelines = site.path("pipelines");
    let pipelines = pipelines.to_str().expect("UTF-8");
    let mut all = vec![("pipelines.dir", pipelines)];
    all.extend(settings);
    let server = Server::start(site, &all).await;
    let mut agent = AgentProcess::start(site, &server, "a").await;
    let host = agent.host_id().await;
    let outside = server.outside().await;
    (server, agent, host, outside)
}

#[actix_web::test]
async fn the_spans_of_an_events_job_have_the_trace_of_its_traceparent_and_their_places_in_it() {
    let site = Site::new().await;
    let (collector, endpoint) = Collector::start();
    let settings = [
        ("tracing.otlp_endpoint", &*endpoint),
        ("tracing.sample_ratio", "0"),
    ];
    let (mut server, _agent, host, outside) = scene(&site, &settings).await;
    // Nobody decided on this one, and the ratio is 0.
    let other = cloud_event("e-0", "acme.alert.high", host, json!({}));
    outside.publish("acme.alert.high", &other).await;
    let mut event = cloud_event("e-1", "acme.alert.high", host, json!({}));
    event["traceparent"] = json!(format!("00-{TRACE}-{PARENT}-01"));
    outside.publish("acme.alert.high", &event).await;

    let commands = collector.has("host.command", 2).await;
    let one = async |name: &str| collector.has(name, 1).await.remove(0);
    let (event, decision) = (one("ingest.event").await, one("router.decide").await);
    let (job, attempt) = (one("scheduler.job").await, one("slot.attempt").await);
    let result = one("outbox.result").await;
    for span in commands
        .iter()
        .chain([&event, &decision, &job, &attempt, &result])
    {
        assert_eq!(span["traceId"], TRACE, "{span}");
        let nanoseconds = |key: &str| span[key].as_str().and_then(|text| text.parse::<u64>().ok());
        let times = (nanoseconds("startTimeUnixNano"), nanoseconds("endTimeUnixNano"));
        assert!(times.0.is_some() && times.0 <= times.1, "{span}");
    }
    assert_eq!(event["parentSpanId"], PARENT);
    assert_eq!(decision["parentSpanId"], event["spanId"]);
    assert_eq!(job["parentSpanId"], decision["spanId"]);
    assert_eq!(attempt["parentSpanId"], job["spanId"]);
    assert_eq!(result["parentSpanId"], job["spanId"]);
    for command in &commands {
        assert_eq!(command["parentSpanId"], attempt["spanId"]);
    }
    // What waits is sent before it ends.
    let mut last = cloud_event("e-2", "acme.alert.high", host, json!({}));
    last["traceparent"] = json!(format!("00-{TRACE}-{PARENT}-01"));
    outside.publish("acme.alert.high", &last).await;
    eventually("the last job has ended", async || {
        let ended = |job: &tripline_protocol::api::JobView| job.finished_at.is_some();
        Some(server.api().jobs().await).filter(|jobs| jobs.len() == 3 && jobs.iter().all(ended))
    })
    .await;
    assert!(server.terminate().await.success());
    assert_eq!(collector.named("scheduler.job").len(), 2);
}

#[actix_web::test]
async fn a_collector_that_is_not_there_disturbs_nothing_and_is_told_once() {
    let site = Site::new().await;
    let endpoint = format!("http://127.0.0.1:{}", free_port());
    let settings = [("tracing.otlp_endpoint", &*endpoint), ("tracing.queue_max", "3")];
    let (mut server, _agent, host, outside) = scene(&site, &settings).await;
    let publish = async |number: u32| {
        let event = cloud_event(&format!("e-{number}"), "acme.alert.high", host, json!({}));
        outside.publish("acme.alert.high", &event).await;
    };
    publish(0).await;
    server.process().says("the collector does not take traces").await;
    for number in 1..20 {
        publish(number).await;
    }
    let jobs = eventually("all jobs have ended", async || {
        let ended = |job: &tripline_protocol::api::JobView| job.finished_at.is_some();
        Some(server.api().jobs().await).filter(|jobs| jobs.len() == 20 && jobs.iter().all(ended))
    })
    .await;
    assert!(
        jobs.iter().all(|job| job.state.to_string() == "succeeded"),
        "{jobs:?}"
    );
    eventually("the second try was counted, too", async || {
        let metrics = server.api().get("/metrics").await.body;
        let metrics = metrics.as_str()?;
        let value = |series: &str| -> Option<u64> {
            let line = metrics.lines().find(|line| line.starts_with(series))?;
            line.rsplit(' ').next()?.parse().ok()
        };
        let dropped = value("tripline_tracing_spans_dropped_total{reason=\"queue_full\"}")?;
        let failed = value("tripline_tracing_exports_failed_total ")?;
        let exported = value("tripline_tracing_spans_exported_total ")?;
        // 20 jobs have more than 100 spans, and at most a batch and the queue are kept.
        (failed >= 2 && dropped > 90 && exported == 0).then_some(())
    })
    .await;
    assert_eq!(server.api().get("/readyz").await.status, 200);
    assert!(server.terminate().await.success());
    let log = server.process().log();
    let told = log.matches("the collector does not take traces").count();
    assert_eq!(told, 1, "{log}");
}
