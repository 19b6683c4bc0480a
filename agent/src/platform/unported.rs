//! An operating system that nobody has written a module for yet: the agent enrols and attaches there, offers no verb,
//! watches nothing, and says so.

use super::{
    Booted, Doomed, Ending, Facts, Listed, Look, OwnUse, Platform, ProcessSpec, SeenProcess, StagedFile, own,
};
use crate::policy::Policy;
use crate::stop::Stop;
use std::fs::File;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tripline_protocol::verb::{DirectoryEntry, KillProcess, ProcessEntry, ProcessOutcome, Verb};
use tripline_protocol::{CommandId, Fault, RemotePath};

/// Where some systems keep the host's name for every program.
const NAME_VARIABLES: [&str; 2] = ["COMPUTERNAME", "HOSTNAME"];

/// The platform of an operating system without a module.
#[derive(Debug, Clone, Copy)]
pub struct Unported;

/// The answer to everything.
fn unsupported(what: &str) -> Fault {
    let system = std::env::consts::OS;
    let text = format!("{what} is not there on {system}: this agent has no module for that system yet");
    Fault::unsupported("unsupported_verb", text)
}

impl Platform for Unported {
    fn facts(&self) -> Facts {
        Facts {
            hostname: self.full_hostname(),
            ..Facts::unknown()
        }
    }

    fn verbs(&self) -> &'static [Verb] {
        &[]
    }

    fn lacks(&self) -> Vec<String> {
        let why = format!(
            "no module is written for {} yet: this agent offers no verb and watches no processes",
            std::env::consts::OS
        );
        std::iter::once(why)
            .chain(own::lacks().map(str::to_owned))
            .collect()
    }

    fn can_watch(&self) -> bool {
        false
    }

    fn open_file(&self, _: &RemotePath, _: &Policy) -> Result<File, Fault> {
        Err(unsupported("reading files"))
    }

    fn stage_file(&self, _: &RemotePath, _: &str, _: &Policy) -> Result<Box<dyn StagedFile>, Fault> {
        Err(unsupported("writing files"))
    }

    /// No file was ever begun here.
    fn remove_leftover(&self, _: &[u8]) -> Result<(), Fault> {
        Ok(())
    }

    fn delete_file(&self, _: &RemotePath, _: &Policy) -> Result<(), Fault> {
        Err(unsupported("removing files"))
    }

    fn create_directory(&self, _: &RemotePath, _: bool, _: &Policy) -> Result<(), Fault> {
        Err(unsupported("making directories"))
    }

    fn list_directory(&self, _: &RemotePath, _: &Policy, _: &Stop) -> Result<Listed<DirectoryEntry>, Fault> {
        Err(unsupported("listing directories"))
    }

    fn walk(&self, _: &RemotePath, _: u32, _: &Policy, _: &Stop) -> Result<Listed<DirectoryEntry>, Fault> {
        Err(unsupported("listing directories"))
    }

    fn list_processes(&self, _: &Stop) -> Result<Listed<ProcessEntry>, Fault> {
        Err(unsupported("listing processes"))
    }

    fn booted(&self) -> Result<Booted, Fault> {
        Err(unsupported("the time of the boot"))
    }

    fn scan_processes(&self, _: &dyn Fn(u32) -> Look) -> Result<Vec<SeenProcess>, Fault> {
        Err(unsupported("watching processes"))
    }

    fn end_processes(&self, doomed: &[Doomed], _: Duration, _: &Stop) -> Vec<Ending> {
        let spared = || Ending::Spared(unsupported("ending processes").text);
        doomed.iter().map(|_| spared()).collect()
    }

    fn own_use(&self) -> Result<OwnUse, Fault> {
        Err(unsupported("what this agent uses"))
    }

    /// Since this was first asked: as good where only differences count.
    fn since_boot(&self) -> Duration {
        static FIRST_ASKED: OnceLock<Instant> = OnceLock::new();
        FIRST_ASKED.get_or_init(Instant::now).elapsed()
    }

    fn full_hostname(&self) -> String {
        let named = NAME_VARIABLES.iter().find_map(|name| std::env::var(name).ok());
        named
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| Facts::unknown().hostname)
    }

    fn kill_process(&self, _: &KillProcess, _: &Stop) -> Result<(), Fault> {
        Err(unsupported("ending processes"))
    }

    fn run_process(
        &self,
        _: &ProcessSpec,
        _: &Policy,
        _: &Stop,
        _: &dyn Fn(u32),
    ) -> Result<ProcessOutcome, Fault> {
        Err(unsupported("starting programs"))
    }

    fn start_process(&self, _: &ProcessSpec, _: &Policy) -> Result<u32, Fault> {
        Err(unsupported("starting programs"))
    }

    /// No program was ever started here.
    fn end_leftovers(&self, _: CommandId, _: u32) -> usize {
        0
    }
}

/// The fault for a host error about `path`: the standard library's word for it, as no errno is known.
#[cfg(any(test, not(target_os = "linux")))]
pub(super) fn host_fault(error: &std::io::Error, path: &str) -> Fault {
    Fault::live_response(format!("{:?}", error.kind()), format!("{error}: {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tripline_protocol::FaultClass;

    #[test]
    fn it_announces_nothing_and_says_why() {
        assert!(Unported.verbs().is_empty() && !Unported.can_watch());
        assert!(Policy::default().announced(Unported.verbs()).is_empty());
        let lacks = Unported.lacks();
        assert!(lacks[0].contains("no module is written for"), "{lacks:?}");
    }

    #[test]
    fn what_is_asked_of_it_all_the_same_is_unsupported_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = RemotePath::from(dir.path().join("new").to_str().unwrap());
        let (policy, stop) = (Policy::default(), Stop::after(Duration::MAX));
        let faults = [
            Unported.open_file(&path, &policy).map(drop),
            Unported.stage_file(&path, "temporary", &policy).map(drop),
            Unported.delete_file(&path, &policy),
            Unported.create_directory(&path, true, &policy),
            Unported.list_directory(&path, &policy, &stop).map(drop),
            Unported.walk(&path, 1, &policy, &stop).map(drop),
            Unported.list_processes(&stop).map(drop),
            Unported.booted().map(drop),
            Unported.scan_processes(&|_| Look::Name).map(drop),
            Unported.own_use().map(drop),
        ];
        for fault in faults.map(|done| done.unwrap_err()) {
            assert_eq!(fault.class, FaultClass::Unsupported, "{fault}");
            assert!(fault.text.contains("has no module"), "{fault}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn nobody_is_ended_and_everybody_is_answered_for() {
        let doomed = [1, 2].map(|pid| Doomed {
            pid,
            started_exact: 0,
            uid: 0,
        });
        let stop = Stop::after(Duration::MAX);
        let endings = Unported.end_processes(&doomed, Duration::ZERO, &stop);
        assert_eq!(endings.len(), 2);
        assert!(endings.iter().all(|ending| matches!(ending, Ending::Spared(_))));
    }

    #[test]
    fn it_knows_that_time_goes_on() {
        let first = Unported.since_boot();
        assert!(Unported.since_boot() >= first);
    }

    #[test]
    fn a_host_error_keeps_its_kind() {
        let error = std::io::Error::from(std::io::ErrorKind::NotFound);
        let fault = host_fault(&error, "C:\\nowhere");
        assert_eq!(
            (fault.class, &*fault.code),
            (FaultClass::LiveResponse, "NotFound")
        );
        assert!(fault.text.ends_with(": C:\\nowhere"));
    }
}
