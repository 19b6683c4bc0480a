//! Arguments that only some verbs have.

use super::Command;
use crate::session::span;
use std::time::Duration;
use tripline_protocol::verb::{
    CreateDirectory, CreateProcess, Isolate, KillProcess, Memdump, ProcessOutcome, SetRegistryValue, Walk,
};
use tripline_protocol::{Network, RemotePath};

impl<O> Command<'_, CreateDirectory, O> {
    /// Whether missing parents are made, too, and an existing directory is accepted. Default: false.
    pub fn parents(mut self, parents: bool) -> Self {
        self.arguments.parents = parents;
        self
    }
}

impl<O> Command<'_, Walk, O> {
    /// Levels below the top to enter. Default: 16.
    pub fn depth_max(mut self, levels: u32) -> Self {
        self.arguments.depth_max = Some(levels);
        self
    }
}

impl<O> Command<'_, KillProcess, O> {
    /// When the process started, in Unix seconds ([`ProcessEntry::create_time`](crate::ProcessEntry)): another process
    /// that has its id meanwhile is not ended, and the error is [`LiveResponse`](crate::Error::LiveResponse)
    /// `recycled_pid`.
    pub fn start_time(mut self, seconds: i64) -> Self {
        self.arguments.start_time = Some(seconds);
        self
    }

    /// How long to wait for its end. Default: 5 s. One that is still there is a
    /// [`Timeout`](crate::Error::Timeout).
    pub fn wait(mut self, wait: Duration) -> Self {
        self.arguments.wait = Some(span(wait));
        self
    }
}

impl Command<'_, CreateProcess, ProcessOutcome> {
    /// Where it runs. Default: `/`.
    pub fn working_directory(mut self, path: impl Into<RemotePath>) -> Self {
        self.arguments.working_directory = Some(path.into());
        self
    }

    /// A variable beside those of the agent's environment.
    pub fn environment(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.arguments.environment.insert(name.into(), value.into());
        self
    }

    /// Whether its end is waited for. When false it goes on by itself, and only its pid is known. Default: true.
    pub fn wait(mut self, wait: bool) -> Self {
        self.arguments.wait = Some(wait);
        self
    }

    /// When it is ended, with all that it started. Default: with the command's own time.
    pub fn kill_after(mut self, timeout: Duration) -> Self {
        self.arguments.timeout = Some(span(timeout));
        self
    }

    /// A file on the host for all that it prints, instead of the 64 KiB each of stdout and stderr that are captured.
    pub fn output_path(mut self, path: impl Into<RemotePath>) -> Self {
        self.arguments.output_path = Some(path.into());
        self
    }

    /// Most bytes that are captured of stdout and of stderr. Default, and most: 64 KiB.
    pub fn output_bytes_max(mut self, bytes: u64) -> Self {
        self.arguments.output_bytes_max = Some(bytes);
        self
    }
}

impl<O> Command<'_, Memdump, O> {
    /// Only the memory of this process. Default: all of the host's.
    pub fn pid(mut self, pid: u32) -> Self {
        self.arguments.pid = Some(pid);
        self
    }

    /// Whether the dump is compressed. Default: false.
    pub fn compress(mut self, compress: bool) -> Self {
        self.arguments.compress = compress;
        self
    }
}

impl<O> Command<'_, Isolate, O> {
    /// When it ends by itself: 1 minute to 30 days. Default: 4 hours.
    pub fn lasts(mut self, lasts: Duration) -> Self {
        self.arguments.lasts = Some(span(lasts));
        self
    }

    /// Whether it goes on after the host booted again. Default: false.
    pub fn persist(mut self, persist: bool) -> Self {
        self.arguments.persist = persist;
        self
    }

    /// An address or range that stays reachable beside the server; call it again for more, at most 32.
    pub fn allow(mut self, network: Network) -> Self {
        self.arguments.allow.push(network);
        self
    }
}

impl<O> Command<'_, SetRegistryValue, O> {
    /// Its type, such as `REG_EXPAND_SZ`. Default: `REG_DWORD` for a number, `REG_MULTI_SZ` for a list of texts, else
    /// `REG_SZ`.
    pub fn value_type(mut self, value_type: impl Into<String>) -> Self {
        self.arguments.value_type = Some(value_type.into());
        self
    }

    /// Whether an existing value is replaced. Default: true.
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.arguments.overwrite = Some(overwrite);
        self
    }
}
