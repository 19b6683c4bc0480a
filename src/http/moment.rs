//! Moments in queries: a time, or how long ago.

use super::HttpState;
use super::body::parameter;
use super::problem::ApiError;
use std::str::FromStr;
use tripline_protocol::{Span, Timestamp};

/// What was given.
#[derive(Debug, PartialEq)]
enum Given {
    At(Timestamp),
    Ago(Span),
}

impl FromStr for Given {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = text.parse().map(Self::At);
        time.or_else(|_| text.parse().map(Self::Ago))
            .map_err(|_| "expected a span such as 1h, or a time such as 2026-11-20T14:00:00Z")
    }
}

/// The moment that the parameter `name` means, by the server's clock; refused with `bad_parameter`.
pub(super) fn moment(
    name: &'static str,
    given: Option<&str>,
    state: &HttpState,
) -> Result<Option<Timestamp>, ApiError> {
    Ok(parameter(name, given)?.map(|given| match given {
        Given::At(time) => time,
        Given::Ago(span) => state.clock.now().before(span),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_a_span_ago() {
        assert_eq!("1h".parse(), Ok(Given::Ago(Span::from_secs(3600))));
        let time = Timestamp::from_micros(1_700_000_000_000_000);
        assert_eq!(time.to_string().parse(), Ok(Given::At(time)));
        for bad in ["", "yesterday", "-1h", "1"] {
            assert!(bad.parse::<Given>().is_err(), "{bad}");
        }
    }
}
