//! What live response can do on a client: list the processes that count, and end one of those it reported.

use super::changes::{Changes, Context};
use super::clock::seconds;
use super::process::{Key, Process};
use super::saved::SavedKill;
use super::{KILLS_MAX, State};
use tripline_protocol::limit::LIST_ENTRIES_MAX;
use tripline_protocol::littlebrother::{DEFAULT_GROUP, LoginMapping};
use tripline_protocol::verb::{KillProcess, ProcessEntry, ProcessListing};
use tripline_protocol::{CommandId, Fault, Timestamp};
use uuid::Uuid;

/// Seconds a start time may differ: it is rounded, and found with the client's clock.
const START_TOLERANCE_S: u64 = 2;

/// A process that a command can mean.
struct Target {
    key: Key,
    username: Option<Box<str>>,
    /// Of a prohibited one.
    reported_at: Option<Timestamp>,
}

impl State {
    /// A `kill_process` of live response. On success it is under way
    /// ([`Outcome::killed`](super::Outcome::killed) tells its end) and must be stored before the caller lets
    /// anything else happen; the same command again changes nothing. Its deadline is the caller's matter
    /// ([`State::forget_kill`]); `wait` is not looked at: a client needs several messages for it.
    ///
    /// # Errors
    /// No such process (`ESRCH`), another one with that pid (`recycled_pid`), too many commands.
    pub(crate) fn kill(
        &mut self,
        command_id: CommandId,
        args: &KillProcess,
        context: &Context<'_>,
    ) -> Result<Changes, Fault> {
        if self.kills.get(command_id).is_some() {
            return Ok(Changes::default());
        }
        if self.kills.len() >= KILLS_MAX {
            let text = format!("{KILLS_MAX} processes of this host are being ended already");
            return Err(Fault::server("too_many_kills", text));
        }
        let target = self.target(args, context)?;
        self.kills.add(SavedKill {
            command_id,
            key: target.key,
            username: target.username,
            quiet_since: target.reported_at.map(|_| context.now),
            reported_at: target.reported_at,
            done: false,
        });
        Ok(Changes {
            saved: true,
            rows: Vec::new(),
        })
    }

    /// The process meant: of several with this pid the one that started last, as the others must have ended.
    fn target(&self, args: &KillProcess, context: &Context<'_>) -> Result<Target, Fault> {
        let what = format!("process {}", args.pid);
        let mut targets = self.targets(args.pid, context.now);
        let Some(latest) = targets.iter().map(|target| target.key.start).max() else {
            let text = format!("{what}: none of the processes this host reports");
            return Err(Fault::live_response("ESRCH", text));
        };
        let started_at = |target: &Target| self.started_at(&target.key, context);
        match args.start_time {
            None => targets.retain(|target| target.key.start == latest),
            Some(asked) => {
                targets.retain(|target| started_at(target).abs_diff(asked) <= START_TOLERANCE_S);
            }
        }
        targets.pop().ok_or_else(|| {
            let started = Key {
                pid: args.pid,
                start: latest,
            };
            let started = self.started_at(&started, context);
            let asked = args.start_time.unwrap_or_default();
            let text = format!("{what} started at {started}, not at {asked}: it is another process");
            Fault::live_response("recycled_pid", text)
        })
    }

    fn targets(&self, pid: u32, now: Timestamp) -> Vec<Target> {
        let reported = self.kills.reported_with(pid, now).map(|report| Target {
            key: report.key,
            username: report.username.clone(),
            reported_at: Some(report.at),
        });
        let open = self.table.open().filter(|(key, _)| key.pid == pid);
        let open = open.map(|(key, process)| Target {
            key: *key,
            username: process.username.clone(),
            reported_at: None,
        });
        reported.chain(open).collect()
    }

    /// Unix seconds of a start, by our clock.
    fn started_at(&self, key: &Key, context: &Context<'_>) -> i64 {
        seconds(self.clock.instant(key.start, &context.settings.zone))
    }

    /// `list_processes`, from the open entries.
    pub(crate) fn processes(&self, context: &Context<'_>) -> ProcessListing {
        let entry = |(key, process): (&Key, &Process)| self.entry(key, process, context);
        let processes: Vec<ProcessEntry> = self.table.open().take(LIST_ENTRIES_MAX).map(entry).collect();
        ProcessListing {
            omitted: (self.table.open_count() - processes.len()) as u64,
            processes,
        }
    }

    fn entry(&self, key: &Key, process: &Process, context: &Context<'_>) -> ProcessEntry {
        let text = |text: &Option<Box<str>>| text.as_deref().unwrap_or_default().to_owned();
        let username = text(&process.username);
        ProcessEntry {
            pid: key.pid,
            parent: 0,
            path: text(&process.name),
            command_line: text(&process.name),
            sid: uid(&context.settings.mappings, &username).map_or_else(String::new, |uid| uid.to_string()),
            username,
            create_time: self.started_at(key, context),
            proc_guid: Uuid::new_v5(&self.own.0, &key.to_bytes()).to_string(),
            parent_guid: Uuid::nil().to_string(),
        }
    }
}

/// The uid of a login. The group of a client is known to itself only: the default group goes before others.
fn uid(mappings: &[LoginMapping], login: &str) -> Option<u32> {
    let find = |mapping: &LoginMapping| {
        let mut entries = mapping.entries.iter();
        entries.find(|(known, _)| known == login).map(|(_, uid)| *uid)
    };
    let default = mappings
        .iter()
        .filter(|mapping| mapping.server_group == DEFAULT_GROUP);
    default.chain(mappings).find_map(find)
}
