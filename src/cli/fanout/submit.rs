//! `tripline fanout submit`: which hosts, what, and how fast.

use super::{view, watch};
use crate::cli::host::Selection;
use crate::cli::job::{Asked, What, idempotency_key};
use crate::cli::output::{Format, print, print_json};
use crate::cli::{Client, Failure, Global};
use clap::Args;
use tripline_protocol::fanout::{AutoPause, FanoutReach, FanoutView, Pace, SubmitFanout, Target};
use tripline_protocol::selector::HostSelector;
use tripline_protocol::{Org, Span};

pub(super) const EXAMPLES: &str = "Examples:
  tripline fanout submit --all --verb list_processes --dry-run
  tripline fanout submit --label dmz --platform linux --named triage --canary 5 --watch
  tripline fanout submit --hostname 'web-*' --file hunt.yaml --in-flight 20 --expires 7d
  tripline fanout submit --platform linux --named look-for-miner --standing --expires 30d

A fan-out begins on its hosts as they are attached and the pace allows. Hosts that are away get their turn when they come
back before it expires. A job file is that of tripline job submit.";

#[derive(Debug, Args)]
pub(in crate::cli) struct Submit {
    /// On every host; without it, options that choose hosts are needed
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    pace: PaceOptions,
    /// How long hosts may wait for their turn, at most 30d [default: 24h]
    #[arg(long, value_name = "SPAN")]
    expires: Option<Span>,
    /// Let hosts join that come to be such later, until it expires
    #[arg(long)]
    standing: bool,
    /// Wait for a person (tripline fanout resume) if there are more hosts than this
    #[arg(long, value_name = "N")]
    max_hosts: Option<u32>,
    /// Also on hosts with labels of hosts.protected
    #[arg(long)]
    include_protected: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The tenant whose hosts are meant
    #[arg(long)]
    org: Option<Org>,
    /// Submitting the same again with the same key gives the same fan-out
    #[arg(long, value_name = "KEY", value_parser = idempotency_key)]
    idempotency_key: Option<String>,
    /// Make nothing, and show which hosts it would have
    #[arg(long, conflicts_with_all = ["watch", "idempotency_key"])]
    dry_run: bool,
    /// Show how far it comes; exit 0 only if it succeeds
    #[arg(long)]
    watch: bool,
}

#[derive(Debug, Args)]
struct PaceOptions {
    /// On how many hosts it is under way at a time, 1 to 10000 [default: 50]
    #[arg(long, value_name = "N")]
    in_flight: Option<u32>,
    /// On how many hosts it begins within a minute, 1 to 60000 [default: as fast as --in-flight lets it]
    #[arg(long, value_name = "N")]
    per_minute: Option<u32>,
    /// On so many hosts first; the others follow when it succeeded on all of these, else it is paused
    #[arg(long, value_name = "N")]
    canary: Option<u32>,
    /// By how much it grows after the canary with each wave that went well, 2 to 100 [default: 2]
    #[arg(long, value_name = "N", requires = "canary")]
    ramp: Option<u32>,
    /// Pause it when so many of its last jobs failed, such as 3/10
    #[arg(long, value_name = "FAILED/OF", value_parser = auto_pause)]
    auto_pause: Option<AutoPause>,
}

impl PaceOptions {
    fn into_pace(self) -> Pace {
        let default = Pace::default();
        Pace {
            in_flight: self.in_flight.unwrap_or(default.in_flight),
            per_minute: self.per_minute,
            canary: self.canary,
            ramp: self.ramp.unwrap_or(default.ramp),
            auto_pause: self.auto_pause,
        }
    }
}

fn auto_pause(text: &str) -> Result<AutoPause, String> {
    let read = || {
        let (failed, of) = text.split_once('/')?;
        Some(AutoPause {
            failed: failed.parse().ok()?,
            of: of.parse().ok()?,
        })
    };
    read().ok_or_else(|| "expected two numbers, such as 3/10".to_owned())
}

pub(super) async fn run(global: &Global, client: &Client, mut arguments: Submit) -> Result<(), Failure> {
    let (is_followed, is_dry) = (arguments.watch, arguments.dry_run);
    let key = arguments.idempotency_key.take();
    let request = request(arguments)?;
    if is_dry {
        return preview(global, client, &request).await;
    }
    let fanout: FanoutView = client.post_once(&["fanouts"], &request, key.as_deref()).await?;
    if is_followed {
        return watch::follow(global, client, fanout.fanout_id).await;
    }
    match global.output {
        Format::Json => print_json(&fanout),
        Format::Table => print(&fanout.fanout_id.to_string()),
    }
}

async fn preview(global: &Global, client: &Client, request: &SubmitFanout) -> Result<(), Failure> {
    let query = [("dry_run", "true".to_owned())];
    let reach: FanoutReach = client.post_with(&["fanouts"], &query, request).await?;
    match global.output {
        Format::Json => print_json(&reach),
        Format::Table => print(&view::reach(&reach)),
    }
}

/// Which hosts are meant; that somebody means all of them has to be said.
fn target(all: bool, selection: Selection) -> Result<Target, Failure> {
    let selector = selection.into_selector();
    match (all, selector == HostSelector::default()) {
        (true, true) => Ok(Target::All),
        (false, false) => Ok(Target::Hosts(selector)),
        (true, false) => Err(Failure::Input(
            "--all is every host: give it, or options that choose hosts, not both".to_owned(),
        )),
        (false, true) => Err(Failure::Input(
            "which hosts? give --label, --platform, --hostname and the like, or --all for every host"
                .to_owned(),
        )),
    }
}

fn request(arguments: Submit) -> Result<SubmitFanout, Failure> {
    let target = target(arguments.all, arguments.selection)?;
    let Asked { job, named, params } = arguments.what.read()?;
    let request = SubmitFanout {
        org: arguments.org,
        target,
        job,
        named,
        params,
        pace: arguments.pace.into_pace(),
        expires: arguments.expires,
        standing: arguments.standing,
        max_hosts: arguments.max_hosts,
        include_protected: arguments.include_protected,
        reason: arguments.reason,
        // In a header, where the server compares what comes with a key again.
        idempotency_key: None,
    };
    request.check().map_err(Failure::Input)?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use serde_json::{Value, json};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        submit: Submit,
    }

    fn read(line: &str) -> Result<Value, String> {
        let words = ["fanout"].into_iter().chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        let request = request(line.submit).map_err(|failure| failure.lines().join("\n"))?;
        Ok(serde_json::to_value(request).expect("JSON"))
    }

    #[test]
    fn options_become_a_submission() {
        let all = read("--all --named look").expect("it is right");
        assert_eq!((&all["target"], &all["named"]), (&json!("all"), &json!("look")));
        let some = read(
            "--label dmz --label hot --platform linux --hostname web-* --attached yes --seen-within 1h --unseen-for 1m \
             --agent-version 0.1.0 --verb list_processes --in-flight 20 --per-minute 60 --canary 5 --ramp 3 \
             --auto-pause 3/10 --expires 7d --standing --max-hosts 200 --include-protected --reason x --org acme",
        )
        .expect("it is right");
        assert_eq!(
            some["target"],
            json!({
                "labels": ["dmz", "hot"], "platform": "linux", "hostname": "web-*", "attached": "yes",
                "seen_within": "1h", "unseen_for": "1m", "agent_version": "0.1.0",
            })
        );
        assert_eq!(
            some["pace"],
            json!({
                "in_flight": 20, "per_minute": 60, "canary": 5, "ramp": 3, "auto_pause": {"failed": 3, "of": 10},
            })
        );
        assert_eq!(some["job"]["name"], "list_processes");
        for (key, value) in [
            ("expires", json!("7d")),
            ("standing", json!(true)),
            ("max_hosts", json!(200)),
            ("include_protected", json!(true)),
            ("reason", json!("x")),
            ("org", json!("acme")),
        ] {
            assert_eq!(some[key], value, "{key}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_before_anything_is_sent() {
        for (line, told) in [
            ("--named look", "which hosts?"),
            ("--all --platform linux --named look", "not both"),
            ("--all", "--file <FILE>|--named <NAME>|--verb <VERB>"),
            ("--all --named look --ramp 3", "--canary"),
            ("--all --named look --auto-pause 3", "such as 3/10"),
            (
                "--all --named look --auto-pause 5/3",
                "auto_pause.failed is 5, expected 1 to 3",
            ),
            ("--all --named look --in-flight 10001", "in_flight is 10001"),
            ("--all --named look --expires 31d", "expires is 31d"),
            ("--all --named look --max-hosts 0", "max_hosts is 0"),
            ("--all --named look --dry-run --watch", "cannot be used with"),
        ] {
            let refused = read(line).expect_err(line);
            assert!(refused.contains(told), "{line}: {refused}");
        }
    }
}
