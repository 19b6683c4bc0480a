//! `isolate`: cuts the host off from everything but its server, for a time.

use super::{Context, Done};
use tripline_protocol::Fault;
use tripline_protocol::verb::Isolate;

pub(super) fn run(context: &Context<'_>, args: &Isolate) -> Result<Done, Fault> {
    Done::of(&context.isolation.isolate(context.id, args)?)
}
