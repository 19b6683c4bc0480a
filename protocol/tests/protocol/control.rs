//! Bodies of what administrators do with the server as a whole.

use crate::golden::Golden;
use crate::samples::at;
use tripline_protocol::api::*;

pub(crate) fn pause() -> Pause {
    Pause {
        since: at("14:00:00"),
        by: Asker {
            token_id: "k3x9".into(),
            name: "ana".into(),
        },
        reason: Some("INC-42".into()),
    }
}

#[test]
fn what_administrators_control_is_as_the_golden_file_has_it() {
    let mut golden = Golden::open("control.json");
    let reason = Some("INC-42".to_owned());
    golden.both_ways("pause", &SetPause { reason });
    golden.both_ways("pause, short", &SetPause::default());
    let paused = PauseView {
        paused: true,
        pause: Some(pause()),
    };
    golden.both_ways("paused", &paused);
    let not_paused = PauseView {
        paused: false,
        pause: None,
    };
    golden.both_ways("not paused", &not_paused);
    let drain = DrainView {
        draining: true,
        by: Some(pause().by),
        since: Some(at("14:00:00")),
        until: Some(at("14:00:20")),
        jobs_running: 2,
        messages_waiting: 13,
        broker: true,
    };
    golden.both_ways("drain", &drain);
    let no_drain = DrainView {
        draining: false,
        by: None,
        since: None,
        until: None,
        jobs_running: 0,
        messages_waiting: 0,
        broker: false,
    };
    golden.both_ways("no drain", &no_drain);
}
