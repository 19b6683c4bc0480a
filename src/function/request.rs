//! The form of requests and responses: that of Lambda's proxy integration, of which only what matters is looked at.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tripline_service::Response;

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// Why a text is no request.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("it is not {{\"headers\": {{…}}, \"body\": \"…\"}}")]
    Form(#[from] serde_json::Error),
    #[error("its body is not base64, as isBase64Encoded says it is")]
    Base64(#[from] base64::DecodeError),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    headers: Option<BTreeMap<String, String>>,
    /// Has them all, where the form has it.
    multi_value_headers: Option<BTreeMap<String, Vec<String>>>,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

impl Request {
    pub(super) fn read(text: &[u8]) -> Result<Self, Error> {
        let raw: Raw = serde_json::from_slice(text)?;
        let body = raw.body.unwrap_or_default();
        let headers = match raw.multi_value_headers {
            Some(lists) => lists
                .into_iter()
                .flat_map(|(name, values)| values.into_iter().map(move |value| (name.clone(), value)))
                .collect(),
            None => raw.headers.unwrap_or_default().into_iter().collect(),
        };
        let body = match raw.is_base64_encoded {
            true => BASE64_STANDARD.decode(body)?,
            false => body.into_bytes(),
        };
        Ok(Self { headers, body })
    }

    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
    }
}

/// One line of JSON.
pub(super) fn written(response: &Response) -> Vec<u8> {
    let mut headers = Map::new();
    if !response.body.is_empty() {
        headers.insert("Content-Type".to_owned(), Value::from("application/json"));
    }
    let body = String::from_utf8_lossy(&response.body);
    let value =
        json!({"statusCode": response.status, "headers": headers, "body": body, "isBase64Encoded": false});
    format!("{value}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &Value) -> Result<Request, Error> {
        Request::read(value.to_string().as_bytes())
    }

    #[test]
    fn a_request_is_read_in_both_forms_and_its_body_is_the_very_bytes() {
        let plain =
            read(&json!({"headers": {"LC-Svc-Sig": "x"}, "body": "{ \"é\": 1}", "path": "/"})).unwrap();
        assert_eq!(plain.body, "{ \"é\": 1}".as_bytes());
        assert_eq!(
            plain.headers().collect::<Vec<_>>(),
            [("LC-Svc-Sig", b"x".as_slice())]
        );
        let encoded =
            read(&json!({"multiValueHeaders": {"a": ["1", "2"]}, "body": "AAE=", "isBase64Encoded": true}))
                .unwrap();
        assert_eq!(encoded.body, [0, 1]);
        assert_eq!(encoded.headers().count(), 2, "a header that came twice");
        let empty = read(&json!({"headers": null, "body": null})).unwrap();
        assert_eq!((empty.headers().count(), empty.body.len()), (0, 0));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for text in ["", "{", "[]", r#"{"body": 1}"#, r#"{"headers": []}"#] {
            assert!(
                matches!(Request::read(text.as_bytes()), Err(Error::Form(_))),
                "{text}"
            );
        }
        let bad = read(&json!({"body": "é", "isBase64Encoded": true}));
        assert!(matches!(bad, Err(Error::Base64(_))));
    }

    #[test]
    fn a_response_is_one_line_with_its_type() {
        let text = |status, body: &[u8]| {
            let body = body.to_vec();
            String::from_utf8(written(&Response { status, body })).unwrap()
        };
        assert_eq!(
            text(200, b"{\"success\":true}"),
            "{\"body\":\"{\\\"success\\\":true}\",\"headers\":{\"Content-Type\":\"application/json\"},\"isBase64Encoded\":false,\
             \"statusCode\":200}\n"
        );
        assert_eq!(
            text(401, b""),
            "{\"body\":\"\",\"headers\":{},\"isBase64Encoded\":false,\"statusCode\":401}\n"
        );
    }
}
