//! Fetches one file from many hosts, ten at a time, into a folder with one folder for each host:
//!
//! ```sh
//! cargo run -p tripline-client --example collect_file -- --label web --into evidence /var/log/auth.log
//! ```

mod shared;

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use tripline_client::{Client, Error, Host, Session};

/// Fetches one file from many hosts
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    server: shared::Server,
    /// A host, by name, host id or sensor id; may be given again. Default: all that are online
    #[arg(long = "host", conflicts_with = "label")]
    hosts: Vec<String>,
    /// All hosts with this label that are online
    #[arg(long)]
    label: Option<String>,
    /// The folder for the files
    #[arg(long, default_value = ".")]
    into: PathBuf,
    /// The file's path on the hosts
    path: String,
}

/// Jobs may fail with anything that an error of the client can become.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::end(collect(&Arguments::parse()).await)
}

async fn collect(arguments: &Arguments) -> Result<(), Failure> {
    let client = arguments.server.connect().await?;
    let mut jobs = Vec::new();
    for host in hosts(&client, arguments).await? {
        let folder = arguments.into.join(host.id().to_string());
        let path = arguments.path.clone();
        let fetch = async move |session: &Session| {
            let name = path.rsplit(['/', '\\']).next().unwrap_or("file");
            // Only a host that has the file gets a folder.
            let content = session.get_file(&*path).await?;
            tokio::fs::create_dir_all(&folder).await?;
            let fetched = content.to_path(folder.join(name)).await?;
            Ok::<_, Failure>(fetched)
        };
        let job = client.submit_job(fetch, &host);
        jobs.push((host, job));
    }
    let mut failed = None;
    for (host, job) in jobs {
        match job.await {
            Ok(fetched) => println!(
                "{} {} bytes, sha256 {}",
                host.hostname(),
                fetched.bytes,
                fetched.sha256
            ),
            Err(error) => {
                eprintln!("{}: {error}", host.hostname());
                failed = Some(error);
            }
        }
    }
    // Sessions that are still open are closed now; else they are left to the server's lease.
    client.jobs().drain().await;
    failed.map_or(Ok(()), Err)
}

async fn hosts(client: &Client, arguments: &Arguments) -> Result<Vec<Host>, Error> {
    if arguments.hosts.is_empty() {
        let hosts = client.hosts().online();
        return match &arguments.label {
            Some(label) => hosts.label(label).list().await,
            None => hosts.list().await,
        };
    }
    let mut hosts = Vec::new();
    for name in &arguments.hosts {
        hosts.push(client.host(name).await?);
    }
    Ok(hosts)
}
