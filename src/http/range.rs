//! Single byte ranges and validators of RFC 9110 for content that never changes: pure functions.
//!
//! Several ranges at once are not served: the whole content is, as the RFC allows.

/// What a request wants of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: 200.
    Whole,
    /// A part: 206.
    Part(Part),
    /// Nothing, because the range lies outside: 416.
    Outside,
}

/// A part of a content, not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Its first byte.
    pub(super) first: u64,
    /// Its last byte, included.
    pub(super) last: u64,
}

impl Part {
    /// How many bytes it has.
    pub(super) fn bytes(self) -> u64 {
        self.last - self.first + 1
    }

    /// The value of `Content-Range`.
    pub(super) fn content_range(self, total: u64) -> String {
        format!("bytes {}-{}/{total}", self.first, self.last)
    }
}

/// What `Range` and `If-Range` want of a content of `total` bytes with the strong validator `etag` (in its
/// quotes). A range that is malformed, or for another validator, is as if it were not there.
pub(super) fn wanted(range: Option<&str>, if_range: Option<&str>, etag: &str, total: u64) -> Wanted {
    if if_range.is_some_and(|validator| validator.trim() != etag) {
        return Wanted::Whole;
    }
    match range.and_then(parse) {
        None => Wanted::Whole,
        Some(spec) => spec.within(total).map_or(Wanted::Outside, Wanted::Part),
    }
}

/// Whether `If-None-Match` names `etag`: 304.
pub(super) fn is_unchanged(if_none_match: Option<&str>, etag: &str) -> bool {
    if_none_match.is_some_and(|list| {
        list.split(',')
            .map(str::trim)
            .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == etag)
    })
}

#[derive(Clone, Copy)]
enum Spec {
    From { first: u64, last: Option<u64> },
    Suffix { bytes: u64 },
}

impl Spec {
    fn within(self, total: u64) -> Option<Part> {
        let end = total.checked_sub(1)?;
        let (first, last) = match self {
            Self::From { first, last } => (first, last.unwrap_or(end).min(end)),
            Self::Suffix { bytes: 0 } => return None,
            Self::Suffix { bytes } => (total.saturating_sub(bytes), end),
        };
        (first <= end).then_some(Part { first, last })
    }
}

fn parse(header: &str) -> Option<Spec> {
    let (unit, set) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    match (number(first)?, number(last)?) {
        (Some(first), last) if last.is_none_or(|last| last >= first) => Some(Spec::From { first, last }),
        (None, Some(bytes)) => Some(Spec::Suffix { bytes }),
        _ => None,
    }
}

/// `Some(None)` when there is no digit at all; `None` when it is no number. One too large for 64 bits lies
/// beyond every content and is taken as the largest.
fn number(text: &str) -> Option<Option<u64>> {
    let text = text.trim();
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((!text.is_empty()).then(|| text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "\"abc\"";

    fn of_ten(range: &str) -> Wanted {
        wanted(Some(range), None, ETAG, 10)
    }

    fn part(first: u64, last: u64) -> Wanted {
        Wanted::Part(Part { first, last })
    }

    #[test]
    fn ranges_are_cut_to_the_content() {
        assert_eq!(of_ten("bytes=0-0"), part(0, 0));
        assert_eq!(of_ten("bytes=2-5"), part(2, 5));
        assert_eq!(of_ten("bytes=2-"), part(2, 9));
        assert_eq!(of_ten("bytes=2-99"), part(2, 9));
        assert_eq!(of_ten("bytes=-3"), part(7, 9));
        assert_eq!(of_ten("bytes=-99"), part(0, 9));
        assert_eq!(of_ten("Bytes = 2-5"), part(2, 5));
        assert_eq!(of_ten("bytes=2-99999999999999999999999"), part(2, 9));
    }

    #[test]
    fn a_range_outside_the_content_is_refused() {
        assert_eq!(of_ten("bytes=10-"), Wanted::Outside);
        assert_eq!(of_ten("bytes=99999999999999999999999-"), Wanted::Outside);
        assert_eq!(of_ten("bytes=-0"), Wanted::Outside);
        assert_eq!(wanted(Some("bytes=0-"), None, ETAG, 0), Wanted::Outside);
    }

    #[test]
    fn what_is_no_single_range_is_ignored() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-2",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=a-b",
        ] {
            assert_eq!(of_ten(header), Wanted::Whole, "{header:?}");
        }
        assert_eq!(wanted(None, None, ETAG, 10), Wanted::Whole);
    }

    #[test]
    fn a_range_counts_only_for_the_content_it_was_meant_for() {
        assert_eq!(wanted(Some("bytes=2-5"), Some(ETAG), ETAG, 10), part(2, 5));
        assert_eq!(
            wanted(Some("bytes=2-5"), Some("\"other\""), ETAG, 10),
            Wanted::Whole
        );
        assert_eq!(
            wanted(Some("bytes=2-5"), Some("W/\"abc\""), ETAG, 10),
            Wanted::Whole
        );
    }

    #[test]
    fn a_known_content_is_not_sent_again() {
        assert!(is_unchanged(Some("\"x\", \"abc\""), ETAG));
        assert!(is_unchanged(Some("W/\"abc\""), ETAG));
        assert!(is_unchanged(Some("*"), ETAG));
        assert!(!is_unchanged(Some("\"x\""), ETAG));
        assert!(!is_unchanged(None, ETAG));
    }

    #[test]
    fn a_part_knows_its_length_and_its_header() {
        let part = Part { first: 2, last: 5 };
        assert_eq!(
            (part.bytes(), part.content_range(10)),
            (4, "bytes 2-5/10".to_owned())
        );
    }
}
