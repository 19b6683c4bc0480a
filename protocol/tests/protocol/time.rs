//! Points in time and spans.

use crate::samples::{json, p};
use std::time::{Duration, SystemTime};
use tripline_protocol::{Span, Timestamp};

#[test]
fn a_point_in_time_is_written_in_utc_with_up_to_six_decimals() {
    for (micros, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (1_795_183_200_000_000, "2026-11-20T14:00:00Z"),
        (1_795_183_200_500_000, "2026-11-20T14:00:00.5Z"),
        (1_795_183_200_000_001, "2026-11-20T14:00:00.000001Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
    ] {
        assert_eq!(Timestamp::from_micros(micros).to_string(), text);
        assert_eq!(p::<Timestamp>(text).as_micros(), micros);
        assert_eq!(
            json::<Timestamp>(&format!("\"{text}\"")).unwrap().as_micros(),
            micros
        );
    }
}

#[test]
fn other_offsets_and_finer_decimals_are_read() {
    assert_eq!(
        p::<Timestamp>("2026-11-20T15:00:00+01:00").to_string(),
        "2026-11-20T14:00:00Z"
    );
    assert_eq!(
        p::<Timestamp>("2026-11-20T14:00:00.123456789Z").to_string(),
        "2026-11-20T14:00:00.123456Z"
    );
    assert_eq!(
        p::<Timestamp>("1969-12-31T23:59:59.9999999Z").as_micros(),
        -1,
        "rounded down, as after 1970"
    );
}

#[test]
fn what_is_no_point_in_time_is_refused_in_few_words() {
    for text in [
        "",
        "now",
        "2026-11-20",
        "2026-11-20T14:00:00",
        "2026-13-01T00:00:00Z",
        "1795183200",
    ] {
        assert!(text.parse::<Timestamp>().is_err(), "{text}");
    }
    assert!(
        "x".repeat(1_000_000)
            .parse::<Timestamp>()
            .unwrap_err()
            .to_string()
            .len()
            < 200
    );
    assert!(json::<Timestamp>("1795183200").is_err());
}

#[test]
fn times_that_have_no_written_form_are_the_first_or_the_last_that_has() {
    assert_eq!(
        Timestamp::from_micros(i64::MAX).to_string(),
        "9999-12-31T23:59:59Z"
    );
    assert_eq!(
        Timestamp::from_micros(i64::MIN).to_string(),
        "0000-01-01T00:00:00Z"
    );
    let edge: Timestamp = p("0000-01-01T00:00:00+23:59");
    assert_eq!(edge.to_string(), "0000-01-01T00:00:00Z");
}

#[test]
fn reckoning_with_times_saturates() {
    let (start, day) = (Timestamp::from_micros(1_000_000), Span::from_secs(86_400));
    assert_eq!(start.after(day).since(start), day);
    assert_eq!(start.since(start.after(day)), Span::ZERO);
    assert_eq!(start.after(day).before(day), start);
    let forever = Span::from_millis(u64::MAX);
    assert_eq!(start.after(forever).as_micros(), i64::MAX);
    assert_eq!(
        Timestamp::from_micros(i64::MIN).before(forever).as_micros(),
        i64::MIN
    );
    let ages = Timestamp::from_micros(i64::MAX).since(Timestamp::from_micros(i64::MIN));
    assert_eq!(ages.as_millis(), i64::MAX as u64 / 1000);
    assert_eq!(Span::from_secs(u64::MAX), forever);
}

#[test]
fn the_machines_clock_is_read_even_before_1970() {
    let late = SystemTime::UNIX_EPOCH + Duration::from_micros(7);
    assert_eq!(Timestamp::from(late).as_micros(), 7);
    let early = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    assert_eq!(Timestamp::from(early).as_micros(), 0);
}

#[test]
fn a_span_is_numbers_with_units() {
    for (text, millis, written) in [
        ("0s", 0, "0s"),
        ("30s", 30_000, "30s"),
        ("2m", 120_000, "2m"),
        ("24h", 86_400_000, "1d"),
        ("7d", 604_800_000, "7d"),
        ("2w", 1_209_600_000, "14d"),
        ("1h 30m", 5_400_000, "1h 30m"),
        ("1h30m", 5_400_000, "1h 30m"),
        (" 5 minutes  1 sec ", 301_000, "5m 1s"),
        ("1d 2h 3m 4s 5ms", 93_784_005, "1d 2h 3m 4s 5ms"),
        (
            "18446744073709551615ms",
            u64::MAX,
            "213503982334d 14h 25m 51s 615ms",
        ),
    ] {
        assert_eq!(p::<Span>(text).as_millis(), millis, "{text}");
        assert_eq!(Span::from_millis(millis).to_string(), written);
        assert_eq!(p::<Span>(written).as_millis(), millis);
    }
}

#[test]
fn what_is_no_span_is_refused() {
    for text in [
        "",
        " ",
        "30",
        "s",
        "-1s",
        "1.5h",
        "1 fortnight",
        "500us",
        "1month",
        "1M",
        "30S",
        "1h,30m",
        "１s",
        "18446744073709551616ms",
        "18446744073709551615s",
        "18446744073709551615s 1000ms",
        "18446744073709551615ms 1ms",
    ] {
        assert!(text.parse::<Span>().is_err(), "{text}");
    }
    let error = json::<Span>("30").unwrap_err().to_string();
    assert!(
        error.contains("expected a span of time such as 30s, 2m, 24h or 7d"),
        "{error}"
    );
}
