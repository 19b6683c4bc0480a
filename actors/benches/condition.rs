//! What the evaluation of a pipeline's condition costs: `cargo bench -p tripline-actors --bench condition`.
//!
//! Prints the best of seven rounds, beside a hand-written comparison as the floor. The first condition does not hold,
//! which its literal tells without an evaluation; the others are evaluated.

use serde_json::{Map, json};
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};
use tripline_actors::pipeline::{RuleSet, SourceFile};
use tripline_protocol::event::WireEvent;
use tripline_protocol::{Event, Timestamp};

const ROUNDS: usize = 7;
const EVALUATIONS: u32 = 20_000;

const CONDITIONS: [&str; 5] = [
    "event.data.username == 'root'",
    "event.data.username == 'amelie'",
    "event.data.username != 'root'",
    "event.data.username in ['root', 'svc', 'amelie'] && event.data.processname.startsWith('/usr/')",
    "event.data.username in ['root', 'svc', 'amelie'] && re(event.data.processname, 'xmrig|minerd')",
];

fn best(mut evaluate: impl FnMut()) -> Duration {
    let round = |_| {
        let start = Instant::now();
        for _ in 0..EVALUATIONS {
            evaluate();
        }
        start.elapsed() / EVALUATIONS
    };
    (0..ROUNDS).map(round).min().unwrap_or_default()
}

fn event() -> Result<Event, Box<dyn Error>> {
    let mut data = Map::new();
    data.insert("username".into(), json!("amelie"));
    data.insert("processname".into(), json!("/usr/bin/xmrig --donate"));
    for index in 0..20 {
        let field = json!({ "value": index, "text": "some text of an event" });
        data.insert(format!("field{index}"), field);
    }
    let payload = serde_json::to_vec(&data)?;
    Ok(Event::from_wire(&WireEvent {
        org: &"default".parse()?,
        etype: &"acme.alert".parse()?,
        headers: &[],
        payload: &payload,
        stream: "TRIPLINE_EVENTS",
        sequence: 1,
        stored_at: Timestamp::from_micros(0),
    })?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let event = event()?;
    let floor = best(|| {
        black_box(
            black_box(&event)
                .data
                .get("username")
                .is_some_and(|name| name == "root"),
        );
    });
    println!("{floor:>12?}  floor: a comparison written by hand");
    for condition in CONDITIONS {
        let text = format!(
            "name: bench\non: [acme.alert]\nwhen: >-\n  {condition}\njob:\n  steps:\n    - list_processes: {{}}\n"
        );
        let rules = RuleSet::parse(
            &[SourceFile {
                path: "bench.yaml".into(),
                text,
            }],
            &[],
        )?;
        let pipeline = rules.pipelines().next().ok_or("no pipeline")?;
        let cost = best(|| {
            black_box(pipeline.matches(black_box(&event), None));
        });
        println!("{cost:>12?}  {condition}");
    }
    Ok(())
}
