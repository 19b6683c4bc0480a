//! Times that name no zone, and the zone they are in.

use crate::samples::{json, p};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use tripline_protocol::Timestamp;
use tripline_protocol::littlebrother::{LocalTime, Zone};

/// Of years 1 to 9999.
const SECONDS: std::ops::Range<i64> = -62_135_596_800..253_402_300_800;

/// With the rules of the European Union, whatever zones the machine knows.
fn berlin() -> Zone {
    Zone(TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap())
}

fn seconds(instant: Timestamp) -> i64 {
    instant.as_micros() / 1_000_000
}

fn instant(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

#[test]
fn a_local_time_is_nineteen_characters_of_one_form() {
    for text in [
        "2026-11-20 20:21:17",
        "0001-01-01 00:00:00",
        "9999-12-31 23:59:59",
        "2024-02-29 12:00:00",
    ] {
        let time: LocalTime = p(text);
        assert_eq!((time.as_str(), time.to_string().as_str()), (text, text));
        assert_eq!(time.as_bytes(), text.as_bytes());
        assert_eq!(json::<LocalTime>(&format!("{text:?}")).unwrap(), time);
        assert_eq!(serde_json::to_value(time).unwrap(), text);
    }
}

#[test]
fn what_python_does_not_write_or_read_is_no_local_time() {
    for text in [
        "",
        " ",
        "2026-11-20T20:21:17",
        "2026-11-20 20:21:17 ",
        " 2026-11-20 20:21:1",
        "2026-11-20 20:21:17Z",
        "2026-11-20 20:21:17.000001",
        "2026-11-20 20:21",
        "2026-1-20 20:21:17",
        "2026-11-20 2:21:177",
        "0000-01-01 00:00:00",
        "-001-01-01 00:00:00",
        "+026-11-20 20:21:17",
        "2026-13-20 20:21:17",
        "2026-02-30 20:21:17",
        "2025-02-29 20:21:17",
        "2026-11-20 24:00:00",
        "2026-11-20 23:60:00",
        "2026-11-20 23:59:60",
        "２０２６-11-20 2",
        "2026\u{2010}11-20 20:21",
        "2026-11-20\u{a0}20:21:1",
        "now",
    ] {
        let error = text.parse::<LocalTime>().unwrap_err();
        assert!(error.to_string().contains("YYYY-MM-DD HH:MM:SS"), "{error}");
    }
    assert!(json::<LocalTime>("7").is_err() && json::<LocalTime>("null").is_err());
    let long = "9".repeat(1000).parse::<LocalTime>().unwrap_err();
    assert_eq!(long.text.len(), 80);
}

#[test]
fn the_first_and_the_last_second_are_as_far_from_1970_as_they_are() {
    assert_eq!(p::<LocalTime>("1970-01-01 00:00:00"), LocalTime::epoch());
    assert_eq!(LocalTime::epoch().naive_seconds(), 0);
    assert_eq!(
        p::<LocalTime>("0001-01-01 00:00:00").naive_seconds(),
        SECONDS.start
    );
    assert_eq!(
        p::<LocalTime>("9999-12-31 23:59:59").naive_seconds(),
        SECONDS.end - 1
    );
    for beyond in [SECONDS.start - 1, SECONDS.end, i64::MIN, i64::MAX] {
        assert_eq!(LocalTime::from_naive_seconds(beyond), None);
    }
}

#[test]
fn a_time_that_the_clock_left_out_is_as_long_after_the_change() {
    let zone = berlin();
    let change = "2026-03-29T01:00:00Z".parse::<Timestamp>().unwrap();
    for (local, minutes) in [
        ("02:00:00", 0),
        ("02:30:00", 30),
        ("02:59:00", 59),
        ("03:00:00", 0),
        ("03:30:00", 30),
    ] {
        let at = zone.to_instant(p(&format!("2026-03-29 {local}")));
        assert_eq!(seconds(at) - seconds(change), minutes * 60, "{local}");
    }
    assert_eq!(zone.to_local(change).as_str(), "2026-03-29 03:00:00");
    assert_eq!(
        zone.to_local(instant(seconds(change) - 1)).as_str(),
        "2026-03-29 01:59:59"
    );
}

#[test]
fn a_time_that_came_twice_is_the_first_of_the_two() {
    let zone = berlin();
    let first = "2026-10-25T00:30:00Z".parse::<Timestamp>().unwrap();
    let second = "2026-10-25T01:30:00Z".parse::<Timestamp>().unwrap();
    let local = p("2026-10-25 02:30:00");
    assert_eq!(zone.to_instant(local), first);
    assert_eq!((zone.to_local(first), zone.to_local(second)), (local, local));
}

#[test]
fn instants_are_cut_to_the_second_before_1970_too() {
    let at = |micros| Zone::utc().to_local(Timestamp::from_micros(micros)).to_string();
    assert_eq!(at(1_999_999), "1970-01-01 00:00:01");
    assert_eq!(at(-1), "1969-12-31 23:59:59");
    assert_eq!(at(-1_000_000), "1969-12-31 23:59:59");
}

#[test]
fn what_no_local_time_can_say_is_the_first_second_of_1970() {
    for zone in [Zone::utc(), berlin()] {
        for micros in [
            i64::MIN,
            -62_135_700_000_000_000,
            253_402_400_000_000_000,
            i64::MAX,
        ] {
            assert_eq!(zone.to_local(Timestamp::from_micros(micros)), LocalTime::epoch());
        }
    }
}

#[test]
fn at_the_ends_of_time_the_zone_is_utc() {
    let zone = berlin();
    for (local, naive) in [
        ("9999-12-31 23:59:59", SECONDS.end - 1),
        ("0001-01-01 00:00:00", SECONDS.start),
    ] {
        assert_eq!(zone.to_local(instant(naive)).as_str().get(..4), local.get(..4));
        let away = seconds(zone.to_instant(p(local))) - naive;
        assert!(away.abs() <= 2 * 86_400, "{local}: {away}");
    }
    assert_eq!(
        zone.to_local(instant(SECONDS.end - 1)).as_str(),
        "9999-12-31 23:59:59"
    );
}

proptest! {
    #[test]
    fn local_times_come_back_from_text_and_from_seconds(seconds in SECONDS) {
        let time = LocalTime::from_naive_seconds(seconds).unwrap();
        assert_eq!(time.naive_seconds(), seconds);
        assert_eq!(p::<LocalTime>(time.as_str()), time);
        assert_eq!(json::<LocalTime>(&format!("\"{time}\"")).unwrap(), time);
    }

    #[test]
    fn local_times_sort_by_time(one in SECONDS, other in SECONDS) {
        let time = |seconds| LocalTime::from_naive_seconds(seconds).unwrap();
        assert_eq!(time(one).cmp(&time(other)), one.cmp(&other));
    }

    #[test]
    fn a_text_that_is_taken_is_of_the_one_form(text in "[0-9+-]{4}[-/][0-9 ]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}[:.][0-9]{2}") {
        if let Ok(time) = text.parse::<LocalTime>() {
            assert_eq!(LocalTime::from_naive_seconds(time.naive_seconds()).unwrap().as_str(), text);
        }
    }

    #[test]
    fn any_text_is_taken_or_refused(text: String) {
        if let Ok(time) = text.parse::<LocalTime>() {
            assert_eq!(time.as_str(), text);
        }
    }

    #[test]
    fn instants_come_back_from_utc(at in SECONDS) {
        let zone = Zone::utc();
        assert_eq!(zone.to_instant(zone.to_local(instant(at))), instant(at));
    }

    /// The hour that comes twice comes back as its first time.
    #[test]
    fn instants_come_back_from_berlin(at in 0_i64..10_000_000_000) {
        let zone = berlin();
        let away = at - seconds(zone.to_instant(zone.to_local(instant(at))));
        assert!(away == 0 || away == 3600, "{away}");
    }

    #[test]
    fn any_instant_has_a_local_time(micros: i64) {
        for zone in [Zone::utc(), berlin()] {
            let local = zone.to_local(Timestamp::from_micros(micros));
            assert_eq!(p::<LocalTime>(local.as_str()), local);
        }
    }
}
