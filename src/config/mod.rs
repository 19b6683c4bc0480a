//! The server's settings: defaults, then a TOML file, then the environment.
//!
//! [`keys`] is the one table of keys, defaults and meanings; reading, checking, printing and the table in
//! the documentation all come from it. Every problem found is reported, each with its key and where it was
//! set. Deliberately not here: the agent's settings, and what a client of the server needs (`crate::cli`).

mod keys;
mod problem;
mod redact;
mod render;
mod rules;
mod section;
mod services;
mod setting;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod tracing;
mod types;
mod users;

pub use keys::{
    Artifacts, Audit, Auth, Disk, Drain, Events, General, Hosts, Http, Jobs, Limacharlie, Limits,
    Littlebrother, Log, Nats, Outbox, Pipelines, Session, Slots, Store, Tracing,
};
pub use problem::{Error, Origin, Problem};
pub use redact::Redact;
pub use services::{Service, ServiceUrl};
pub use table::Tables;
pub use tracing::{OtlpEndpoint, OtlpHeaders, Ratio};
pub use types::{Bytes, EmbeddedListen, LogFormat, LogLevel, NatsUrl, Secret, TimeZoneName};
pub use users::{Entries, LoginPattern, Mapping, ProhibitedText, User};

use problem::nearest;
use section::{Field, Section};
use source::Entry;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Settings, all of them valid.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Keys without a section.
    pub general: General,
    /// `[http]`
    pub http: Http,
    /// `[nats]`
    pub nats: Nats,
    /// `[auth]`
    pub auth: Auth,
    /// `[slots]`
    pub slots: Slots,
    /// `[events]`
    pub events: Events,
    /// `[pipelines]`
    pub pipelines: Pipelines,
    /// `[jobs]`
    pub jobs: Jobs,
    /// `[session]`
    pub session: Session,
    /// `[outbox]`
    pub outbox: Outbox,
    /// `[artifacts]`
    pub artifacts: Artifacts,
    /// `[hosts]`
    pub hosts: Hosts,
    /// `[limits]`
    pub limits: Limits,
    /// `[disk]`
    pub disk: Disk,
    /// `[store]`
    pub store: Store,
    /// `[drain]`
    pub drain: Drain,
    /// `[littlebrother]`
    pub littlebrother: Littlebrother,
    /// `[limacharlie]`
    pub limacharlie: Limacharlie,
    /// `[audit]`
    pub audit: Audit,
    /// `[log]`
    pub log: Log,
    /// `[tracing]`
    pub tracing: Tracing,
    /// What is legal and probably not meant.
    pub warnings: Vec<Problem>,
}

/// Where a configuration comes from, to read it again.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The file.
    pub file: Option<PathBuf>,
    /// Variables of the environment that are laid over it.
    pub environment: Vec<(String, String)>,
    /// The data directory, if the command line names one: it wins over both.
    pub data_dir: Option<PathBuf>,
}

impl Source {
    /// Reads and checks it.
    ///
    /// # Errors
    /// Those of [`Config::load`].
    pub fn load(&self) -> Result<Config, Error> {
        let mut config = Config::load(self.file.as_deref(), self.environment.iter().cloned())?;
        if let Some(data_dir) = &self.data_dir {
            config.general.data_dir.clone_from(data_dir);
        }
        Ok(config)
    }
}

impl Config {
    /// Reads `file`, if one is given, and lays `environment` over it.
    ///
    /// # Errors
    /// The file cannot be read, or some key or value in it or in the environment is wrong; all of those are
    /// named at once.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Error> {
        let mut problems = Vec::new();
        let mut entries = match file {
            Some(path) => source::read_file(path, &mut problems)?,
            None => Vec::new(),
        };
        entries.extend(source::read_environment(environment));
        let (mut config, origins) = Self::apply(entries, &mut problems);
        if problems.is_empty() {
            rules::check(&config, &origins, &mut problems);
        }
        if problems.is_empty() {
            config.warnings = rules::warnings(&config, &origins);
            Ok(config)
        } else {
            problems.sort_by_key(|problem| problem.origin.line());
            Err(Error::Invalid(problems))
        }
    }

    /// The folder with everything the server keeps.
    pub fn data_dir(&self) -> &Path {
        &self.general.data_dir
    }

    /// What is in force as TOML, secrets masked.
    pub fn to_toml(&self) -> String {
        render::toml(self)
    }

    /// Names what is in force. Secrets count only in so far as they are set.
    pub fn sha256(&self) -> tripline_protocol::Sha256 {
        use sha2::Digest;
        tripline_protocol::Sha256::from_digest(&sha2::Sha256::digest(self.to_toml()).into())
    }

    /// What is in force as JSON, secrets masked.
    pub fn to_json(&self) -> serde_json::Value {
        render::json(self)
    }

    /// The table of all keys with defaults and meanings, in Markdown, for the documentation.
    pub fn markdown_table() -> String {
        render::markdown(&Self::default())
    }

    fn apply(entries: Vec<Entry>, problems: &mut Vec<Problem>) -> (Self, HashMap<String, Origin>) {
        let mut config = Self::default();
        let mut origins = HashMap::new();
        for Entry {
            section,
            field,
            raw,
            origin,
        } in entries
        {
            let key = section::key(&section, &field);
            let outcome = config
                .section_mut(&section)
                .and_then(|section| section.set(&field, &raw))
                .unwrap_or_else(|| {
                    let nearest = nearest(&key, Self::key_names().iter().map(String::as_str));
                    Err(vec![format!("no such key{nearest}").into()])
                });
            match outcome {
                Ok(()) => {
                    let within = |(place, line)| (format!("{key}{place}"), origin.at(Some(line)));
                    origins.extend(raw.places().into_iter().map(within));
                    origins.insert(key, origin);
                }
                Err(faults) => problems.extend(faults.into_iter().map(|fault| Problem {
                    key: format!("{key}{}", fault.place),
                    origin: origin.at(fault.line),
                    text: fault.text,
                })),
            }
        }
        (config, origins)
    }

    fn section_mut(&mut self, name: &str) -> Option<&mut dyn Section> {
        self.sections_mut()
            .into_iter()
            .find(|section| section.name() == name)
    }

    fn key_names() -> Vec<String> {
        Self::default()
            .sections()
            .into_iter()
            .flat_map(|section| {
                section
                    .fields()
                    .into_iter()
                    .map(|Field { name, .. }| section::key(section.name(), name))
            })
            .collect()
    }

    /// The keys whose values differ from those of `other`.
    pub fn changed(&self, other: &Self) -> Vec<String> {
        let Self {
            general,
            http,
            nats,
            auth,
            slots,
            events,
            pipelines,
            jobs,
            session,
            outbox,
            artifacts,
            hosts,
            limits,
            disk,
            store,
            drain,
            littlebrother,
            limacharlie,
            audit,
            log,
            tracing,
            warnings: _,
        } = self;
        [
            general.changed(&other.general),
            http.changed(&other.http),
            nats.changed(&other.nats),
            auth.changed(&other.auth),
            slots.changed(&other.slots),
            events.changed(&other.events),
            pipelines.changed(&other.pipelines),
            jobs.changed(&other.jobs),
            session.changed(&other.session),
            outbox.changed(&other.outbox),
            artifacts.changed(&other.artifacts),
            hosts.changed(&other.hosts),
            limits.changed(&other.limits),
            disk.changed(&other.disk),
            store.changed(&other.store),
            drain.changed(&other.drain),
            littlebrother.changed(&other.littlebrother),
            limacharlie.changed(&other.limacharlie),
            audit.changed(&other.audit),
            log.changed(&other.log),
            tracing.changed(&other.tracing),
        ]
        .concat()
    }

    fn sections(&self) -> [&dyn Section; 21] {
        [
            &self.general,
            &self.http,
            &self.nats,
            &self.auth,
            &self.slots,
            &self.events,
            &self.pipelines,
            &self.jobs,
            &self.session,
            &self.outbox,
            &self.artifacts,
            &self.hosts,
            &self.limits,
            &self.disk,
            &self.store,
            &self.drain,
            &self.littlebrother,
            &self.limacharlie,
            &self.audit,
            &self.log,
            &self.tracing,
        ]
    }

    fn sections_mut(&mut self) -> [&mut dyn Section; 21] {
        [
            &mut self.general,
            &mut self.http,
            &mut self.nats,
            &mut self.auth,
            &mut self.slots,
            &mut self.events,
            &mut self.pipelines,
            &mut self.jobs,
            &mut self.session,
            &mut self.outbox,
            &mut self.artifacts,
            &mut self.hosts,
            &mut self.limits,
            &mut self.disk,
            &mut self.store,
            &mut self.drain,
            &mut self.littlebrother,
            &mut self.limacharlie,
            &mut self.audit,
            &mut self.log,
            &mut self.tracing,
        ]
    }
}
