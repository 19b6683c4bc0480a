//! The configuration file, read again while the server runs: users, mappings, times and services come into force as a
//! whole; a file that is wrong changes nothing.

use super::Dialect;
use super::settings::settings;
use crate::cli::chain;
use crate::config::{Config, Littlebrother, Service, Source};
use crate::services::{Configured, HttpCaller, configured};
use crate::watch::{Concerns, Stamp, Watch, Watched, Why, stamp};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Handle;
use tripline_actors::Core;
use tripline_actors::audit::Entry;
use tripline_actors::littlebrother::Settings;
use tripline_protocol::Sha256;
use tripline_protocol::audit::Action;
use tripline_protocol::littlebrother::Zone;

const SERVICES: &str = "services";

/// Keys that come into force while the server runs.
const RELOADED: [&str; 7] = [
    SERVICES,
    "littlebrother.users",
    "littlebrother.login_mappings",
    "littlebrother.check_interval",
    "littlebrother.maximum_time_without_send",
    "littlebrother.kill_process_delay",
    "littlebrother.kill_prohibited",
];

/// Where settings go.
pub trait SettingsTarget: Send + 'static {
    /// Puts them in force.
    fn set(&self, settings: Option<Settings>);
    /// Calls these services from now on, and no others of the configuration. Blocks until it is so.
    ///
    /// # Errors
    /// They are refused, and nothing has changed.
    fn set_services(&self, services: Configured) -> Result<(), String>;
    /// Remembers which keys came into force, and what names the whole configuration then.
    fn loaded(&self, changed: &[String], sha256: &Sha256);
    /// Remembers why the file is refused, or that it no longer is.
    fn refuse(&self, why: Option<String>);
}

/// The server that runs.
pub struct Running {
    /// The actors.
    pub core: Core,
    /// The LittleBrother dialect.
    pub dialect: Arc<Dialect>,
    /// The way to services.
    pub caller: HttpCaller,
}

impl SettingsTarget for Running {
    fn set(&self, settings: Option<Settings>) {
        self.core.set_littlebrother(settings);
    }

    fn set_services(&self, services: Configured) -> Result<(), String> {
        let Configured {
            services,
            authorities,
        } = services;
        let caller = self.caller.clone();
        let set = self
            .core
            .configure_services_with(services, move || caller.set_authorities(authorities));
        let set = Handle::current().block_on(set);
        set.map_err(|refusal| refusal.to_string())
    }

    fn loaded(&self, changed: &[String], sha256: &Sha256) {
        self.core.note(Action::ConfigLoad, None, |entry| {
            entry.detail("changed", changed).detail("sha256", sha256)
        });
    }

    fn refuse(&self, why: Option<String>) {
        if why.is_some() {
            let refused = |entry: Entry| entry.refused("invalid_configuration");
            self.core.note(Action::ConfigLoad, None, refused);
        }
        self.dialect.set_refused(why);
    }
}

/// Reads the configuration file again when it changes, for as long as it lives.
#[derive(Debug)]
pub struct ConfigWatch(Option<Watch>);

impl ConfigWatch {
    /// Watches the file of `source`, if it has one, of which `config` is in force with the zone `zone`. Call it
    /// within a runtime.
    pub fn start(target: impl SettingsTarget, source: Source, config: Config, zone: Zone) -> Self {
        let Some(file) = source.file.clone() else {
            return Self(None);
        };
        Self(Some(Watch::start(Keeper {
            target,
            folder: folder(&file),
            file,
            source,
            config,
            zone,
            waiting: Vec::new(),
            refused: None,
        })))
    }

    /// Reads it again now, changed or not (SIGHUP).
    pub fn reload(&self) {
        if let Some(watch) = &self.0 {
            watch.reload();
        }
    }
}

/// The folder of a file: a file that is replaced, as editors do, is another one for the file system.
fn folder(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

struct Keeper<T> {
    target: T,
    source: Source,
    file: PathBuf,
    folder: PathBuf,
    /// What is in force.
    config: Config,
    zone: Zone,
    /// Changed keys that were told to wait for the next start.
    waiting: Vec<String>,
    /// Why the file was refused when it was last read.
    refused: Option<String>,
}

impl<T: SettingsTarget> Watched for Keeper<T> {
    const NAME: &'static str = "configuration";

    fn folders(&self) -> Vec<&Path> {
        vec![&self.folder]
    }

    fn concerns(&self) -> Concerns {
        let name: Option<OsString> = self.file.file_name().map(ToOwned::to_owned);
        Box::new(move |path| path.file_name() == name.as_deref())
    }

    fn stamps(&self) -> Vec<Stamp> {
        stamp(self.file.clone()).into_iter().collect()
    }

    fn read(&mut self, why: Why) {
        let config = match self.source.load() {
            Ok(config) => config,
            Err(error) => return self.refuse(chain(&error), why),
        };
        match configured(&config.general.services) {
            Ok(services) => self.take(config, services, why),
            Err(error) => self.refuse(format!("failed to {}", chain(&error)), why),
        }
    }
}

impl<T: SettingsTarget> Keeper<T> {
    fn take(&mut self, config: Config, services: Configured, why: Why) {
        let changed = config.changed(&self.config);
        let (now, later): (Vec<_>, Vec<_>) = changed.into_iter().partition(|key| RELOADED.contains(&&**key));
        // What their files hold may be another than before, which no key shows.
        let with_files = why == Why::Asked && config.general.services.iter().any(has_files);
        let of_services = with_files || now.iter().any(|key| key == SERVICES);
        let of_users = now.iter().any(|key| key != SERVICES);
        // First, as they alone may still be refused.
        if of_services {
            let count = services.services.len();
            if let Err(refusal) = self.target.set_services(services) {
                return self.refuse(refusal, why);
            }
            tracing::info!(services = count, "services of the configuration in force");
        }
        if self.refused.take().is_some() {
            self.target.refuse(None);
            tracing::info!("the configuration is right again");
        }
        if later != self.waiting || (why == Why::Asked && !later.is_empty()) {
            tell_waiting(&later);
            self.waiting = later;
        }
        if !of_services && !of_users {
            if why == Why::Asked {
                tracing::info!("the users of LittleBrother and the services are those in force");
            }
            return;
        }
        for warning in &config.warnings {
            tracing::warn!(%warning, "configuration");
        }
        self.keep(config);
        if !now.is_empty() {
            self.target.loaded(&now, &self.config.sha256());
        }
        if of_users {
            self.put_in_force();
        }
    }

    /// What is reloaded of `fresh` is that of the configuration from now on.
    fn keep(&mut self, fresh: Config) {
        self.config.general.services = fresh.general.services;
        let fresh = fresh.littlebrother;
        let present = &mut self.config.littlebrother;
        *present = Littlebrother {
            users: fresh.users,
            login_mappings: fresh.login_mappings,
            check_interval: fresh.check_interval,
            maximum_time_without_send: fresh.maximum_time_without_send,
            kill_process_delay: fresh.kill_process_delay,
            kill_prohibited: fresh.kill_prohibited,
            ..present.clone()
        };
    }

    fn put_in_force(&self) {
        let present = &self.config.littlebrother;
        let (users, mappings) = (present.users.len(), present.login_mappings.len());
        tracing::info!(users, mappings, "new users of LittleBrother in force");
        self.target.set(settings(present, &self.zone));
    }

    fn refuse(&mut self, text: String, why: Why) {
        if why != Why::Asked && self.refused.as_ref() == Some(&text) {
            return;
        }
        tracing::error!(problems = %text, "configuration refused; the last good one stays in force");
        self.target.refuse(Some(text.clone()));
        self.refused = Some(text);
    }
}

fn has_files(service: &Service) -> bool {
    service.secret_file.is_some() || service.ca.is_some()
}

fn tell_waiting(keys: &[String]) {
    match keys {
        [] => tracing::info!("no changed key waits for the next start any more"),
        keys => tracing::warn!(
            keys = keys.join(", "),
            "changed keys count from the next start on"
        ),
    }
}

#[cfg(test)]
mod tests;
