//! `tripline serve`: arguments of the server.

use super::{Failure, Global};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(
    after_help = "Without a file it runs on the defaults, with a broker of its own. Every key can also be set in the\n\
                        environment, such as TRIPLINE__HTTP__LISTEN=127.0.0.1:8000; `tripline config check` prints what\n\
                        is in force. SIGTERM and SIGINT end it in order, a second one at once; SIGHUP reads the rules\n\
                        and the configuration's [littlebrother] again.\n\n\
                        Exit codes: 0 ended in order, 2 bad configuration or rules, or the data directory is in use or\n\
                        not writable, or a port is taken, 3 the store does not open, 4 the store failed.\n\n\
                        Examples:\n  tripline serve\n  tripline serve --config tripline.toml"
)]
pub(super) struct Arguments {
    /// The configuration, a TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<(), Failure> {
    let source = super::config::source(global, arguments.config.as_deref());
    let config = super::config::load(&source)?;
    crate::serve::run(config, source)
}
