//! What a registration may say.

use crate::ports::ServiceSecret;
use crate::refusal::Refusal;
use tripline_protocol::api::{SERVICE_SECRET_BYTES, ServiceSpec};

/// Refuses with `Invalid` (`bad_service`) what cannot be: it names the fields and what would be right.
pub(crate) fn checked(spec: &ServiceSpec, secret: Option<&ServiceSecret>) -> Result<(), Refusal> {
    let mut wrong: Vec<String> = spec.problems().iter().map(ToString::to_string).collect();
    if secret.is_some_and(|secret| !SERVICE_SECRET_BYTES.contains(&secret.reveal().len())) {
        let (least, most) = (SERVICE_SECRET_BYTES.start(), SERVICE_SECRET_BYTES.end());
        wrong.push(format!("secret: must have {least} to {most} bytes"));
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Refusal::Invalid {
            code: "bad_service",
            detail: format!("service {}: {}", spec.name, wrong.join("; ")),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_registration_within_its_bounds_is_taken_and_one_beyond_names_the_field() {
        let base = json!({ "name": "yara", "url": "https://yara.example/" });
        let check = |field: &str, value: serde_json::Value| {
            let mut spec = base.clone();
            spec[field] = value;
            checked(&serde_json::from_value(spec).unwrap(), None)
        };
        assert_eq!(check("url", json!("http://127.0.0.1:9/x")), Ok(()));
        for (field, value) in [
            ("url", json!("ftp://x")),
            ("url", json!(format!("http://{}", "x".repeat(3_000)))),
            ("orgs", json!([])),
            ("orgs", json!(["a", "a"])),
            ("deadline", json!("500ms")),
            ("deadline", json!("11m")),
            ("attempts", json!(0)),
            ("give_up_after", json!("8d")),
            ("in_flight", json!(65)),
            ("queue_max", json!(100_001)),
        ] {
            let Err(Refusal::Invalid { code, detail }) = check(field, value) else {
                panic!("{field} is taken");
            };
            assert_eq!(code, "bad_service");
            assert!(detail.contains(field), "{detail}");
        }
        let spec = serde_json::from_value(base).unwrap();
        for secret in ["", &"x".repeat(1_025)] {
            assert!(checked(&spec, Some(&ServiceSecret::new(secret))).is_err());
        }
    }
}
