//! What services repeat in their answers and nobody is to see: the secret that they share with us, and the tokens that they got.
//! Tokens are kept nowhere, so it is their form that is looked for.

use crate::ports::{CallFailure, ServiceSecret};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tripline_protocol::limacharlie::{Answer, Attachment, JobUpdate, Mtd};

/// How the parts of a token begin: `{"` in base64.
const PART: &str = "eyJ";

/// Leaves secret and tokens out of whatever is kept or shown of what a call came to.
pub(super) fn redact(result: &mut Result<Answer, CallFailure>, secret: &ServiceSecret) {
    match result {
        Ok(answer) => {
            let told = answer.data.as_object_mut().into_iter();
            let told = told.flat_map(|data| data.iter_mut());
            let told = told.filter(|(key, _)| ["error", "exception"].contains(&key.as_str()));
            told.for_each(|(_, value)| hide_in(value, &|text| without_secret(text, secret)));
            answer.error = answer.error.as_deref().map(|text| without_secret(text, secret));
            for job in &mut answer.jobs {
                redact_job(job, &|text| without_whole_tokens(&without_secret(text, secret)));
            }
        }
        Err(CallFailure::Transport(text) | CallFailure::Forbidden(text)) => {
            *text = without_secret(text, secret);
        }
        Err(_) => {}
    }
}

/// The same in all texts of what is kept of `data` as a whole.
pub(super) fn redact_data(data: &mut Value, secret: &ServiceSecret) {
    hide_in(data, &|text| without_tokens(&without_secret(text, secret)));
}

/// The same in what a service says of itself for people to read. The names that it gives are compared, and stay.
pub(super) fn redact_wants(wants: &mut Mtd, secret: &ServiceSecret) {
    let hide = |text: &str| without_tokens(&without_secret(text, secret));
    for parameter in wants.request_params.values_mut() {
        parameter.desc = hide(&parameter.desc);
    }
    let commands = wants.commands.values_mut();
    commands.for_each(|command| hide_in(command, &hide));
}

fn redact_job(job: &mut JobUpdate, hide: &dyn Fn(&str) -> String) {
    job.id = hide(&job.id);
    job.sid.iter_mut().for_each(|sid| *sid = hide(sid));
    job.cause = job.cause.as_deref().map(|cause| without_tokens(&hide(cause)));
    for entry in &mut job.hist {
        entry.msg = without_tokens(&hide(&entry.msg));
        for attachment in &mut entry.attachments {
            redact_attachment(attachment, hide);
        }
    }
}

fn redact_attachment(attachment: &mut Attachment, hide: &dyn Fn(&str) -> String) {
    match attachment {
        Attachment::Table {
            caption,
            headers,
            rows,
        } => {
            *caption = hide(caption);
            let cells = rows.iter_mut().flatten();
            headers
                .iter_mut()
                .chain(cells)
                .for_each(|cell| hide_in(cell, hide));
        }
        Attachment::Yaml { caption, data } | Attachment::Json { caption, data } => {
            *caption = hide(caption);
            *data = hide(data);
        }
        Attachment::HexDump { caption, data } => {
            *caption = hide(caption);
            // What is no text stays as it is.
            let text = STANDARD
                .decode(&*data)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok());
            if let Some(text) = text {
                *data = STANDARD.encode(hide(&text));
            }
        }
        Attachment::Other => {}
    }
}

/// In all texts of a JSON value, the keys of objects with them.
fn hide_in(value: &mut Value, hide: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = hide(text),
        Value::Array(values) => values.iter_mut().for_each(|value| hide_in(value, hide)),
        Value::Object(map) => {
            let entries = std::mem::take(map).into_iter();
            *map = entries
                .map(|(key, mut value)| {
                    hide_in(&mut value, hide);
                    (hide(&key), value)
                })
                .collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

pub(super) fn without_secret(text: &str, secret: &ServiceSecret) -> String {
    match secret.reveal() {
        "" => text.to_owned(),
        secret => text.replace(secret, "…"),
    }
}

/// With an ellipsis in the place of whatever looks like a token, or like the beginning of one that was cut.
pub(super) fn without_tokens(text: &str) -> String {
    hidden(text, |piece| match piece.starts_with(PART) {
        true => Some(0),
        false => whole_token(piece),
    })
}

/// The same only of whole tokens: base64 of something else may begin as they do.
fn without_whole_tokens(text: &str) -> String {
    hidden(text, whole_token)
}

/// Where in a piece a token begins that has at least two parts.
fn whole_token(piece: &str) -> Option<usize> {
    let begin = piece.find(PART)?;
    let next = piece.get(begin..)?.find(".eyJ");
    next.map(|_| begin)
}

/// With an ellipsis in the place of what `begins` says of each piece that may be a token.
fn hidden(text: &str, begins: impl Fn(&str) -> Option<usize>) -> String {
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let mut clean = String::with_capacity(text.len());
    for piece in text.split_inclusive(|c| !is_of_token(c)) {
        match begins(piece).and_then(|begin| piece.get(..begin)) {
            Some(before) => {
                clean.push_str(before);
                clean.push('…');
                clean.extend(piece.chars().last().filter(|c| !is_of_token(*c)));
            }
            None => clean.push_str(piece),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJ0In0.x-_y";

    #[test]
    fn whatever_looks_like_a_token_is_left_out_and_nothing_else() {
        assert_eq!(
            without_tokens("Traceback: {'jwt': 'eyJhbGciOiJIUzI1NiIs.eyJpc3Mi.x-_y', 'oid': 'eyes'}"),
            "Traceback: {'jwt': '…', 'oid': 'eyes'}"
        );
        assert_eq!(without_tokens("eyJx"), "…", "it may have been cut");
        let escaped = format!("{{\"said\":\"one\\n{TOKEN}\\n\"}}");
        assert_eq!(without_whole_tokens(&escaped), "{\"said\":\"one\\n…\\n\"}");
        let base64 = STANDARD.encode("{\"a\":1}");
        assert!(base64.starts_with(PART));
        assert_eq!(without_whole_tokens(&base64), base64);
    }

    #[test]
    fn secret_and_tokens_are_in_no_data_that_is_kept() {
        let mut said =
            json!({ "a": ["x eyJh.eyJi.c y", 7, "with s3cr3t"], "eyJk.l s3cr3t": { "b": "eyes" } });
        redact_data(&mut said, &ServiceSecret::new("s3cr3t"));
        assert_eq!(
            said,
            json!({ "a": ["x … y", 7, "with …"], "… …": { "b": "eyes" } })
        );
    }

    #[test]
    fn a_service_that_describes_its_parameters_with_the_secret_is_shown_without_it() {
        let said = json!({
            "callbacks": ["request"], "request_params": { "path": { "type": "str", "desc": "signed with s3cr3t" } },
            "commands": { "scan": { "help": "eyJh.eyJi.c" } },
        });
        let mut wants: Mtd = serde_json::from_value(said).unwrap();
        redact_wants(&mut wants, &ServiceSecret::new("s3cr3t"));
        assert_eq!(wants.request_params["path"].desc, "signed with …");
        assert_eq!(wants.commands["scan"], json!({ "help": "…" }));
    }

    #[test]
    fn secret_and_tokens_are_in_nothing_that_is_kept_of_an_answer() {
        let secret = ServiceSecret::new("s3cr3t");
        let said = format!("with s3cr3t and {TOKEN}");
        let attachments = json!([
            { "att_type": "table", "caption": said, "headers": [said], "rows": [[1, { &said: [said] }]] },
            { "att_type": "yaml", "caption": said, "data": said },
            { "att_type": "json", "caption": said, "data": json!({ "a": said }).to_string() },
            { "att_type": "hex_dump", "caption": said, "data": STANDARD.encode(&said) },
            { "att_type": "sketch", "data": said },
        ]);
        let body = json!({
            "success": false, "error": said, "data": { "error": said, "exception": { "text": said } },
            "jobs": [{ "id": said, "sid": ["s", said], "cause": said, "hist": [{ "ts": 1, "msg": said, "attachments": attachments }] }],
        });
        let mut result = Answer::read(body.to_string().as_bytes()).map_err(CallFailure::from);
        redact(&mut result, &secret);
        let answer = result.unwrap();
        let jobs = serde_json::to_string(&answer.jobs).unwrap();
        assert!(!jobs.contains("s3cr3t") && !jobs.contains(PART), "{jobs}");
        let hidden = STANDARD.encode("with … and …");
        assert!(jobs.contains(&hidden) && jobs.contains("with … and …"), "{jobs}");
        let told = format!("{:?} {}", answer.error, answer.data);
        assert!(!told.contains("s3cr3t"), "{told}");
        let mut failed = Err(CallFailure::Transport("no s3cr3t".into()));
        redact(&mut failed, &secret);
        assert_eq!(failed, Err(CallFailure::Transport("no …".into())));
    }
}
