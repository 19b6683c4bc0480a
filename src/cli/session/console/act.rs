//! What each command does on its host. Files go by `transfer`; how results look is in `show`.

use super::grammar::{Command, Exec, RegSet, bytes};
use super::listings::Known;
use super::path::Place;
use super::show;
use super::transfer;
use super::words::quote;
use crate::cli::session::view;
use crate::cli::{Failure, refusal};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;
use tripline_client::{Host, Session};
use tripline_protocol::RemotePath;
use tripline_protocol::verb::{
    CreateDirectory, CreateProcess, DirectoryListing, Isolate, Isolated, KillProcess, Memdump, MemoryDumped,
    NoArguments, PathOnly, ProcessListing, ProcessOutcome, RegistryListing, RegistryPath, RegistryValue,
    SetRegistryValue, Unisolated, VerbCall, Walk,
};

/// How long verbs may take that look at much or write much.
const LONG: Duration = Duration::from_secs(3600);

/// What a command acts on.
pub(super) struct Scene<'a> {
    pub(super) session: &'a Session,
    pub(super) host: &'a Host,
    pub(super) known: &'a Known,
    pub(super) place: &'a mut Place,
    /// Whether a person looks at stderr, and progress is shown there.
    pub(super) show_progress: bool,
}

/// What a command brought.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Done {
    /// For programs.
    pub(super) json: Value,
    /// For people, and as bytes for whatever stdout is when it is no terminal.
    pub(super) out: Vec<u8>,
    /// For stderr: errors of the program that ran, and notes about the output.
    pub(super) notes: Vec<u8>,
    /// A program ran and did not succeed.
    pub(super) failed: bool,
}

impl Done {
    /// The same for people, in whole lines, and programs.
    pub(super) fn new(json: impl serde::Serialize, text: impl Into<String>) -> Self {
        let mut text: String = text.into();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        Self::raw(json, text)
    }

    /// Bytes of the host, as they are.
    pub(super) fn raw(json: impl serde::Serialize, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            json: serde_json::to_value(json).unwrap_or_default(),
            out: bytes.into(),
            ..Self::default()
        }
    }

    /// Of verbs that only do something: people see that there was no error.
    fn quiet() -> Self {
        Self::new(json!({}), "")
    }
}

impl Scene<'_> {
    /// Carries a command out.
    pub(super) async fn act(&mut self, command: &Command) -> Result<Done, Failure> {
        let done = self.carry_out(command).await;
        if command.changes_files() {
            self.known.forget();
        }
        done
    }

    async fn carry_out(&mut self, command: &Command) -> Result<Done, Failure> {
        match command {
            Command::Ls { path } => self.list(self.path_or_here(path.as_deref())).await,
            Command::Cd { path } => self.enter(path.as_deref()).await,
            Command::Pwd => Ok(self.here()),
            Command::Cat { path } => transfer::cat(self.session, self.path(path)).await,
            Command::Get(get) => transfer::get(self, get).await,
            Command::Put(put) => transfer::put(self, put).await,
            Command::Rm { path } => self.only(VerbCall::DeleteFile(at(self.path(path)))).await,
            Command::Mkdir { parents, path } => {
                let (path, parents) = (self.path(path), *parents);
                let call = CreateDirectory { path, parents };
                self.only(VerbCall::CreateDirectory(call)).await
            }
            Command::Walk { path, depth } => {
                let path = self.path_or_here(path.as_deref());
                let depth_max = *depth;
                let listing: DirectoryListing = self.run(VerbCall::Walk(Walk { path, depth_max })).await?;
                Ok(Done::new(&listing, show::listing(&listing)))
            }
            Command::Ps { text } => self.processes(text.as_deref()).await,
            Command::Kill { pid } => {
                let call = KillProcess {
                    pid: *pid,
                    start_time: None,
                    wait: None,
                };
                self.only(VerbCall::KillProcess(call)).await
            }
            Command::Exec(exec) => self.exec(exec).await,
            Command::Memdump { path, pid, compress } => {
                let call = Memdump {
                    path: self.path(path),
                    pid: *pid,
                    start_time: None,
                    compress: *compress,
                };
                let target = call.target().to_lossy();
                let dumped: MemoryDumped = self.run(VerbCall::Memdump(call)).await?;
                Ok(Done::new(&dumped, show::memory(&dumped, &target)))
            }
            Command::Isolate {
                lasts,
                persist,
                allow,
            } => {
                let call = VerbCall::Isolate(Isolate {
                    lasts: Some(*lasts),
                    persist: *persist,
                    allow: allow.clone(),
                });
                let isolated: Isolated = self.run(call).await?;
                Ok(Done::new(&isolated, format!("isolated until {}", isolated.until)))
            }
            Command::Unisolate => {
                let ended: Unisolated = self.run(VerbCall::Unisolate(NoArguments {})).await?;
                let text = if ended.was_isolated {
                    ""
                } else {
                    "it was not isolated"
                };
                Ok(Done::new(&ended, text))
            }
            Command::RegLs { key } => {
                let call = VerbCall::ListRegistryKeysAndValues(registry(key));
                let listing: RegistryListing = self.run(call).await?;
                Ok(Done::new(&listing, show::registry(&listing)))
            }
            Command::RegGet { value } => {
                let value: RegistryValue = self.run(VerbCall::GetRegistryValue(registry(value))).await?;
                Ok(Done::new(&value, show::data(&value)))
            }
            Command::RegSet(set) => self.only(VerbCall::SetRegistryValue(registry_value(set))).await,
            Command::RegRm { value } => self.only(VerbCall::DeleteRegistryValue(registry(value))).await,
            Command::RegMkkey { key } => self.only(VerbCall::CreateRegistryKey(registry(key))).await,
            Command::RegRmkey { key } => self.only(VerbCall::DeleteRegistryKey(registry(key))).await,
            Command::Info => self.info().await,
            Command::Transcript => self.transcript().await,
            // The console itself does these.
            Command::Reopen | Command::Exit => Ok(Done::quiet()),
        }
    }

    pub(super) fn path(&self, given: &std::ffi::OsStr) -> RemotePath {
        self.place.path(bytes(given))
    }

    fn path_or_here(&self, given: Option<&std::ffi::OsStr>) -> RemotePath {
        self.place.path(given.map(bytes).unwrap_or_default())
    }

    /// Runs a verb and reads what it returned.
    async fn run<T: DeserializeOwned>(&self, call: VerbCall) -> Result<T, Failure> {
        let call = call.checked().map_err(|error| Failure::input(&error))?;
        let verb = call.verb();
        let output = self
            .session
            .run(call)
            .timeout(LONG)
            .await
            .map_err(refusal::failure)?;
        serde_json::from_value(output)
            .map_err(|error| Failure::Failed(format!("the output of {verb} cannot be read: {error}")))
    }

    /// Runs a verb that returns nothing.
    async fn only(&self, call: VerbCall) -> Result<Done, Failure> {
        self.run::<Value>(call).await?;
        Ok(Done::quiet())
    }

    async fn list(&self, path: RemotePath) -> Result<Done, Failure> {
        let listing = self.listed(path).await?;
        Ok(Done::new(&listing, show::listing(&listing)))
    }

    async fn listed(&self, path: RemotePath) -> Result<DirectoryListing, Failure> {
        let listing: DirectoryListing = self.run(VerbCall::ListDirectory(at(path.clone()))).await?;
        self.known.keep(path.as_bytes(), &listing);
        Ok(listing)
    }

    async fn enter(&mut self, given: Option<&std::ffi::OsStr>) -> Result<Done, Failure> {
        let entered = match given {
            Some(given) => self.place.entered(bytes(given)),
            None => Place::root(self.place.style()),
        };
        // Only what can be listed is a place to be.
        self.listed(RemotePath::from(entered.directory().to_vec()))
            .await?;
        *self.place = entered;
        let place = self.place.clone();
        self.known.change(|known| known.place = place);
        Ok(Done::new(RemotePath::from(self.place.directory().to_vec()), ""))
    }

    fn here(&self) -> Done {
        let directory = self.place.directory();
        Done::new(RemotePath::from(directory.to_vec()), quote(directory))
    }

    async fn processes(&self, text: Option<&str>) -> Result<Done, Failure> {
        let mut listing: ProcessListing = self.run(VerbCall::ListProcesses(NoArguments {})).await?;
        listing.processes.retain(|process| show::has(process, text));
        Ok(Done::new(&listing, show::processes(&listing)))
    }

    async fn exec(&self, exec: &Exec) -> Result<Done, Failure> {
        let argv = exec
            .argv
            .iter()
            .map(|word| RemotePath::from(word.clone().into_vec()));
        let call = VerbCall::CreateProcess(CreateProcess {
            argv: Some(argv.collect()),
            working_directory: Some(RemotePath::from(self.place.directory().to_vec())),
            wait: Some(!exec.no_wait),
            ..CreateProcess::default()
        });
        let call = call.checked().map_err(|error| Failure::input(&error))?;
        let command = self.session.run(call).timeout(exec.timeout.to_duration());
        let output = command.await.map_err(refusal::failure)?;
        let outcome: ProcessOutcome = serde_json::from_value(output.clone()).map_err(|error| {
            Failure::Failed(format!("the outcome of the program cannot be read: {error}"))
        })?;
        let mut notes = show::captured(outcome.stderr.as_ref());
        if !notes.is_empty() && !notes.ends_with(b"\n") {
            notes.push(b'\n');
        }
        notes.extend(show::ending(&outcome).into_bytes());
        Ok(Done {
            json: output,
            out: show::captured(outcome.stdout.as_ref()),
            notes,
            failed: !exec.no_wait && outcome.exit_code != Some(0),
        })
    }

    async fn info(&self) -> Result<Done, Failure> {
        let session = self.session.refreshed().await.map_err(refusal::failure)?;
        let host = self.host.refreshed().await.map_err(refusal::failure)?;
        let host = host.view();
        let text = view::show_with_host(&session, host);
        Ok(Done::new(json!({"session": session, "host": host}), text))
    }

    async fn transcript(&self) -> Result<Done, Failure> {
        let commands = self.session.commands().list().await.map_err(refusal::failure)?;
        Ok(Done::new(&commands, view::transcript(&commands)))
    }
}

fn at(path: RemotePath) -> PathOnly {
    PathOnly { path }
}

fn registry(path: &str) -> RegistryPath {
    RegistryPath {
        path: path.to_owned(),
    }
}

fn registry_value(set: &RegSet) -> SetRegistryValue {
    SetRegistryValue {
        path: set.value.clone(),
        value: serde_json::from_str(&set.data).unwrap_or_else(|_| set.data.clone().into()),
        value_type: set.value_type.clone(),
        overwrite: set.keep.then_some(false),
    }
}
