//! Every key: its meaning, type and default. The table of the documentation is made from this.

use super::redact::Redact;
use super::section::section;
use super::services::Service;
use super::table::Tables;
use super::tracing::{OtlpEndpoint, OtlpHeaders, Ratio};
use super::types::{Bytes, EmbeddedListen, LogFormat, LogLevel, NatsUrl, Secret, TimeZoneName};
use super::users::{Mapping, User};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use tripline_protocol::{Label, Org, Span, Subjects};

const HOUR_SECONDS: u64 = 3600;

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

section! {
    /// Keys without a section.
    General, "" {
        /// Folder of everything the server keeps; made if it is missing.
        data_dir: PathBuf = "./tripline-data".into(),
        /// `[[services]]`: LimaCharlie services that Tripline calls.
        services: Tables<Service> = Tables(Vec::new()),
    }
}

section! {
    /// `[http]`: both listeners.
    Http, "http" {
        /// Address of plain HTTP; loopback only unless `http.allow_plaintext`; port 0 takes any.
        listen: SocketAddr = loopback(7400),
        /// Address of HTTPS; port 0 takes any.
        tls_listen: SocketAddr = loopback(7443),
        /// Certificate chain (PEM); without it the server makes its own CA and certificate.
        tls_cert: Option<PathBuf> = None,
        /// Private key (PEM) of `http.tls_cert`.
        tls_key: Option<PathBuf> = None,
        /// Names and IP addresses in the self-made certificate.
        tls_names: Vec<String> = vec!["localhost".into()],
        /// Allows plain HTTP on other addresses than loopback.
        allow_plaintext: bool = false,
    }
}

section! {
    /// `[nats]`: the broker.
    Nats, "nats" {
        /// The broker, several separated by commas; without it the server starts one of its own.
        url: Option<NatsUrl> = None,
        /// NATS credentials file (`.creds`).
        credentials: Option<PathBuf> = None,
        /// User name.
        user: Option<String> = None,
        /// Password of `nats.user`.
        password: Option<Secret> = None,
        /// CA (PEM) of the broker's certificate.
        ca: Option<PathBuf> = None,
        /// First words of every subject and stream.
        subject_prefix: Subjects = Subjects::default(),
        /// Address of the broker the server starts; port -1 takes any.
        embedded_listen: EmbeddedListen = EmbeddedListen::default(),
    }
}

section! {
    /// `[auth]`: who may.
    Auth, "auth" {
        /// The administrator's token; without it one is made at the first start, in `admin.token` of the data directory.
        admin_token: Option<Secret> = None,
    }
}

section! {
    /// `[slots]`: how many sessions there may be at once.
    Slots, "slots" {
        /// Sessions at once.
        total: u32 = 10,
        /// Slots that jobs leave free for interactive sessions.
        interactive_reserved: u32 = 2,
        /// Slots that interactive sessions leave free for jobs.
        jobs_reserved: u32 = 2,
        /// When an interactive session without requests is closed.
        idle_timeout: Span = Span::from_secs(300),
    }
}

section! {
    /// `[events]`: what is taken from NATS.
    Events, "events" {
        /// Older events become dead letters, unless a pipeline takes them; at most 7d.
        max_age: Span = Span::from_secs(HOUR_SECONDS),
    }
}

section! {
    /// `[pipelines]`: rules.
    Pipelines, "pipelines" {
        /// Folder of pipeline files (YAML), watched for changes.
        dir: Option<PathBuf> = None,
    }
}

section! {
    /// `[jobs]`: named jobs, and how many jobs are kept.
    Jobs, "jobs" {
        /// Folder of named jobs (YAML), watched for changes.
        dir: Option<PathBuf> = None,
        /// How long ended jobs can be looked up.
        retain: Span = Span::from_secs(7 * 24 * HOUR_SECONDS),
        /// How many ended jobs can be looked up.
        retain_max: u64 = 1_000_000,
        /// Waiting jobs of one host.
        queued_per_host_max: u32 = 1_000,
        /// Waiting jobs of one pipeline.
        queued_per_pipeline_max: u32 = 10_000,
        /// Waiting jobs in all.
        queued_max: u32 = 200_000,
    }
}

section! {
    /// `[session]`: live-response sessions.
    Session, "session" {
        /// How long a running command waits for its agent to come back.
        reconnect_grace: Span = Span::from_secs(30),
        /// How long an interactive session waits for a host that is offline.
        wait_timeout: Span = Span::from_secs(120),
        /// How many ended interactive sessions can be looked up, for `jobs.retain` at most.
        retain_max: u64 = 100_000,
    }
}

section! {
    /// `[outbox]`: messages on their way to NATS.
    Outbox, "outbox" {
        /// Messages that may wait for the broker.
        messages_max: u32 = 300_000,
        /// How long published messages are kept to be published again at start: twice the broker's `sync_interval`.
        resend_window: Span = Span::from_secs(240),
    }
}

section! {
    /// `[artifacts]`: files fetched from hosts.
    Artifacts, "artifacts" {
        /// Bytes of all artifacts together; when they are reached, files can no longer be fetched.
        bytes_max: Bytes = Bytes::from_gib(10),
    }
}

section! {
    /// `[hosts]`: hosts in memory, those that pipelines leave alone, and the keys of agents.
    Hosts, "hosts" {
        /// How many hosts there may be, those of LittleBrother clients included.
        known_max: u32 = 100_000,
        /// When an idle, detached host leaves memory.
        idle_timeout: Span = Span::from_secs(60),
        /// Labels of hosts that no pipeline touches, only a person.
        protected: Vec<Label> = Vec::new(),
        /// When an agent is asked to replace its key; without it only when somebody wants it.
        key_age_max: Option<Span> = None,
    }
}

section! {
    /// `[limits]`: how often a caller may ask, and what it may hold.
    Limits, "limits" {
        /// Requests of one token in a second, in the long run, over HTTP and NATS together; 0: any number.
        requests_per_second: u32 = 1_000,
        /// Requests of one token at once.
        requests_burst: u32 = 5_000,
        /// Wrong tokens, keys and secrets from one address, or over NATS, within a minute; one more closes it for a minute to
        /// all that were not right from there before; 0: any number.
        failed_logins_max: u32 = 100,
        /// Connections at once, on both listeners together; more wait until one ends.
        connections_max: u32 = 50_000,
        /// Connections that have not shown a valid token or key; with one more, the one that came first is closed.
        strangers_max: u32 = 1_000,
        /// How long a TLS handshake may take, and the head of a request.
        head_timeout: Span = Span::from_secs(10),
        /// How long a body may take, and each piece of an upload.
        body_timeout: Span = Span::from_secs(30),
        /// How long a caller or an agent may take nothing of what is sent to it, before the connection ends.
        send_timeout: Span = Span::from_secs(60),
        /// How long an agent may take for its first frame.
        hello_timeout: Span = Span::from_secs(10),
    }
}

section! {
    /// `[disk]`: room to work.
    Disk, "disk" {
        /// Free bytes in the data directory below which new work is refused.
        free_min: Bytes = Bytes::from_mib(256),
    }
}

section! {
    /// `[store]`: exports that the server makes by itself.
    Store, "store" {
        /// Folder of the exports that the server makes by itself, best on another disk; without it none are made.
        export_dir: Option<PathBuf> = None,
        /// How often one is made.
        export_every: Span = Span::from_secs(24 * HOUR_SECONDS),
        /// How many are kept; the oldest goes when a newer one was made and verified.
        exports_kept: u64 = 7,
    }
}

section! {
    /// `[drain]`: an orderly end.
    Drain, "drain" {
        /// How long a stopping server finishes what it has begun.
        timeout: Span = Span::from_secs(20),
    }
}

section! {
    /// `[littlebrother]`: clients of LittleBrother.
    Littlebrother, "littlebrother" {
        /// What clients give as `access_token`; without it they are not served.
        secret: Option<Secret> = None,
        /// Address of plain HTTP for LittleBrother clients and nothing else; port 0 takes any.
        listen: Option<SocketAddr> = None,
        /// How often clients send a message, as they are configured.
        check_interval: Span = Span::from_secs(5),
        /// A client without a server for longer ends the processes it watches; one silent for longer is `host_silent`.
        maximum_time_without_send: Span = Span::from_secs(50),
        /// How long a process has to end by itself; a kill is not repeated sooner.
        kill_process_delay: Span = Span::from_secs(10),
        /// Whether a prohibited process is ended at every report.
        kill_prohibited: bool = true,
        /// Time zone of all clients, such as `Europe/Berlin`; without it the machine's.
        time_zone: Option<TimeZoneName> = None,
        /// The org of the clients, and of the agents that watch processes.
        org: Org = Org::default_org(),
        /// `[[littlebrother.users]]`: whose processes are watched.
        users: Tables<User> = Tables(Vec::new()),
        /// `[[littlebrother.login_mappings]]`: which uid is which login.
        login_mappings: Tables<Mapping> = Tables(Vec::new()),
    }
}

section! {
    /// `[limacharlie]`: the service that LimaCharlie calls.
    Limacharlie, "limacharlie" {
        /// The secret that calls to `/lc` are signed with; without it nothing is served there.
        secret: Option<Secret> = None,
        /// Names of detections to hear of, beside those that conditions of pipelines compare `event.data.cat` with.
        detections: Vec<String> = Vec::new(),
    }
}

section! {
    /// `[audit]`: records of who did what.
    Audit, "audit" {
        /// How long records are kept.
        retain: Span = Span::from_secs(400 * 24 * HOUR_SECONDS),
        /// How many records of an org are kept, and of the server itself.
        retain_max: u64 = 1_000_000,
        /// Regular expressions of what is taken out of arguments before they go on record; without it, common forms of secrets.
        redact: Option<Redact> = None,
    }
}

section! {
    /// `[log]`: what is written to stderr.
    Log, "log" {
        /// `off`, `error`, `warn`, `info`, `debug` or `trace`, also per module: `info,tripline::nats=debug`.
        level: LogLevel = LogLevel::default(),
        /// `text` or `json`.
        format: LogFormat = LogFormat::Text,
    }
}

section! {
    /// `[tracing]`: traces for a collector.
    Tracing, "tracing" {
        /// Collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`; without it no traces are made.
        otlp_endpoint: Option<OtlpEndpoint> = None,
        /// Headers for it, `name=value`, several separated by commas; a secret.
        otlp_headers: Option<OtlpHeaders> = None,
        /// CA (PEM) of its certificate; without it the system's.
        otlp_ca: Option<PathBuf> = None,
        /// Which part of all traces is told, 0 to 1; where an event has a `traceparent`, that says whether its is.
        sample_ratio: Ratio = Ratio(1.0),
        /// What the server is called in traces.
        service_name: String = "tripline".to_owned(),
        /// Spans that may wait for the collector; more are dropped and counted.
        queue_max: u32 = 10_000,
    }
}
