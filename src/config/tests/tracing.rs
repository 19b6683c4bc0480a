//! `[tracing]`.

use super::*;

#[test]
fn traces_are_off_until_there_is_a_collector() {
    let config = load("", &[]).unwrap();
    assert_eq!(config.tracing.otlp_endpoint, None);
    assert_eq!(config.tracing.sample_ratio, Ratio(1.0));
}

#[test]
fn the_path_of_traces_is_added_once() {
    for (endpoint, url) in [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("https://c.example/otlp/", "https://c.example/otlp/v1/traces"),
        ("https://c.example/v1/traces", "https://c.example/v1/traces"),
    ] {
        let config = load(&format!("[tracing]\notlp_endpoint = {endpoint:?}"), &[]).unwrap();
        let endpoint = config.tracing.otlp_endpoint.unwrap();
        assert_eq!(endpoint.traces_url().as_str(), url);
    }
}

#[test]
fn headers_are_read_and_never_shown() {
    let text =
        "[tracing]\notlp_endpoint = \"https://c.example\"\notlp_headers = \"x-key=s3cret, x-org = 7=7\"\n";
    let config = load(text, &[]).unwrap();
    let headers = config.tracing.otlp_headers.clone().unwrap();
    assert_eq!(headers.expose()["x-key"], "s3cret");
    assert_eq!(headers.expose()["x-org"], "7=7");
    let shown = format!("{}{config:?}{:?}", config.to_toml(), headers.expose());
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(shown.contains("otlp_headers = \"********\""), "{shown}");
}

#[test]
fn a_ratio_is_a_number_from_0_to_1_wherever_it_is_written() {
    for (text, ratio) in [("0.05", 0.05), ("1", 1.0), ("0", 0.0), ("1e-3", 0.001)] {
        let config = load(&format!("[tracing]\nsample_ratio = {text}"), &[]).unwrap();
        assert_eq!(config.tracing.sample_ratio, Ratio(ratio));
        let config = load("", &[("TRIPLINE__TRACING__SAMPLE_RATIO", text)]).unwrap();
        assert_eq!(config.tracing.sample_ratio, Ratio(ratio));
    }
    for wrong in ["1.1", "-0.1", "nan", "\"0.5\"", "true"] {
        assert_eq!(
            refused(&format!("[tracing]\nsample_ratio = {wrong}")).len(),
            1,
            "{wrong}"
        );
    }
}

#[test]
fn what_cannot_work_is_refused_and_no_secret_is_in_the_refusal() {
    for (text, wrong) in [
        (
            "otlp_endpoint = \"grpc://c:4317\"",
            "tracing.otlp_endpoint: \"grpc://c:4317\" is not a URL",
        ),
        (
            "otlp_endpoint = \"http://u:s3cret@c\"",
            "use tracing.otlp_headers",
        ),
        (
            "otlp_headers = \"x-key=s3cret\"",
            "only together with tracing.otlp_endpoint",
        ),
        (
            "otlp_endpoint = \"http://c.example\"\notlp_headers = \"x-key=s3cret\"",
            "plain text",
        ),
        (
            "otlp_endpoint = \"http://127.0.0.1:4318\"\notlp_headers = \"s3cret\"",
            "name=value",
        ),
        (
            "otlp_endpoint = \"http://127.0.0.1:4318\"\notlp_ca = \"ca.pem\"",
            "only with https",
        ),
        ("queue_max = 0", "must be at least 1"),
    ] {
        let problems = refused(&format!("[tracing]\n{text}")).join("\n");
        assert!(
            problems.contains(wrong) && !problems.contains("s3cret"),
            "{problems}"
        );
    }
}
