//! What every load program does alike: its parts are chosen by name, and it runs on one thread.

use super::{Outcome, machine};
use clap::ValueEnum;

/// The parts that were named.
#[derive(Debug, clap::Args)]
pub(crate) struct Chosen<P: ValueEnum + Send + Sync + 'static> {
    /// What to measure; all of it when nothing is named.
    #[arg(value_enum)]
    named: Vec<P>,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

impl<P: ValueEnum + Send + Sync> Chosen<P> {
    /// Those that were named, or all.
    pub(crate) fn parts(&self) -> Vec<P> {
        match self.named.is_empty() {
            true => P::value_variants().to_vec(),
            false => self.named.clone(),
        }
    }
}

/// Says on which machine, and runs.
pub(crate) fn run(load: impl Future<Output = Outcome>) -> Outcome {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| "a crypto provider was installed already")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    println!("{}", machine::describe());
    runtime.block_on(load)
}
