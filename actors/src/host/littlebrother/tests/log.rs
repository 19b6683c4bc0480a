//! The table against the log of a client that repeats itself, with a server that starts again in between.

use super::super::Oddity;
use super::server::Server;
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tripline_protocol::littlebrother::{LocalTime, PROCESS_HANDLER, WireEvent};

type Key = (u32, LocalTime);

/// A client's log without doubts: what the table has to be after it, worked out from the front each time.
fn table_of(log: &[WireEvent]) -> BTreeMap<Key, (bool, u64, Option<String>)> {
    let mut table: BTreeMap<Key, (bool, u64, Option<String>)> = BTreeMap::new();
    for event in log {
        if event.processhandler.as_deref() != Some(PROCESS_HANDLER) {
            continue;
        }
        let key = (event.pid.unwrap(), event.process_start_time.unwrap());
        match (event.event_type, table.get_mut(&key)) {
            (EventType::ProcessStart, known) => {
                let (downtime, name) = known.map_or((0, None), |known| (known.1, known.2.clone()));
                table.insert(key, (true, downtime, name.or(event.processname.clone())));
            }
            (EventType::ProcessEnd, Some(known)) => known.0 = false,
            (EventType::ProcessDowntime, Some(known)) => known.1 = event.downtime,
            _ => {}
        }
    }
    table
}

fn log_event() -> impl Strategy<Value = WireEvent> {
    let kind = prop::sample::select(vec![
        EventType::ProcessStart,
        EventType::ProcessStart,
        EventType::ProcessEnd,
        EventType::ProcessDowntime,
        EventType::ProhibitedProcess,
    ]);
    let handler = prop_oneof![9 => Just(PROCESS_HANDLER), 1 => Just("ClientDeviceHandler")];
    (kind, 1..4_u32, 0..2_i64, 0..50_u64, any::<bool>(), handler).prop_map(
        |(kind, pid, start, downtime, named, handler)| {
            let mut event = super::server::event(kind, pid, 0);
            event.process_start_time = Some(at(start));
            event.downtime = downtime;
            event.processname = named.then(|| format!("game{pid}"));
            event.processhandler = Some(handler.into());
            event
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_table_is_what_the_clients_log_says_however_often_parts_of_it_come(
        log in prop::collection::vec(log_event(), 0..60),
        cuts in prop::collection::vec((1..6_usize, any::<bool>(), any::<bool>()), 1..40),
    ) {
        // No client speaks of a process's downtime before it announced it.
        let mut log = log;
        let mut started = BTreeSet::new();
        log.retain(|event| {
            let key = event.pid.zip(event.process_start_time);
            if event.event_type == EventType::ProcessStart && event.processhandler.as_deref() == Some(PROCESS_HANDLER) {
                started.insert(key);
            }
            event.event_type != EventType::ProcessDowntime || started.contains(&key)
        });
        for (seconds, event) in log.iter_mut().enumerate() {
            event.event_time = at(seconds as i64);
        }
        let mut server = Server::introduced();
        // `unheard` begins what the client has no answer for.
        let (mut unheard, mut sent, mut published) = (0, 0, BTreeSet::new());
        for (count, heard, restart) in cuts {
            sent = log.len().min(sent + count);
            server.later(5);
            let outcome = server.post(log[unheard..sent].to_vec());
            published.extend(outcome.events.into_iter().map(|event| event.id));
            prop_assert_eq!(published.len(), sent, "each event has one id");
            prop_assert!(!outcome.odd.contains_key(&Oddity::Overtaken));
            if heard {
                unheard = sent;
            }
            if restart {
                server.restart();
            }
            let expected = table_of(&log[..sent]);
            let key = |bytes: &[u8; 23]| super::super::Key::from_bytes(bytes).unwrap();
            let rows = server.rows.iter().map(|(bytes, process)| {
                let name = process.name.as_deref().map(str::to_owned);
                ((key(bytes).pid, key(bytes).start), (process.is_open(), process.downtime_s, name))
            });
            prop_assert_eq!(rows.collect::<BTreeMap<_, _>>(), expected);
        }
    }
}
