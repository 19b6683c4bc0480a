//! `tripline pipeline try`: what the pipelines of a file make of an event, without a server.

use crate::cli::event::{read, unreadable};
use crate::cli::output::{Format, print, print_json, table};
use crate::cli::{Failure, Global};
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::SystemTime;
use tripline_actors::pipeline::{GivenEvent, HostGiven, RuleSet};
use tripline_actors::trial::{Outcome, Trial, TriedJob};
use tripline_protocol::event::WireEvent;
use tripline_protocol::limit::EVENT_BYTES_MAX;
use tripline_protocol::step::StepVerb;
use tripline_protocol::{Etype, Event, Name, Org, Span, Timestamp};

/// Most times that an event is given.
const REPEAT_MAX: u32 = 1_000;
/// What stands for stdin.
const STDIN: &str = "-";

#[derive(Debug, Args)]
pub(in crate::cli) struct Try {
    /// File of pipelines
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The event: JSON, a file of it, or - for stdin
    #[arg(long, value_name = "JSON|FILE|-")]
    event: String,
    /// Its host, as in tests of pipelines: JSON, a file of it, - for stdin, or none [default: a Linux host]
    #[arg(long, value_name = "JSON|FILE|-|none")]
    host: Option<String>,
    /// Folder of named jobs that the pipelines use
    #[arg(long, value_name = "DIR")]
    jobs: Option<PathBuf>,
    /// The event is what is published on this etype
    #[arg(long)]
    etype: Option<Etype>,
    /// Its tenant [default: what the event says, else default]
    #[arg(long)]
    org: Option<Org>,
    /// How often it comes, each time as another event
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(REPEAT_MAX)))]
    repeat: u32,
    /// How long after the time before
    #[arg(long, value_name = "SPAN", default_value = "1s")]
    every: Span,
}

/// What one pipeline makes of one event.
#[derive(Debug, Serialize)]
struct Tried {
    pipeline: Name,
    /// Which time it is, from 1.
    time: u32,
    handled_at: Timestamp,
    #[serde(flatten)]
    outcome: Outcome,
}

pub(in crate::cli) fn try_out(global: &Global, arguments: &Try) -> Result<(), Failure> {
    let tried = tried(arguments)?;
    match global.output {
        Format::Json => print_json(&json!({ "tried": tried })),
        Format::Table => print(&shown(&tried)),
    }
}

fn tried(arguments: &Try) -> Result<Vec<Tried>, Failure> {
    let rules = RuleSet::load_file(&arguments.file, arguments.jobs.as_deref());
    let rules = rules.map_err(|error| {
        let lines = error.to_string();
        Failure::Problems(lines.lines().map(str::to_owned).collect())
    })?;
    let given = given(arguments)?;
    let mut tried = Vec::new();
    for pipeline in rules.pipelines() {
        let mut trial = Trial::of(pipeline);
        for time in 0..arguments.repeat {
            let later = arguments.every.as_millis().saturating_mul(time.into());
            let given = match time {
                0 => given.clone(),
                _ => given.again(time + 1, Span::from_millis(later)),
            };
            let outcome = trial.give(&given);
            tried.push(Tried {
                pipeline: pipeline.name().clone(),
                time: time + 1,
                handled_at: given.now(),
                outcome: outcome.map_err(|refusal| Failure::Failed(refusal.to_string()))?,
            });
        }
    }
    Ok(tried)
}

fn given(arguments: &Try) -> Result<GivenEvent, Failure> {
    if arguments.event == STDIN && arguments.host.as_deref() == Some(STDIN) {
        let text = "only one of --event and --host can be -, stdin is read once";
        return Err(Failure::Input(text.to_owned()));
    }
    let host = match &arguments.host {
        Some(host) => Some(host_given(host)?),
        None => None,
    };
    let (name, text) = text_of(&arguments.event, "--event")?;
    let mut event: Value = json_of(&name, &text)?;
    let is_cloud_event = event.get("specversion").is_some();
    if arguments.etype.is_none() && !is_cloud_event {
        if let (Some(event), Some(org)) = (event.as_object_mut(), &arguments.org) {
            event.insert("org".to_owned(), json!(org));
        }
        return GivenEvent::from_json(&event, host.as_ref()).map_err(|problems| refused(&name, &problems));
    }
    let etype = match &arguments.etype {
        Some(etype) => etype.clone(),
        None => {
            let etype = event.get("type").and_then(Value::as_str).unwrap_or_default();
            etype
                .parse()
                .map_err(|error| refused(&name, &[format!("type: {error}")]))?
        }
    };
    let org = arguments.org.clone().unwrap_or_else(Org::default_org);
    let wire = WireEvent {
        org: &org,
        etype: &etype,
        headers: &[],
        payload: text.as_bytes(),
        stream: "try",
        sequence: 1,
        stored_at: SystemTime::now().into(),
    };
    let event = Event::from_wire(&wire).map_err(|error| refused(&name, &[error.to_string()]))?;
    Ok(GivenEvent::new(event, host.as_ref()))
}

fn host_given(given: &str) -> Result<HostGiven, Failure> {
    if given == "none" {
        return Ok(HostGiven::Nobody);
    }
    let (name, text) = text_of(given, "--host")?;
    HostGiven::from_json(&json_of(&name, &text)?).map_err(|problems| refused(&name, &problems))
}

/// The text that an argument is or leads to, and what it is called in messages.
fn text_of(given: &str, argument: &str) -> Result<(String, String), Failure> {
    let (name, text) = match given {
        STDIN => ("stdin".to_owned(), read(Ok(std::io::stdin()))),
        given if given.trim_start().starts_with('{') => (argument.to_owned(), Ok(given.to_owned())),
        path => {
            let path = path.strip_prefix('@').unwrap_or(path);
            (path.to_owned(), read(std::fs::File::open(path)))
        }
    };
    let text = text.map_err(|error| unreadable(&name, &error))?;
    match text.len() > EVENT_BYTES_MAX {
        true => Err(Failure::Input(format!(
            "{name} is longer than {EVENT_BYTES_MAX} bytes"
        ))),
        false => Ok((name, text)),
    }
}

fn json_of(name: &str, text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::Input(format!("{name} is not JSON: {error}")))
}

fn refused(name: &str, problems: &[String]) -> Failure {
    let lines = problems.iter().map(|problem| format!("{name}: {problem}"));
    Failure::Problems(lines.collect())
}

/// The decisions, and the steps of the first job of each pipeline.
fn shown(tried: &[Tried]) -> String {
    let rows = tried.iter().map(|one| {
        [
            one.pipeline.to_string(),
            one.time.to_string(),
            one.handled_at.to_string(),
            one.outcome.decided.word().to_owned(),
            one.outcome.decided.to_string(),
        ]
    });
    let mut shown = table(["PIPELINE", "TIME", "HANDLED AT", "DECISION", "WHY"], rows);
    let mut before = None;
    for one in tried {
        if let Some(job) = one.outcome.job().filter(|_| before != Some(&one.pipeline)) {
            before = Some(&one.pipeline);
            shown.push_str(&format!("\n\n{}", steps(&one.pipeline, job)));
        }
    }
    shown
}

fn steps(pipeline: &Name, job: &TriedJob) -> String {
    let finally = job.finally.iter().map(|step| ("finally ", step));
    let steps = job.steps.iter().map(|step| ("", step)).chain(finally);
    let rows = steps.map(|(part, step)| {
        let verb = step.as_object().into_iter().flatten();
        let verb = verb
            .filter(|(key, _)| key.parse::<StepVerb>().is_ok())
            .map(|(key, arguments)| (key.clone(), arguments.to_string()))
            .next();
        let (verb, arguments) = verb.unwrap_or_default();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let of = |key: &str| step.get(key).map(text).unwrap_or_default();
        [
            pipeline.to_string(),
            format!("{part}{}", of("id")),
            verb,
            of("when"),
            arguments,
        ]
    });
    table(["PIPELINE", "STEP", "DOES", "WHEN", "WITH"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Try,
    }

    const PIPELINE: &str = "\
name: p
on: acme.alert
when: event.data.severity >= 7 && host.platform == \"linux\"
suppress: { per: 30s }
job: { steps: [ { id: kill, kill_process: { pid: \"{{ event.data.pid }}\" } } ], finally: [ unisolate: {} ] }
---
name: q
on: [other, acme.>]
dry_run: true
job: triage
";
    const TRIAGE: &str = "name: triage\nsteps: [ list_processes: {} ]\n";

    /// What is tried with these arguments, in a folder with `p.yaml` and `jobs`.
    fn with(arguments: &[&str]) -> Result<Vec<Tried>, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("jobs")).unwrap();
        std::fs::write(path("jobs/triage.yaml"), TRIAGE).unwrap();
        std::fs::write(path("p.yaml"), PIPELINE).unwrap();
        std::fs::write(path("host.json"), "{\"hostname\": \"web-1\"}").unwrap();
        let (file, jobs) = (path("p.yaml"), path("jobs"));
        let here = arguments
            .iter()
            .map(|argument| match argument.strip_prefix("HERE/") {
                Some(name) => path(name).display().to_string(),
                None => (*argument).to_owned(),
            });
        let first = ["try", file.to_str().unwrap(), "--jobs", jobs.to_str().unwrap()];
        let line = first.into_iter().map(str::to_owned).chain(here);
        tried(&Line::try_parse_from(line).unwrap().arguments)
    }

    fn words(tried: &[Tried]) -> Vec<(&str, &str)> {
        let word = |one: &'_ Tried| one.outcome.decided.word();
        tried
            .iter()
            .map(|one| (one.pipeline.as_str(), word(one)))
            .collect()
    }

    const EVENT: &str = "{\"etype\": \"acme.alert\", \"data\": {\"severity\": 9, \"pid\": 42}}";

    #[test]
    fn every_pipeline_of_the_file_says_what_it_makes_of_the_event() {
        let tried = with(&["--event", EVENT, "--host", "HERE/host.json"]).unwrap();
        assert_eq!(words(&tried), [("p", "acts"), ("q", "dry_run")]);
        let shown = shown(&tried);
        for part in [
            "it acts: job p on web-1",
            "it would act: job triage on web-1",
            "kill_process  true  {\"pid\":42}",
            "finally finally1",
        ] {
            assert!(shown.contains(part), "{part}:\n{shown}");
        }
        assert_eq!(json!(tried[1])["decision"], "acts");
        assert_eq!(json!(tried[1])["dry_run"], true);
    }

    #[test]
    fn a_pipeline_that_does_not_act_says_why() {
        let low = EVENT.replace('9', "3");
        let tried = with(&["--event", &low, "--host", "none"]).unwrap();
        assert_eq!(words(&tried), [("p", "condition"), ("q", "no_host")]);
        let why = tried[0].outcome.decided.to_string();
        assert_eq!(
            why,
            "its condition does not hold: event.data.severity >= 7 is false; event.data.severity is 3 (part 1 of 2)"
        );
    }

    #[test]
    fn an_event_that_comes_again_meets_the_guards() {
        let tried = with(&["--event", EVENT, "--repeat", "4", "--every", "15s"]).unwrap();
        let of_p = words(&tried)[..4].to_vec();
        let acts = ["acts", "suppressed", "acts", "suppressed"];
        assert_eq!(of_p, acts.map(|word| ("p", word)));
        let at = |index: usize| tried[index].handled_at.to_string();
        assert_eq!(
            (at(0), at(3)),
            (
                "2026-01-01T00:00:00Z".to_owned(),
                "2026-01-01T00:00:45Z".to_owned()
            )
        );
    }

    #[test]
    fn a_cloud_event_and_what_is_published_are_understood_too() {
        let old = "{\"specversion\": \"1.0\", \"id\": \"1\", \"source\": \"s\", \"type\": \"acme.alert\", \
                   \"time\": \"2020-01-01T00:00:00Z\", \"data\": {\"severity\": 9, \"pid\": 1}}";
        let tried = with(&["--event", old]).unwrap();
        assert_eq!(
            words(&tried),
            [("p", "acts"), ("q", "dry_run")],
            "it is as old as when it happened"
        );
        let bare = [
            "--etype",
            "acme.alert",
            "--org",
            "acme",
            "--event",
            "{\"severity\": 9, \"pid\": 1}",
        ];
        assert_eq!(words(&with(&bare).unwrap())[0], ("p", "acts"));
    }

    #[test]
    fn what_is_no_event_no_host_or_no_pipeline_is_bad_input() {
        let of = |arguments: &[&str]| {
            let failure = with(arguments).unwrap_err();
            assert_eq!(failure.code(), 2);
            failure.lines().join("\n")
        };
        let told = of(&["--event", "{\"data\": 3}"]);
        assert!(
            told.starts_with("--event: the key \"etype\" is missing"),
            "{told}"
        );
        let told = of(&["--event", "{"]);
        assert!(told.contains("--event is not JSON: "), "{told}");
        let told = of(&["--event", "HERE/missing.json"]);
        assert!(told.contains("cannot read "), "{told}");
        let told = of(&["--event", EVENT, "--host", "{\"platfrom\": 1}"]);
        assert!(told.starts_with("--host: unknown key \"platfrom\""), "{told}");
        let line = Line::try_parse_from(["try", "/nonexistent/p.yaml", "--event", EVENT]).unwrap();
        let told = tried(&line.arguments).unwrap_err();
        assert_eq!(told.code(), 2);
        assert!(
            told.lines()[0].starts_with("/nonexistent/p.yaml: failed to read the file: "),
            "{told:?}"
        );
        let told = of(&["--event", "-", "--host", "-"]);
        assert!(told.contains("only one of --event and --host can be -"), "{told}");
        let told = of(&["--etype", "acme.alert", "--event", "{\"specversion\": \"2.0\"}"]);
        assert!(told.contains("only 1.0 is understood"), "{told}");
    }

    #[test]
    fn an_event_is_given_so_often_and_no_more() {
        let line = |repeat: &str| {
            let line = ["try", "p.yaml", "--event", "{}", "--repeat", repeat];
            Line::try_parse_from(line)
        };
        assert!(line("1000").is_ok());
        for wrong in ["0", "1001"] {
            assert!(line(wrong).is_err(), "{wrong}");
        }
    }
}
