//! Pipelines and named jobs: reading their files, deciding which pipelines an event trips, and making jobs
//! of them. The language is described in `docs/pipelines.md`.
//!
//! Everything is checked as a whole when it is loaded; what is evaluated later (conditions, templates) is
//! compiled then and bounded in time, memory and stack, as events are written by others.
//!
//! Deliberately not here: watching the folders, the clock, hosts, jobs that run. Only [`RuleSet::load`]
//! reads files.

mod argument;
mod as_written;
mod aside;
mod compiled;
mod condition;
mod facts;
mod fields;
mod file_test;
mod files;
mod for_each;
mod gate;
mod guards;
mod host;
mod index;
mod job;
mod late;
mod named_job;
mod params;
#[expect(
    clippy::module_inception,
    reason = "the module is named after its main type, as all are"
)]
mod pipeline;
mod pipeline_job;
mod problem;
mod render_error;
mod retry;
mod rule_set;
mod schema;
mod server_step;
mod shape;
mod steps;
mod suppress;
mod target;
mod template;
mod vars;
mod when;
mod yaml;

pub use as_written::as_written;
pub use condition::Match;
pub use facts::StepFacts;
pub(crate) use file_test::{Expected, Given, Wanted};
pub use file_test::{FileTest, GivenEvent, GivenHost, HostGiven};
pub use files::is_rule_file;
pub use gate::{AGE_MAX, Closed};
pub use guards::{AutoPause, MaxHosts, PipelineGuards};
pub use host::HostFacts;
pub use index::Candidates;
pub use job::RenderedJob;
pub use late::{LOOP_BYTES_MAX, is_late, prepare_submitted, render_late, step_id};
pub use named_job::NamedJob;
pub use pipeline::Pipeline;
pub(crate) use problem::At;
pub use problem::{FileProblem, LoadError, SourceFile, Warnings};
pub use render_error::RenderError;
pub use rule_set::{PipelineTests, RuleSet};
pub use schema::{MapKeys, job_schema, map_keys, pipeline_schema};
pub use suppress::{Suppress, SuppressScope};
pub use when::{holds_for_all, holds_late};

use sha2::{Digest, Sha256 as Hasher};
use tripline_protocol::Sha256;

/// Reasons not to act and reasons of dead letters that a test may expect.
#[cfg(test)]
pub(crate) fn expected_words() -> (Vec<&'static str>, Vec<&'static str>) {
    let letters = file_test::DEAD.iter().chain(&file_test::HOST_FAILED);
    (file_test::WITHHELD.to_vec(), letters.copied().collect())
}

/// SHA-256 over texts, each with its length, so that no two lists of texts are the same.
fn version<'t>(texts: impl IntoIterator<Item = &'t str>) -> Sha256 {
    let mut hasher = Hasher::new();
    for text in texts {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    Sha256::from_digest(&hasher.finalize().into())
}

#[cfg(test)]
mod tests;
