//! Our wire forms and the real service: every etype, every kind of answer, and each fact that decisions rest on.

use crate::harness::{Site, eventually};
use crate::peer::RealService;
use serde_json::{Value, json};
use std::time::SystemTime;
use tripline_protocol::limacharlie::{
    Answer, Attachment, Call, Health, Jwt, ParameterKind, ResourceAnswer, RetryAdvice, ServiceEtype, VERSION,
};
use tripline_protocol::{Span, Timestamp};
use tripline_service::sign;

const OID: &str = "8cbe27f4-bfa1-4afb-ba19-138cd51389cd";
const SID: &str = "2c8a4b0e-0000-4000-8000-000000000001";

/// As the cloud makes it.
fn call(etype: &str, mid: &str, data: Value) -> Call {
    let is_of_org = etype.parse::<ServiceEtype>().is_ok_and(ServiceEtype::is_of_org);
    Call {
        version: Some(VERSION),
        oid: is_of_org.then(|| OID.to_owned()),
        mid: Some(mid.to_owned()),
        deadline: Some(Timestamp::from(SystemTime::now()).after(Span::from_secs(60))),
        jwt: is_of_org.then(|| Jwt::new("a.b.c".to_owned())),
        // Real services are to ignore it.
        tripdepth: Some(0),
        etype: etype.to_owned(),
        data,
    }
}

fn detection(mid: &str, cat: &str) -> Call {
    call(
        "detection",
        mid,
        json!({"cat": cat, "detect": {"event": {}, "routing": {"sid": SID}}}),
    )
}

/// What it answers, as we read it.
async fn answer(service: &RealService, call: &Call) -> Answer {
    let answered = service.call(call).await;
    assert_eq!(
        answered.status,
        200,
        "{}",
        String::from_utf8_lossy(&answered.body)
    );
    Answer::read(&answered.body).expect("an answer")
}

#[tokio::test]
async fn every_etype_arrives_as_it_was_sent_and_is_answered() {
    let site = Site::new().await;
    let mut service = RealService::prepare(&site, "all");
    service.set(
        "resources",
        json!({"list": {"category": "lookup", "content": "a\nb\n"}}),
    );
    service.spawn().await;
    let etypes: Vec<ServiceEtype> = ServiceEtype::all()
        // Only the Go implementation has it.
        .filter(|etype| *etype != ServiceEtype::Command)
        .collect();
    assert_eq!(etypes.len(), 28);
    for etype in &etypes {
        let data = match etype {
            ServiceEtype::GetResource => json!({"resource": "list", "is_include_data": true}),
            _ => json!({"sid": SID, "nested": {"text": "é\u{1f600}", "number": 1.5}}),
        };
        let sent = call(etype.as_str(), &format!("mid-{etype}"), data);
        let answer = answer(&service, &sent).await;
        assert_eq!(answer.advice(), RetryAdvice::Done, "{etype}: {answer:?}");
    }
    let recorded = service.recorded();
    assert_eq!(recorded.len(), 28);
    for (recorded, etype) in recorded.iter().zip(&etypes) {
        let call = &recorded.call;
        assert_eq!(call["etype"], etype.as_str());
        assert_eq!(call["version"], 1);
        assert_eq!(call["mid"], format!("mid-{etype}"));
        assert!(call["deadline"].is_number(), "{call}");
        assert_eq!(call.get("oid").is_some(), etype.is_of_org(), "{call}");
        assert_eq!(call.get("jwt").is_some(), etype.is_of_org(), "{call}");
        assert!(recorded.answer.is_some());
    }
    assert_eq!(
        recorded[1].call["data"]["nested"],
        json!({"text": "é\u{1f600}", "number": 1.5})
    );
}

#[tokio::test]
async fn its_health_is_read_whole() {
    let site = Site::new().await;
    let mut service = RealService::prepare(&site, "health");
    service.set("callbacks", json!(["detection", "org_per_1h"]));
    service.set("subscriptions", json!(["b", "a"]));
    let params = json!({
        "how": {"type": "enum", "desc": "how", "values": ["fast", "slow"], "is_required": true},
        "often": {"type": "int", "desc": "how often"},
    });
    service.set("params", params);
    service.spawn().await;
    let answer = answer(&service, &call("health", "h", json!({}))).await;
    let health: Health = serde_json::from_value(answer.data).expect("health");
    assert_eq!(
        (health.version, health.calls_in_progress),
        (1, 1),
        "it counts itself"
    );
    assert!(health.start_time > 1_700_000_000);
    // It always handles resources, and has no commands.
    assert_eq!(
        health.mtd.callbacks,
        ["health", "detection", "get_resource", "org_per_1h"]
    );
    let mut subscriptions = health.mtd.detect_subscriptions;
    subscriptions.sort();
    assert_eq!(subscriptions, ["a", "b"]);
    assert_eq!(health.mtd.request_params["how"].kind, ParameterKind::Enum);
    assert!(health.mtd.request_params["how"].is_required);
    assert!(health.mtd.commands.is_empty());
}

#[tokio::test]
async fn each_kind_of_answer_is_read_for_what_it_means() {
    let site = Site::new().await;
    let service = RealService::start(&site, "answers").await;
    for (word, advice, problem) in [
        ("ok", RetryAdvice::Done, None),
        ("retry", RetryAdvice::Again, None),
        ("refuse", RetryAdvice::GiveUp, None),
        ("fail", RetryAdvice::GiveUp, Some("it failed, as told")),
        ("raise", RetryAdvice::Again, Some("RuntimeError: as told")),
    ] {
        let answer = answer(&service, &detection(word, word)).await;
        assert_eq!(answer.advice(), advice, "{word}: {answer:?}");
        // Of an exception the whole traceback.
        let said = answer
            .problem()
            .and_then(|text| text.trim_end().lines().next_back());
        assert_eq!(said, problem, "{word}");
    }
    for word in ["html", "no_success"] {
        let answered = service.call(&detection(word, word)).await;
        assert_eq!(answered.status, 200);
        assert!(Answer::read(&answered.body).is_err(), "{word}");
    }
    assert_eq!(service.call(&detection("503", "status")).await.status, 503);
}

#[tokio::test]
async fn a_repeat_runs_again_because_it_does_not_look_at_the_mid() {
    let site = Site::new().await;
    let mut service = RealService::start(&site, "repeats").await;
    assert_eq!(
        answer(&service, &detection("m", "ok")).await.advice(),
        RetryAdvice::Done
    );
    assert_eq!(
        answer(&service, &detection("m", "ok")).await.advice(),
        RetryAdvice::Done
    );
    assert_eq!(service.recorded().len(), 2);
    // Which the peer counts, also over a restart.
    assert_eq!(
        answer(&service, &detection("r", "retry_first")).await.advice(),
        RetryAdvice::Again
    );
    service.stop().await;
    service.spawn().await;
    assert_eq!(
        answer(&service, &detection("r", "retry_first")).await.advice(),
        RetryAdvice::Done
    );
}

#[tokio::test]
async fn a_signature_is_that_of_the_raw_body_in_lower_case() {
    let site = Site::new().await;
    let service = RealService::start(&site, "signatures").await;
    let body = call("health", "h", json!({})).to_body();
    let right = sign(service.secret(), &body);
    let mut changed = body.clone();
    changed.push(b' ');
    for (body, signature) in [
        (&body, None),
        (&body, Some(right.to_uppercase())),
        (&body, Some(sign("another", &body))),
        (&changed, Some(right.clone())),
        // Before it is looked at as JSON.
        (&b"no JSON".to_vec(), Some(right.clone())),
    ] {
        let answered = service
            .post(body.clone(), signature.as_deref())
            .await
            .expect("an answer");
        assert_eq!(
            (answered.status, answered.body),
            (401, Vec::new()),
            "{signature:?}"
        );
    }
    assert!(service.recorded().is_empty(), "none of them was a call");
    let answered = service.post(body, Some(&right)).await.expect("an answer");
    assert_eq!(answered.envelope()["success"], true);
}

#[tokio::test]
async fn it_refuses_bad_input_as_the_facts_have_it() {
    let site = Site::new().await;
    let mut service = RealService::prepare(&site, "bad-input");
    service.set("callbacks", json!(["detection"]));
    service.spawn().await;
    let post = async |body: Value| {
        let body = body.to_string().into_bytes();
        let signature = sign(service.secret(), &body);
        service.post(body, Some(&signature)).await.expect("an answer")
    };
    let refused = |error: &str| json!({"success": false, "retry": false, "data": {"error": error}});
    for (body, error) in [
        (
            json!({"etype": "health", "version": 2}),
            "unsupported version (> 1)",
        ),
        (json!({"etype": "org_install"}), "not implemented"),
        (json!({"etype": "Detection"}), "not implemented"),
        (json!({}), "not implemented"),
    ] {
        assert_eq!(post(body.clone()).await.envelope(), refused(error), "{body}");
    }
    for body in [
        json!([]),
        json!({"etype": "health", "version": "1"}),
        json!({"etype": "health", "deadline": "soon"}),
        json!({"etype": "detection", "oid": "acme", "jwt": "a.b.c"}),
    ] {
        let answered = post(body.clone()).await;
        assert_eq!((answered.status, answered.body), (500, Vec::new()), "{body}");
    }
    for body in [
        json!({"etype": "health"}),
        json!({"etype": "health", "version": null, "data": null, "more": 1}),
        json!({"etype": "detection", "oid": "acme", "data": null}),
        // Long over, and it runs all the same.
        json!({"etype": "detection", "deadline": 5.5}),
    ] {
        assert_eq!(post(body.clone()).await.envelope()["success"], true, "{body}");
    }
}

#[tokio::test]
async fn parameters_of_a_request_are_checked_in_its_order() {
    let site = Site::new().await;
    let mut service = RealService::prepare(&site, "parameters");
    let params = json!({
        "how": {"type": "enum", "desc": "", "values": ["fast"], "is_required": true},
        "often": {"type": "int", "desc": ""},
        "ratio": {"type": "float", "desc": ""},
    });
    service.set("params", params.clone());
    service.spawn().await;
    for (given, error) in [
        (json!({"how": "fast", "more": [1]}), None),
        (json!({"how": "fast", "often": true}), None),
        (json!({"often": 1}), Some("missing parameter how")),
        (
            json!({"often": "1"}),
            Some("invalid parameter often: wrong data type"),
        ),
        (
            json!({"how": "slow"}),
            Some("invalid parameter how: enum has invalid value"),
        ),
        (
            json!({"how": "fast", "often": null}),
            Some("invalid parameter often: wrong data type"),
        ),
        (
            json!({"how": "fast", "ratio": 1.5}),
            Some("invalid parameter ratio: wrong data type"),
        ),
    ] {
        let answer = answer(&service, &call("request", "m", given.clone())).await;
        assert_eq!(answer.problem(), error, "{given}");
        let advice = if error.is_some() {
            RetryAdvice::GiveUp
        } else {
            RetryAdvice::Done
        };
        assert_eq!(answer.advice(), advice, "{given}");
    }
}

#[tokio::test]
async fn resources_are_read_and_an_unknown_one_is_its_bug() {
    let site = Site::new().await;
    let mut service = RealService::prepare(&site, "resources");
    service.set(
        "resources",
        json!({"list": {"category": "lookup", "content": "hello"}}),
    );
    service.spawn().await;
    let ask = async |resource: Value, is_include_data: bool| {
        let data = json!({"resource": resource, "is_include_data": is_include_data});
        answer(&service, &call("get_resource", "m", data)).await
    };
    let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let read = |answer: Answer| serde_json::from_value::<ResourceAnswer>(answer.data).expect("a resource");
    let ResourceAnswer::One(one) = read(ask(json!("list"), true).await) else {
        panic!("one name, one resource");
    };
    assert_eq!(
        (one.hash.to_string().as_str(), one.res_cat.as_str()),
        (hash, "lookup")
    );
    assert_eq!(one.res_data.as_deref(), Some("aGVsbG8="));
    let ResourceAnswer::Many { resources } = read(ask(json!(["list"]), false).await) else {
        panic!("a list of names, a map of resources");
    };
    assert_eq!(resources["list"].res_data, None);
    let unknown = ask(json!("nothing"), false).await;
    assert_eq!(unknown.advice(), RetryAdvice::Again);
    assert!(
        unknown.problem().is_some_and(|text| text.contains("isRetry")),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn its_jobs_are_read_with_every_attachment() {
    let site = Site::new().await;
    let service = RealService::start(&site, "jobs").await;
    let told = answer(&service, &detection("m", "job")).await;
    let [job] = told.jobs.as_slice() else {
        panic!("one job: {told:?}");
    };
    assert_eq!(
        (job.cause.as_deref(), job.sid.as_slice()),
        (Some("as told"), [SID.to_owned()].as_slice())
    );
    assert!(job.start.is_some() && job.end >= job.start);
    let entry = &job.hist[0];
    assert!(entry.is_important && entry.msg == "done");
    let kinds: Vec<&str> = entry
        .attachments
        .iter()
        .map(|attachment| match attachment {
            Attachment::Table { .. } => "table",
            Attachment::Yaml { .. } => "yaml",
            Attachment::Json { .. } => "json",
            _ => "another",
        })
        .collect();
    assert_eq!(kinds, ["table", "yaml", "json"]);
    // Bytes it cannot write: the callback has succeeded, and the answer is a 500.
    assert_eq!(service.call(&detection("h", "hex_dump")).await.status, 500);
    assert_eq!(
        service.recorded()[1].answer.as_ref().expect("it succeeded")["success"],
        true
    );
}

#[tokio::test]
async fn an_interactive_service_gets_the_reply_to_its_task() {
    let site = Site::new().await;
    let mut service = RealService::prepare(&site, "asker");
    service.set("interactive", json!(true));
    service.spawn().await;
    let health = answer(&service, &call("health", "h", json!({}))).await;
    assert_eq!(
        health.data["mtd"]["detect_subscriptions"],
        json!(["__svc-asker-ex"])
    );
    assert_eq!(
        answer(&service, &call("org_install", "i", json!({})))
            .await
            .advice(),
        RetryAdvice::Done
    );
    let mut task = detection("t", "task");
    task.data["context"] = json!("a/b");
    let token = answer(&service, &task).await.data["investigation_id"].clone();
    assert!(
        token
            .as_str()
            .is_some_and(|token| token.starts_with("svc-asker-ex/")),
        "{token}"
    );
    let reply = async |token: Value| {
        let routing = json!({"sid": SID, "investigation_id": token});
        let data = json!({
            "cat": "__svc-asker-ex", "routing": routing, "detect": {"event": {"X": 1}, "routing": routing},
        });
        answer(&service, &call("detection", "r", data)).await
    };
    let answered = reply(token).await;
    assert_eq!(answered.data, json!({"context": "a/b"}));
    let lines = service.lines();
    let told = lines
        .iter()
        .find(|line| line.get("reply").is_some())
        .expect("a reply");
    assert_eq!(
        (&told["reply"]["event"]["X"], &told["oid"]),
        (&json!(1), &json!(OID))
    );
    assert!(
        lines
            .iter()
            .any(|line| line["rule"] == "svc-asker-ex" && line["applied"] == true)
    );
    // A callback that is none is refused for good; a token with too few parts is asked for again and again.
    assert_eq!(
        reply(json!("svc-asker-ex/00000000//")).await.advice(),
        RetryAdvice::GiveUp
    );
    assert_eq!(reply(json!("svc-asker-ex/x")).await.advice(), RetryAdvice::Again);
}

#[tokio::test]
async fn one_that_dies_in_the_middle_is_seen_to_have_begun_and_comes_back() {
    let site = Site::new().await;
    let mut service = RealService::start(&site, "mortal").await;
    assert!(service.try_call(&detection("d", "die")).await.is_err());
    service.dies().await;
    service.spawn().await;
    assert_eq!(
        answer(&service, &detection("e", "ok")).await.advice(),
        RetryAdvice::Done
    );
    let recorded = service.recorded();
    assert_eq!(recorded[0].call["mid"], "d");
    assert!(recorded[0].answer.is_none() && recorded[1].answer.is_some());
}

#[tokio::test]
async fn a_slow_one_is_slow_until_its_gate_is_gone_and_others_go_on() {
    let site = Site::new().await;
    let service = RealService::start(&site, "slow").await;
    let gate = site.write("gate", "");
    let mut slow = detection("s", "slow");
    slow.data["gate"] = json!(gate);
    let waiting = service.call(&slow);
    let others = async {
        service.calls_of("detection", 1).await;
        let health = answer(&service, &call("health", "h", json!({}))).await;
        assert_eq!(health.data["calls_in_progress"], 2);
        std::fs::remove_file(&gate).expect("the gate");
    };
    let (answered, ()) = tokio::join!(waiting, others);
    assert_eq!(answered.envelope()["success"], true);
}

#[tokio::test]
async fn a_long_answer_has_the_length_that_was_asked_for() {
    let site = Site::new().await;
    let mut service = RealService::start(&site, "long").await;
    let mut huge = detection("h", "huge");
    huge.data["bytes"] = json!(1_000_000);
    let answered = service.call(&huge).await;
    assert!(answered.body.len() > 1_000_000);
    service.kill();
    eventually("nobody is there", async || {
        service.try_call(&huge).await.is_err().then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_path_two_methods_and_any_type_but_a_forms() {
    let site = Site::new().await;
    let service = RealService::start(&site, "transport").await;
    let body = call("health", "h", json!({})).to_body();
    let signature = sign(service.secret(), &body);
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let send = async |method: &str, path: &str, content_type: &str| {
        let method = method.parse().expect("a method");
        let request = http
            .request(method, format!("{}{path}", service.url()))
            .header("LC-Svc-SIG", &signature)
            .header("content-type", content_type)
            .body(body.clone());
        request.send().await.expect("an answer").status().as_u16()
    };
    for (method, path, content_type, status) in [
        ("POST", "", "application/json", 200),
        ("PUT", "", "application/json", 200),
        ("POST", "", "text/plain", 200),
        // Whose body never reaches the signature's check.
        ("POST", "", "application/x-www-form-urlencoded", 401),
        ("POST", "lc", "application/json", 500),
        ("POST", "?a=b", "application/json", 500),
        ("DELETE", "", "application/json", 500),
    ] {
        assert_eq!(
            send(method, path, content_type).await,
            status,
            "{method} {path} {content_type}"
        );
    }
    assert_eq!(service.recorded().len(), 3);
}
