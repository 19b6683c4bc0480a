//! What many pipelines cost: `cargo bench -p tripline-actors --bench rules`.
//!
//! 10,000 pipelines over 100 etypes, each in a file of its own, are loaded, and events are matched against them by the
//! index, by looking at every pipeline, and by a comparison written by hand. Prints the best of seven rounds. With
//! `-- load` they are only loaded.

use serde_json::{Map, json};
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};
use tripline_actors::pipeline::{Match, RuleSet, SourceFile};
use tripline_protocol::event::WireEvent;
use tripline_protocol::{Event, Timestamp};

const ROUNDS: usize = 7;
const ETYPES: usize = 100;
const PIPELINES_PER_ETYPE: usize = 100;
/// The part of the time a round takes that goes into one kind of event.
const ROUND: Duration = Duration::from_millis(300);

/// A rule as its condition says it, and as a program would hold it.
enum Rule {
    Users([String; 3]),
    Tool(String),
    User(String),
}

impl Rule {
    fn new(number: usize) -> Self {
        match number % 3 {
            0 => Self::Users(["u", "v", "w"].map(|letter| format!("{letter}{number}"))),
            1 => Self::Tool(format!("/tool{number}")),
            _ => Self::User(format!("u{number}")),
        }
    }

    fn condition(&self) -> String {
        let first = match self {
            Self::Users([one, two, three]) => {
                format!("event.data.username in ['{one}', '{two}', '{three}']")
            }
            Self::Tool(tool) => format!("event.data.process.path.endsWith('{tool}')"),
            Self::User(user) => {
                format!("event.data.process.path.startsWith('/usr/') && event.data.username == '{user}'")
            }
        };
        format!("{first} && event.data.severity >= 5")
    }

    fn holds(&self, event: &Event) -> bool {
        let text = |name: &str| event.data.get(name).and_then(|value| value.as_str());
        let path = || event.data.get("process")?.get("path")?.as_str();
        let severe = || event.data.get("severity").and_then(|value| value.as_i64()) >= Some(5);
        match self {
            Self::Users(users) => {
                text("username").is_some_and(|name| users.iter().any(|user| user == name)) && severe()
            }
            Self::Tool(tool) => path().is_some_and(|path| path.ends_with(tool.as_str())) && severe(),
            Self::User(user) => {
                path().is_some_and(|path| path.starts_with("/usr/"))
                    && text("username") == Some(user)
                    && severe()
            }
        }
    }
}

fn pipeline(number: usize, on: &str, condition: &str) -> SourceFile {
    let mut text = format!("name: rule-{number}\non: [\"{on}\"]\nwhen: >-\n  {condition}\n");
    text.push_str("job:\n  expires: 7d\n  timeout: 2m\n  steps:\n");
    text.push_str("    - id: processes\n      list_processes: {}\n");
    text.push_str(
        "    - kill_process: { pid: \"{{ event.data.process.pid }}\" }\n      on_error: continue\n",
    );
    SourceFile {
        path: format!("rule-{number}.yaml"),
        text,
    }
}

fn etype(number: usize) -> String {
    format!("acme.alert.e{number}")
}

/// 700 bytes that a detector could say.
fn event(etype: &str, username: &str, path: &str) -> Result<Event, Box<dyn Error>> {
    let mut data = Map::new();
    data.insert("username".into(), json!(username));
    data.insert("process".into(), json!({"path": path, "pid": 4711, "ppid": 1}));
    data.insert("severity".into(), json!(7));
    for index in 0..12 {
        let field = json!({ "value": index, "text": "some text of an event" });
        data.insert(format!("field{index}"), field);
    }
    let payload = serde_json::to_vec(&data)?;
    Ok(Event::from_wire(&WireEvent {
        org: &"default".parse()?,
        etype: &etype.parse()?,
        headers: &[],
        payload: &payload,
        stream: "TRIPLINE_EVENTS",
        sequence: 1,
        stored_at: Timestamp::from_micros(0),
    })?)
}

/// How many pipelines match, of those that the index finds.
fn by_index(rules: &RuleSet, event: &Event) -> usize {
    let found = rules.may_match(event).into_iter();
    found
        .filter(|pipeline| pipeline.matches(event, None) == Match::Yes)
        .count()
}

/// How many pipelines match, of all that listen.
fn by_looking(rules: &RuleSet, event: &Event) -> usize {
    let listening = rules.candidates(&event.etype);
    listening
        .filter(|pipeline| pipeline.matches(event, None) == Match::Yes)
        .count()
}

/// The best time of one call.
fn best(mut run: impl FnMut() -> usize) -> Duration {
    let round = |_| {
        let start = Instant::now();
        let mut runs = 0;
        while start.elapsed() < ROUND {
            for _ in 0..16 {
                black_box(run());
            }
            runs += 16;
        }
        start.elapsed() / runs
    };
    (0..ROUNDS).map(round).min().unwrap_or_default()
}

/// Resident memory of this process.
fn resident_bytes() -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kibibytes.ok_or("no VmRSS")?.parse::<u64>()? * 1024)
}

/// Loads the files from a folder, as the server does, and says what it took.
fn load(files: &[SourceFile]) -> Result<RuleSet, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    for file in files {
        fs::write(folder.path().join(&file.path), &file.text)?;
    }
    let before = resident_bytes()?;
    let start = Instant::now();
    let rules = RuleSet::load(Some(folder.path()), None)?;
    let took = start.elapsed();
    let resident = resident_bytes()?.saturating_sub(before);
    println!(
        "{took:>12?}  to load {} pipelines from as many files",
        files.len()
    );
    println!("{:>9.1} MB  more resident memory then", resident as f64 / 1e6);
    Ok(rules)
}

fn report(cost: Duration, matched: usize, what: &str) {
    println!("{cost:>12?}  {what} ({matched} match)");
}

/// One event against the pipelines in all three ways.
fn compare(rules: &RuleSet, by_hand: &[Rule], event: &Event, what: &str) -> Result<(), Box<dyn Error>> {
    let hand = || by_hand.iter().filter(|rule| rule.holds(event)).count();
    let matched = by_index(rules, event);
    if (by_looking(rules, event), hand()) != (matched, matched) {
        return Err(format!("{what}: the three ways differ").into());
    }
    report(best(|| by_index(rules, black_box(event))), matched, what);
    let all = best(|| by_looking(rules, black_box(event)));
    report(all, matched, "    every one looked at");
    report(best(hand), matched, "    written by hand");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let all = (0..ETYPES * PIPELINES_PER_ETYPE).map(|number| {
        let condition = Rule::new(number / ETYPES).condition();
        pipeline(number, &etype(number % ETYPES), &condition)
    });
    let rules = load(&all.collect::<Vec<_>>())?;
    if std::env::args().any(|argument| argument == "load") {
        return Ok(());
    }
    let by_hand: Vec<Rule> = (0..PIPELINES_PER_ETYPE).map(Rule::new).collect();

    let unknown = event("acme.other", "u3", "/usr/bin/tool4")?;
    let cost = best(|| by_index(&rules, black_box(&unknown)));
    report(cost, 0, "an etype of which nobody wants to know");
    for (username, path, what) in [
        ("u3", "/usr/bin/tool4", "100 of the 10,000 listen, two match"),
        ("nobody", "/usr/bin/cat", "100 of the 10,000 listen, none matches"),
    ] {
        compare(&rules, &by_hand, &event(&etype(7), username, path)?, what)?;
    }

    let parse = |on: &str, condition: &dyn Fn(usize) -> String, count: usize| {
        let files: Vec<SourceFile> = (0..count)
            .map(|number| pipeline(number, on, &condition(number)))
            .collect();
        RuleSet::parse(&files, &[])
    };
    let of_all = parse(
        ">",
        &|number| Rule::new(number).condition(),
        ETYPES * PIPELINES_PER_ETYPE,
    )?;
    let by_hand: Vec<Rule> = (0..ETYPES * PIPELINES_PER_ETYPE).map(Rule::new).collect();
    compare(
        &of_all,
        &by_hand,
        &event("acme.other", "u3", "/usr/bin/tool4")?,
        "10,000 listen to every etype",
    )?;

    let mut condition = String::new();
    write!(
        condition,
        "event.data.severity > 9 || re(event.data.process.path, 'xmrig|minerd')"
    )?;
    let without_needs = parse("acme.alert.*", &|_| condition.clone(), PIPELINES_PER_ETYPE)?;
    let event = event(&etype(7), "u3", "/usr/bin/tool4")?;
    let cost = best(|| by_index(&without_needs, black_box(&event)));
    report(cost, 0, "100 listen that cannot be indexed, none matches");
    Ok(())
}
