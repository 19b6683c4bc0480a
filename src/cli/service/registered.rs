//! The services that a server calls: registered, shown, and what they tell.

use super::super::output::{Format, print, print_json};
use super::super::{Client, Failure, Global};
use super::{asked, view};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use tripline_protocol::api::{
    Page, Role, ServiceBody, ServiceJobView, ServiceResource, ServiceSpec, ServiceView,
};
use tripline_protocol::{Name, Org, Span};

#[derive(Debug, Subcommand)]
pub(in super::super) enum Verb {
    /// List the services that the server calls
    #[command(after_help = "Example:\n  tripline service list")]
    List(List),
    /// Show a service: how it fares, what it wants to hear, what it said last
    #[command(after_help = "Example:\n  tripline service show yara")]
    Show {
        /// Its name
        name: Name,
    },
    /// Register a service
    ///
    /// It is asked for its health at once, and told org_install for each of its orgs. Services of the server's
    /// configuration are changed there.
    #[command(
        after_help = "Example:\n  tripline service add yara https://yara.example/ --secret-file yara.secret --org acme"
    )]
    Add(Add),
    /// Change a service; what is not named stays as it is
    #[command(after_help = "Example:\n  tripline service change yara --in-flight 8 --rights operator")]
    Change(Change),
    /// Remove a service
    ///
    /// What waits for it is given up, its tokens are refused from then on, and it is told org_uninstall for each of its orgs.
    #[command(after_help = "Example:\n  tripline service remove yara")]
    Remove {
        /// Its name
        name: Name,
    },
    /// Ask a service for its health now, and deliver what waits for its time
    #[command(after_help = "Example:\n  tripline service retry yara")]
    Retry {
        /// Its name
        name: Name,
    },
    /// List the jobs that a service told of, or show one with its history
    #[command(after_help = "Examples:\n  tripline service jobs yara\n  tripline service jobs yara 7c1b0f7e")]
    Jobs(Jobs),
    /// Get what a service offers by name
    #[command(after_help = "Example:\n  tripline service resource yara rules --to rules.bin")]
    Resource(Resource),
    /// Ask a service for something, and wait for its answer
    ///
    /// The parameters are held to what the service says it takes. The request is durable, and is delivered like any message:
    /// again while the service is away or wants it again.
    #[command(after_help = asked::EXAMPLES)]
    Request(asked::Request),
    /// List what a service was asked for, or show one request with its answer
    #[command(after_help = "Example:\n  tripline service requests responder")]
    Requests(asked::Requests),
}

#[derive(Debug, Args)]
pub(in super::super) struct List {
    /// Only those that this tenant is subscribed to
    #[arg(long)]
    org: Option<Org>,
}

#[derive(Debug, Args)]
pub(in super::super) struct Add {
    /// Its name
    name: Name,
    /// Where it is called
    url: String,
    #[command(flatten)]
    secret: Secret,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Args)]
pub(in super::super) struct Change {
    /// Its name
    name: Name,
    /// Where it is called
    #[arg(long)]
    url: Option<String>,
    #[command(flatten)]
    secret: Secret,
    #[command(flatten)]
    settings: Settings,
}

/// Not as an argument, which everybody on the machine can read.
#[derive(Debug, Args)]
pub(in super::super) struct Secret {
    /// File with the secret that it shares with the server [default: TRIPLINE_SERVICE_SECRET, which holds the secret itself]
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

/// What a service is registered with, each as far as it is given.
#[derive(Debug, Default, Args)]
pub(in super::super) struct Settings {
    /// A tenant that is subscribed to it; several times for several [default: default]
    #[arg(long = "org", value_name = "ORG")]
    orgs: Vec<Org>,
    /// How long one call may take, 1s to 10m [default: 60s]
    #[arg(long, value_name = "SPAN")]
    deadline: Option<Span>,
    /// How often a message is delivered at most [default: 20]
    #[arg(long, value_name = "N")]
    attempts: Option<u32>,
    /// How long a message is delivered again, at most 7d [default: 24h]
    #[arg(long, value_name = "SPAN")]
    give_up_after: Option<Span>,
    /// Calls under way at once, 1 to 64 [default: 4]
    #[arg(long, value_name = "N")]
    in_flight: Option<u32>,
    /// Messages that may wait for it [default: 10000]
    #[arg(long, value_name = "N")]
    queue_max: Option<u32>,
    /// Whether its address may be a private or a loopback one [default: false]
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    allow_private: Option<bool>,
    /// What its tokens may do [default: viewer]
    #[arg(long, value_name = "viewer|operator|admin")]
    rights: Option<Role>,
}

#[derive(Debug, Args)]
pub(in super::super) struct Jobs {
    /// The service's name
    name: Name,
    /// The job's id
    id: Option<String>,
    /// Only jobs of this tenant
    #[arg(long, conflicts_with = "id")]
    org: Option<Org>,
    /// At most this many
    #[arg(long, default_value_t = 100, value_name = "N", conflicts_with = "id")]
    limit: usize,
}

#[derive(Debug, Args)]
pub(in super::super) struct Resource {
    /// The service's name
    name: Name,
    /// The resource's name
    resource: String,
    /// Write its content there
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// For this tenant [default: the first that is subscribed]
    #[arg(long)]
    org: Option<Org>,
}

pub(super) async fn run(global: &Global, verb: Verb) -> Result<(), Failure> {
    let client = Client::find(global)?;
    let show = |service: &ServiceView| match global.output {
        Format::Json => print_json(service),
        Format::Table => print(&view::one(service)),
    };
    match verb {
        Verb::List(List { org }) => {
            let query: Vec<_> = org.map(|org| ("org", org.to_string())).into_iter().collect();
            let services = client
                .get::<Page<ServiceView>>(&["services"], &query)
                .await?
                .items;
            match global.output {
                Format::Json => print_json(&services),
                Format::Table => print(&view::list(&services)),
            }
        }
        Verb::Show { name } => show(&client.get(&["services", name.as_str()], &[]).await?),
        Verb::Add(Add {
            name,
            url,
            secret,
            settings,
        }) => {
            let mut spec = ServiceSpec::new(name, url);
            settings.lay_over(&mut spec);
            let secret = Some(secret.needed()?);
            show(&client.post(&["services"], &ServiceBody { spec, secret }).await?)
        }
        Verb::Change(change) => show(&changed(&client, change).await?),
        Verb::Remove { name } => client.delete(&["services", name.as_str()]).await,
        Verb::Retry { name } => show(&client.ask(&["services", name.as_str(), "retry"]).await?),
        Verb::Jobs(asked) => jobs(global, &client, asked).await,
        Verb::Resource(asked) => resource(global, &client, asked).await,
        Verb::Request(request) => asked::request(global, &client, request).await,
        Verb::Requests(requests) => asked::requests(global, &client, requests).await,
    }
}

async fn changed(client: &Client, change: Change) -> Result<ServiceView, Failure> {
    let name = change.name.to_string();
    let path = ["services", name.as_str()];
    let mut spec = client.get::<ServiceView>(&path, &[]).await?.spec;
    if let Some(url) = change.url {
        spec.url = url;
    }
    change.settings.lay_over(&mut spec);
    let secret = change.secret.given()?;
    client.put(&path, &ServiceBody { spec, secret }).await
}

async fn jobs(global: &Global, client: &Client, asked: Jobs) -> Result<(), Failure> {
    let Jobs { name, id, org, limit } = asked;
    if let Some(id) = id {
        let path = ["services", name.as_str(), "jobs", &id];
        let job: ServiceJobView = client.get(&path, &[]).await?;
        return match global.output {
            Format::Json => print_json(&job),
            Format::Table => print(&view::job(&job)),
        };
    }
    let query: Vec<_> = org.map(|org| ("org", org.to_string())).into_iter().collect();
    let path = ["services", name.as_str(), "jobs"];
    let (jobs, more) = client.list::<ServiceJobView>(&path, &query, limit).await?;
    match global.output {
        Format::Json => print_json(&jobs)?,
        Format::Table => print(&view::jobs(&jobs))?,
    }
    super::super::say_more(more);
    Ok(())
}

async fn resource(global: &Global, client: &Client, asked: Resource) -> Result<(), Failure> {
    let Resource {
        name,
        resource,
        to,
        org,
    } = asked;
    let query: Vec<_> = org.map(|org| ("org", org.to_string())).into_iter().collect();
    let path = ["services", name.as_str(), "resources", &resource];
    let found: ServiceResource = client.get(&path, &query).await?;
    let content = STANDARD
        .decode(&found.res_data)
        .map_err(|error| Failure::Failed(format!("the content is not base64: {error}")))?;
    if let Some(to) = &to {
        write(to, &content)?;
    }
    match global.output {
        Format::Json => print_json(&found),
        Format::Table => print(&view::resource(&found, content.len())),
    }
}

fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, content)
        .map_err(|error| Failure::Failed(format!("cannot write {}: {error}", path.display())))
}

impl Secret {
    fn given(&self) -> Result<Option<String>, Failure> {
        let Some(path) = &self.secret_file else {
            return Ok(std::env::var("TRIPLINE_SERVICE_SECRET").ok());
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::Input(format!("cannot read {}: {error}", path.display())))?;
        // An editor ends the last line.
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    fn needed(&self) -> Result<String, Failure> {
        let missing = "a secret is needed: --secret-file, or TRIPLINE_SERVICE_SECRET";
        self.given()?.ok_or_else(|| Failure::Input(missing.to_owned()))
    }
}

impl Settings {
    fn lay_over(self, spec: &mut ServiceSpec) {
        fn set<T>(place: &mut T, given: Option<T>) {
            if let Some(given) = given {
                *place = given;
            }
        }
        set(&mut spec.orgs, Some(self.orgs).filter(|orgs| !orgs.is_empty()));
        set(&mut spec.deadline, self.deadline);
        set(&mut spec.attempts, self.attempts);
        set(&mut spec.give_up_after, self.give_up_after);
        set(&mut spec.in_flight, self.in_flight);
        set(&mut spec.queue_max, self.queue_max);
        set(&mut spec.allow_private, self.allow_private);
        set(&mut spec.rights, self.rights);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        verb: Verb,
    }

    fn settings(words: &[&str]) -> Settings {
        let words = ["service", "change", "yara"].iter().chain(words);
        match Line::try_parse_from(words).expect("a command line").verb {
            Verb::Change(change) => change.settings,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_not_named_stays_as_it_is() {
        let name: Name = "yara".parse().expect("a name");
        let before = ServiceSpec::new(name, "https://svc.example/".to_owned());
        let mut spec = before.clone();
        settings(&[]).lay_over(&mut spec);
        assert_eq!(spec, before);
        settings(&[
            "--org",
            "acme",
            "--org",
            "b",
            "--attempts",
            "3",
            "--allow-private",
        ])
        .lay_over(&mut spec);
        let changed = ServiceSpec {
            orgs: ["acme", "b"].map(|org| org.parse().expect("an org")).to_vec(),
            attempts: 3,
            allow_private: true,
            ..before.clone()
        };
        assert_eq!(spec, changed);
        settings(&["--allow-private", "false"]).lay_over(&mut spec);
        assert!(!spec.allow_private);
    }

    #[test]
    fn a_secret_is_read_without_the_end_of_its_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        std::fs::write(&path, "sesame \n").expect("written");
        let secret = Secret {
            secret_file: Some(path),
        };
        assert_eq!(secret.needed().expect("a secret"), "sesame ");
        let gone = Secret {
            secret_file: Some(folder.path().join("nowhere")),
        };
        assert_eq!(gone.given().expect_err("nothing").code(), 2);
    }
}
