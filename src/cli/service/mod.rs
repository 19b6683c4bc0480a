//! `tripline service`: services of the LimaCharlie protocol.

mod asked;
mod cloud;
mod registered;
mod view;

use super::{Failure, Global};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    #[command(flatten)]
    Registered(registered::Verb),
    /// Try a service by playing the cloud: health, every etype it handles, and bad input
    ///
    /// Needs no server and no account anywhere: only the URL of a service and its secret. What it sends is made up, and is about
    /// an org that does not exist, but the service takes it for real. A final org_uninstall takes back what the org_install began.
    #[command(after_help = cloud::HELP)]
    Test(cloud::Arguments),
}

pub(super) async fn run(global: &Global, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Test(arguments) => cloud::run(global, &arguments).await,
        Verb::Registered(verb) => registered::run(global, verb).await,
    }
}
