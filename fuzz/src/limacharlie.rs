//! Calls of LimaCharlie's cloud, `POST /lc`, to a whole server.
//!
//! Input: the body of a call, which is signed. Or, behind a line `signature …`, a body with that signature. `$OID` in the body is
//! an org, `$SID` a sensor. Requests for jobs with a deadline are left out: their answers wait for it on purpose.

use crate::input::order_and_rest;
use crate::stage::{Answer, SECRET, server};
use serde_json::Value;
use std::sync::atomic::{AtomicU64, Ordering};
use tripline_protocol::limacharlie::{Call, ServiceEtype};

/// So many inputs are about one org: then it may be in a state that leaves nothing to find.
const INPUTS_PER_ORG: u64 = 64;
static INPUTS: AtomicU64 = AtomicU64::new(0);
const SID: &str = "5b0f4e1c-7d8a-4b2e-9f63-0c1d2e3f4a5b";

/// Whatever is called, what is answered is an answer of the protocol, and the same again when it is final.
pub fn run(data: &[u8]) {
    let org = org();
    let (signature, body) = read(data, &org);
    let is_signed = signature.is_none();
    let call = Call::read(&body);
    if is_signed && call.as_ref().is_ok_and(waits) {
        return;
    }
    let signature = signature.unwrap_or_else(|| tripline_service::sign(SECRET, &body));
    let header = format!("lc-svc-sig: {signature}");
    let post = || server().send("POST", "/lc", &[&header], &body);
    let answer = post();
    match answer.status {
        401 => assert!(!is_signed && answer.body.is_empty(), "{}", answer.text()),
        400 => assert!(
            call.is_err_and(|error| !error.is_answered()),
            "refused without a word of the protocol: {}",
            answer.text()
        ),
        200 => {
            let is_final = check(&answer);
            if is_final && call.as_ref().is_ok_and(|call| is_known_again(call, &org)) {
                assert_eq!(said(&post()), said(&answer), "the same again");
            }
            if call.is_ok_and(|call| call.kind() == Some(ServiceEtype::OrgUninstall)) {
                // Nothing more is to be found about it.
                INPUTS.fetch_add(INPUTS_PER_ORG, Ordering::Relaxed);
            }
        }
        _ => panic!("{}", answer.text()),
    }
    server().is_well();
}

/// A signature of its own, if it has one, and the body.
fn read(data: &[u8], org: &str) -> (Option<String>, Vec<u8>) {
    let (line, rest) = order_and_rest(data);
    let own = line.strip_prefix(b"signature ").map(printable);
    let body = if own.is_some() { rest } else { data };
    let body = match std::str::from_utf8(body) {
        Ok(text) => text.replace("$OID", org).replace("$SID", SID).into_bytes(),
        Err(_) => body.to_vec(),
    };
    (own, body)
}

fn printable(text: &[u8]) -> String {
    let fit = text.iter().filter(|byte| (0x20..0x7f).contains(*byte));
    fit.map(|byte| char::from(*byte)).collect()
}

fn org() -> String {
    let number = INPUTS.fetch_add(1, Ordering::Relaxed) / INPUTS_PER_ORG;
    uuid::Uuid::from_u128(u128::from(number) + 1).to_string()
}

/// Without a `mid` each call is one of its own, and what a call ends is not there any more; so it may be with another org.
fn is_known_again(call: &Call, org: &str) -> bool {
    let is_of_org = call.oid.as_deref().is_none_or(|oid| oid == org);
    is_of_org && call.mid.is_some() && call.kind() != Some(ServiceEtype::OrgUninstall)
}

fn waits(call: &Call) -> bool {
    use ServiceEtype::{Command, Request};
    call.deadline.is_some() && matches!(call.kind(), Some(Request | Command))
}

/// That it is an answer of the protocol; whether it is final.
fn check(answer: &Answer) -> bool {
    let text = answer.text();
    let json = answer.json();
    let success = json.get("success").and_then(Value::as_bool);
    let success = success.unwrap_or_else(|| panic!("no success: {text}"));
    let retry = match json.get("retry") {
        None => false,
        Some(Value::Bool(retry)) if !success => *retry,
        Some(_) => panic!("no retry is to be there, or another one: {text}"),
    };
    let says_why = json
        .get("error")
        .and_then(Value::as_str)
        .is_some_and(|error| !error.is_empty());
    assert_eq!(says_why, !success, "{text}");
    assert!(json.get("data").is_some(), "no data: {text}");
    success || !retry
}

/// The answer without jobs, which are told once.
fn said(answer: &Answer) -> Value {
    let mut json = answer.json();
    if let Some(answer) = json.as_object_mut() {
        answer.remove("jobs");
    }
    json
}
