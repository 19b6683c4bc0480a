//! `unisolate`: ends the host's isolation.

use super::{Context, Done};
use tripline_protocol::Fault;

pub(super) fn run(context: &Context<'_>) -> Result<Done, Fault> {
    Done::of(&context.isolation.unisolate()?)
}
