//! Reads a value of the registry on a host, with a job that is a type of its own:
//!
//! ```sh
//! cargo run -p tripline-client --example registry_value -- WIN01 'HKLM\Software\Acme\Level'
//! ```

mod shared;

use clap::Parser;
use std::process::ExitCode;
use tripline_client::{Error, Job, RegistryValue, Session};

/// Reads a value of the registry on a host
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    server: shared::Server,
    /// The host, by name, host id or sensor id
    host: String,
    /// The value's path: HKLM\…\Key\Value
    path: String,
}

/// The job.
struct GetRegistryValue {
    path: String,
}

impl Job for GetRegistryValue {
    type Output = RegistryValue;
    type Error = Error;

    async fn run(&self, session: &Session) -> Result<RegistryValue, Error> {
        session.get_registry_value(&*self.path).await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::end(read(Arguments::parse()).await)
}

async fn read(arguments: Arguments) -> Result<(), Error> {
    let client = arguments.server.connect().await?;
    let job = GetRegistryValue { path: arguments.path };
    let value = client.submit_job(job, arguments.host).await;
    client.jobs().drain().await;
    let value = value?;
    println!("{} {} {}", value.value_name, value.value_type, value.value_data);
    Ok(())
}
