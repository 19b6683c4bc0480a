//! Queries of streams, in which a parameter may be there more than once, or hold several words.

use crate::http::body::parameter;
use crate::http::problem::ApiError;
use std::fmt::Display;
use std::str::FromStr;

/// Longest text about a wrong query, in characters: the query's own names are in it.
const WHAT_CHARS_MAX: usize = 300;

/// Adds the words of a list with commas; there may be `most` of them in all.
pub(in crate::http) fn add<T: FromStr<Err: Display>>(
    name: &str,
    list: &str,
    most: usize,
    words: &mut Vec<T>,
) -> Result<(), ApiError> {
    for word in list.split(',') {
        words.extend(parameter(name, Some(word))?);
    }
    if words.len() > most {
        let what = format!("query parameter {name}: at most {most} of them");
        return Err(ApiError::Parameter(what));
    }
    Ok(())
}

/// What is wrong with a query that has a parameter of another name.
pub(in crate::http) fn unknown(name: &str, expected: &str) -> ApiError {
    let what = format!("query parameter {name}: expected {expected}");
    ApiError::Parameter(what.chars().take(WHAT_CHARS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tripline_protocol::job::{JobState, Outcome};

    #[test]
    fn words_are_taken_up_to_their_bound_in_one_list_or_several() {
        let mut words = Vec::<JobState>::new();
        add("state", "queued,,running", 3, &mut words).expect("two");
        add("state", "cancelled", 3, &mut words).expect("a third");
        assert_eq!(
            words,
            [
                JobState::Queued,
                JobState::Running,
                JobState::Ended(Outcome::Cancelled)
            ]
        );
        let text = add("state", "queued", 3, &mut words)
            .expect_err("a fourth")
            .to_string();
        assert!(text.contains("state") && text.contains("at most 3"), "{text}");
    }

    #[test]
    fn an_unknown_parameter_is_named_in_so_many_characters() {
        let text = unknown("states", "state or org").to_string();
        assert!(text.contains("states: expected state or org"), "{text}");
        let ApiError::Parameter(text) = unknown(&"é".repeat(1000), "state") else {
            panic!("another error");
        };
        assert_eq!(text.chars().count(), WHAT_CHARS_MAX);
    }
}
