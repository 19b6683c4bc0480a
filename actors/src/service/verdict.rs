//! What a cloud makes of the outcome of a call. The table is that of the protocol where it has one; the rest is our choice
//! and is told in docs/limacharlie-cloud.md.

use super::redact::without_tokens;
use crate::ports::CallFailure;
use tripline_protocol::limacharlie::{Answer, RetryAdvice};

/// Longest text of a failure that is kept, in characters.
const TEXT_CHARS_MAX: usize = 500;
/// Characters of it that are looked at.
const TEXT_LOOKED_AT_MAX: usize = 8 * TEXT_CHARS_MAX;

/// What becomes of a message after a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is delivered.
    Done,
    /// The service will not do it: it is delivered as well.
    Refused(String),
    /// It was not taken and will not be.
    Rejected(String),
    /// The service wants it again.
    Again(String),
    /// The call failed: again.
    Failed(String),
    /// The secret is wrong: nothing goes out until that is right.
    Unsigned,
    /// The service's address may not be called.
    Forbidden(String),
}

impl Verdict {
    /// Of what a call came to.
    pub(crate) fn of(result: &Result<Answer, CallFailure>) -> Self {
        match result {
            Ok(answer) => Self::of_answer(answer),
            Err(CallFailure::Status(401)) => Self::Unsigned,
            Err(failure @ CallFailure::Status(400..=499)) => Self::Rejected(short(failure)),
            Err(failure @ CallFailure::Forbidden(_)) => Self::Forbidden(short(failure)),
            Err(failure) => Self::Failed(short(failure)),
        }
    }

    fn of_answer(answer: &Answer) -> Self {
        let text = || short(answer.problem().unwrap_or("it did not say why"));
        match answer.advice() {
            RetryAdvice::Done => Self::Done,
            RetryAdvice::GiveUp => Self::Refused(text()),
            RetryAdvice::Again => Self::Again(text()),
        }
    }

    /// Whether the service answered, whatever it said.
    pub(crate) const fn is_answer(&self) -> bool {
        matches!(
            self,
            Self::Done | Self::Refused(_) | Self::Rejected(_) | Self::Again(_)
        )
    }

    /// Why it is not done.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Done => None,
            Self::Refused(text)
            | Self::Rejected(text)
            | Self::Again(text)
            | Self::Failed(text)
            | Self::Forbidden(text) => Some(text),
            Self::Unsigned => Some("it refuses our signature: is the secret right?"),
        }
    }

    /// Its word in metrics.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused(_) => "refused",
            Self::Rejected(_) => "rejected",
            Self::Again(_) => "again",
            Self::Failed(_) => "failed",
            Self::Unsigned => "unsigned",
            Self::Forbidden(_) => "forbidden",
        }
    }
}

/// A text for people, cut: a service may answer with a page.
///
/// Tokens that it repeats, as a traceback may, are left out.
pub(super) fn short(text: impl ToString) -> String {
    let text: String = text.to_string().chars().take(TEXT_LOOKED_AT_MAX).collect();
    without_tokens(&text).chars().take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tripline_protocol::limacharlie::InvalidAnswer;

    fn read(body: &str) -> Verdict {
        Verdict::of(&Answer::read(body.as_bytes()).map_err(CallFailure::from))
    }

    #[test]
    fn a_token_that_a_service_repeats_is_told_to_nobody() {
        let said = "Traceback: {'jwt': 'eyJhbGciOiJIUzI1NiIs.eyJpc3Mi.x-_y', 'oid': 'eyes'}";
        assert_eq!(short(said), "Traceback: {'jwt': '…', 'oid': 'eyes'}");
        let cut = format!("{} eyJ{}", "x".repeat(TEXT_LOOKED_AT_MAX - 8), "y".repeat(99));
        assert!(!short(&cut).contains("eyJ"));
    }

    #[test]
    fn every_row_of_the_decision_table_has_its_verdict() {
        assert_eq!(read(r#"{"success":true,"retry":true}"#), Verdict::Done);
        let refused = Verdict::Refused("no".into());
        assert_eq!(read(r#"{"success":false,"error":"no"}"#), refused);
        assert_eq!(
            read(r#"{"success":false,"retry":null,"data":{"error":"no"}}"#),
            refused
        );
        let again = read(r#"{"success":false,"retry":true,"data":{"exception":"Traceback"}}"#);
        assert_eq!(again, Verdict::Again("Traceback".into()));
        let silent = Verdict::Refused("it did not say why".into());
        assert_eq!(read(r#"{"success":false,"error":""}"#), silent);
        assert_eq!(
            read(r#"{"success":false,"error":" ","data":{"error":"no"}}"#),
            refused
        );
        for no_answer in ["<html>", "[]", r#"{"data":{}}"#, r#"{"success":"yes"}"#] {
            assert!(matches!(read(no_answer), Verdict::Failed(_)), "{no_answer}");
        }
        let of = |failure| Verdict::of(&Err(failure));
        assert_eq!(of(CallFailure::Status(401)), Verdict::Unsigned);
        for status in [400, 403, 404, 413, 429] {
            assert!(matches!(of(CallFailure::Status(status)), Verdict::Rejected(_)));
        }
        for status in [204, 302, 500, 503] {
            assert!(matches!(of(CallFailure::Status(status)), Verdict::Failed(_)));
        }
        for failure in [
            CallFailure::Transport("reset".into()),
            CallFailure::TooLong(8),
            CallFailure::NoAnswer(InvalidAnswer::NoSuccess),
        ] {
            assert!(matches!(of(failure), Verdict::Failed(_)));
        }
        let forbidden = of(CallFailure::Forbidden("10.0.0.1".into()));
        assert_eq!(forbidden, Verdict::Forbidden("10.0.0.1".into()));
    }

    #[test]
    fn a_page_for_an_error_is_cut() {
        let page = "x".repeat(100_000);
        let verdict = Verdict::of(&Err(CallFailure::Transport(page)));
        assert_eq!(verdict.text().map(str::len), Some(TEXT_CHARS_MAX));
    }
}
