//! The verbs as methods of a session, apart from those that move files.

use super::{Command, LONG};
use crate::session::Session;
use serde_json::Value;
use tripline_protocol::RemotePath;
use tripline_protocol::verb::{
    CreateDirectory, CreateProcess, DirectoryListing, Isolate, Isolated, KillProcess, Memdump, NoArguments,
    PathOnly, ProcessListing, ProcessOutcome, RegistryListing, RegistryPath, RegistryValue, SetRegistryValue,
    Unisolated, Verb, VerbCall, Walk,
};

/// A file or directory on the host.
type OfPath<'s, O = ()> = Command<'s, PathOnly, O>;
/// A registry key or value.
type OfRegistry<'s, O = ()> = Command<'s, RegistryPath, O>;

/// Of what only does something.
fn nothing(_: Value) -> Result<(), serde_json::Error> {
    Ok(())
}

fn at(path: impl Into<RemotePath>) -> PathOnly {
    PathOnly { path: path.into() }
}

fn key(path: impl Into<String>) -> RegistryPath {
    RegistryPath { path: path.into() }
}

/// Files and directories. To fetch and put files: [`Session::get_file`], [`Session::put_file`].
impl Session {
    /// Removes a file, or an empty directory.
    pub fn delete_file(&self, path: impl Into<RemotePath>) -> OfPath<'_> {
        Command::new(self, Verb::DeleteFile, at(path), nothing)
    }

    /// Lists one directory, by name, without following symlinks: at most 2,000 entries; `omitted` counts the rest.
    ///
    /// ```no_run
    /// # async fn example(session: tripline_client::Session) -> tripline_client::Result<()> {
    /// for entry in session.list_directory("/etc").await?.files {
    ///     println!("{:>10} {}", entry.size, entry.filename);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn list_directory(&self, path: impl Into<RemotePath>) -> OfPath<'_, DirectoryListing> {
        Command::new(self, Verb::ListDirectory, at(path), serde_json::from_value)
    }

    /// Makes a directory.
    pub fn create_directory(&self, path: impl Into<RemotePath>) -> Command<'_, CreateDirectory, ()> {
        let path = path.into();
        let arguments = CreateDirectory { path, parents: false };
        Command::new(self, Verb::CreateDirectory, arguments, nothing)
    }

    /// Lists a tree of directories, without following symlinks: at most 2,000 entries, with their paths below the top.
    pub fn walk(&self, path: impl Into<RemotePath>) -> Command<'_, Walk, DirectoryListing> {
        let path = path.into();
        let arguments = Walk {
            path,
            depth_max: None,
        };
        Command::new(self, Verb::Walk, arguments, serde_json::from_value)
    }
}

/// The host's network.
impl Session {
    /// Cuts the host off from every address but its server's, until that ends by itself: after 4 h unless said
    /// otherwise. Doing it again renews it.
    ///
    /// ```no_run
    /// # async fn example(session: tripline_client::Session) -> tripline_client::Result<()> {
    /// use std::time::Duration;
    ///
    /// let isolated = session.isolate().lasts(Duration::from_secs(8 * 3600)).persist(true).await?;
    /// println!("isolated until {}", isolated.until);
    /// # Ok(())
    /// # }
    /// ```
    pub fn isolate(&self) -> Command<'_, Isolate, Isolated> {
        Command::new(self, Verb::Isolate, Isolate::default(), serde_json::from_value)
    }

    /// Ends that; whether the host was isolated until then.
    pub fn unisolate(&self) -> Command<'_, NoArguments, Unisolated> {
        Command::new(self, Verb::Unisolate, NoArguments {}, serde_json::from_value)
    }
}

/// Processes and memory.
impl Session {
    /// Lists the host's processes, by process id.
    ///
    /// ```no_run
    /// # async fn example(session: tripline_client::Session) -> tripline_client::Result<()> {
    /// let processes = session.list_processes().await?.processes;
    /// if let Some(found) = processes.iter().find(|process| process.path.ends_with("/evil")) {
    ///     session.kill_process(found.pid).start_time(found.create_time).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn list_processes(&self) -> Command<'_, NoArguments, ProcessListing> {
        Command::new(self, Verb::ListProcesses, NoArguments {}, serde_json::from_value)
    }

    /// Ends a process, and waits until it has.
    pub fn kill_process(&self, pid: u32) -> Command<'_, KillProcess, ()> {
        let arguments = KillProcess {
            pid,
            start_time: None,
            wait: None,
        };
        Command::new(self, Verb::KillProcess, arguments, nothing)
    }

    /// Runs a program with arguments, of which nothing is split or expanded, and waits for its end. That it failed is
    /// no error: see its `exit_code`.
    ///
    /// ```no_run
    /// # async fn example(session: tripline_client::Session) -> tripline_client::Result<()> {
    /// let outcome = session.create_process(["/usr/bin/id", "-un"]).await?;
    /// let output = outcome.stdout.unwrap_or_default().to_bytes();
    /// println!("{} says {}", session.host().hostname, String::from_utf8_lossy(&output));
    /// # Ok(())
    /// # }
    /// ```
    pub fn create_process<W: Into<RemotePath>>(
        &self,
        argv: impl IntoIterator<Item = W>,
    ) -> Command<'_, CreateProcess, ProcessOutcome> {
        self.process(CreateProcess {
            argv: Some(argv.into_iter().map(Into::into).collect()),
            ..CreateProcess::default()
        })
    }

    /// The same with program and arguments in one text, which is split as a POSIX shell splits words. No shell is
    /// involved.
    pub fn create_process_line(&self, line: impl Into<String>) -> Command<'_, CreateProcess, ProcessOutcome> {
        self.process(CreateProcess {
            command: Some(line.into()),
            ..CreateProcess::default()
        })
    }

    fn process(&self, arguments: CreateProcess) -> Command<'_, CreateProcess, ProcessOutcome> {
        Command::new(self, Verb::CreateProcess, arguments, serde_json::from_value).timeout(LONG)
    }

    /// Writes the memory of the host, or of one process, to a file on the host, from where
    /// [`Session::get_file`] fetches it. Not on Linux.
    pub fn memdump(&self, path: impl Into<RemotePath>) -> Command<'_, Memdump, ()> {
        let arguments = Memdump {
            path: path.into(),
            pid: None,
            compress: false,
        };
        Command::new(self, Verb::Memdump, arguments, nothing).timeout(LONG)
    }
}

/// The registry of hosts that have one. Paths are whole: `HKLM\Software\…`.
impl Session {
    /// Lists a key's values and the names of its sub-keys.
    ///
    /// ```no_run
    /// # async fn example(session: tripline_client::Session) -> tripline_client::Result<()> {
    /// let run = r"HKLM\Software\Microsoft\Windows\CurrentVersion\Run";
    /// for value in session.list_registry_keys_and_values(run).await?.values {
    ///     println!("{} = {}", value.value_name, value.value_data);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn list_registry_keys_and_values(&self, path: impl Into<String>) -> OfRegistry<'_, RegistryListing> {
        Command::new(
            self,
            Verb::ListRegistryKeysAndValues,
            key(path),
            serde_json::from_value,
        )
    }

    /// Lists the names of a key's sub-keys; the listing has no values.
    pub fn list_registry_keys(&self, path: impl Into<String>) -> OfRegistry<'_, RegistryListing> {
        Command::new(self, Verb::ListRegistryKeys, key(path), serde_json::from_value)
    }

    /// Reads a value.
    pub fn get_registry_value(&self, path: impl Into<String>) -> OfRegistry<'_, RegistryValue> {
        Command::new(self, Verb::GetRegistryValue, key(path), serde_json::from_value)
    }

    /// Writes a value.
    ///
    /// ```no_run
    /// # async fn example(session: tripline_client::Session) -> tripline_client::Result<()> {
    /// session.set_registry_value(r"HKLM\Software\Acme\Level", 3).await?;
    /// session.set_registry_value(r"HKLM\Software\Acme\Path", r"%TEMP%\acme").value_type("REG_EXPAND_SZ").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_registry_value(
        &self,
        path: impl Into<String>,
        value: impl Into<Value>,
    ) -> Command<'_, SetRegistryValue, ()> {
        let arguments = SetRegistryValue {
            path: path.into(),
            value: value.into(),
            value_type: None,
            overwrite: None,
        };
        Command::new(self, Verb::SetRegistryValue, arguments, nothing)
    }

    /// Makes a key.
    pub fn create_registry_key(&self, path: impl Into<String>) -> OfRegistry<'_> {
        Command::new(self, Verb::CreateRegistryKey, key(path), nothing)
    }

    /// Removes a key.
    pub fn delete_registry_key(&self, path: impl Into<String>) -> OfRegistry<'_> {
        Command::new(self, Verb::DeleteRegistryKey, key(path), nothing)
    }

    /// Removes a value.
    pub fn delete_registry_value(&self, path: impl Into<String>) -> OfRegistry<'_> {
        Command::new(self, Verb::DeleteRegistryValue, key(path), nothing)
    }
}

/// Any verb.
impl Session {
    /// Runs a verb with its arguments as they are on the wire, and gives its output as JSON.
    ///
    /// ```no_run
    /// # async fn example(session: tripline_client::Session) -> tripline_client::Result<()> {
    /// use tripline_client::{Verb, VerbCall};
    ///
    /// let arguments = serde_json::json!({"path": "/etc"});
    /// let call = VerbCall::parse(Verb::ListDirectory, arguments).expect("right arguments");
    /// println!("{}", session.run(call).await?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn run(&self, call: VerbCall) -> Command<'_, Value, Value> {
        let command = Command::new(self, call.verb(), call.to_args(), Ok);
        match call.verb() {
            Verb::GetFile | Verb::GetRawFile | Verb::PutFile | Verb::CreateProcess | Verb::Memdump => {
                command.timeout(LONG)
            }
            _ => command,
        }
    }
}
