//! If this, then that: whenever an event of a type comes that means a host, looks which processes run there.
//!
//! ```sh
//! cargo run -p tripline-client --example ifttt -- PROHIBITED_PROCESS 'acme.alert.*'
//! ```

mod shared;

use clap::Parser;
use std::process::ExitCode;
use tripline_client::{Error, ProcessListing, Session};

/// Lists the processes of the host of every event of these types
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    server: shared::Server,
    /// End after so many events with a host. Default: never
    #[arg(long)]
    count: Option<usize>,
    /// Types of events, or patterns of them: acme.alert.*
    #[arg(required = true)]
    etypes: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::end(react(&Arguments::parse()).await)
}

async fn processes(session: &Session) -> Result<ProcessListing, Error> {
    session.list_processes().await
}

async fn react(arguments: &Arguments) -> Result<(), Error> {
    let client = arguments.server.connect().await?;
    let mut events = client.events(&arguments.etypes).await?;
    eprintln!("listening from number {} on", events.position());
    let mut left = arguments.count;
    while left != Some(0) {
        let event = events.next_event().await?;
        let Some(host) = event.hostid else { continue };
        match client.submit_job(processes, host).await {
            Ok(listing) => println!(
                "{} {}: {} processes",
                event.etype,
                event.id,
                listing.processes.len()
            ),
            // One host that cannot be reached is no reason to be deaf to the others.
            Err(error) => eprintln!("{} {}: {error}", event.etype, event.id),
        }
        left = left.map(|left| left.saturating_sub(1));
    }
    client.jobs().drain().await;
    Ok(())
}
