//! `list_directory`: one directory, sorted by name, nothing followed.

use super::listing::fit;
use super::{Context, Done};
use tripline_protocol::Fault;
use tripline_protocol::verb::PathOnly;

pub(super) fn run(context: &Context<'_>, args: &PathOnly) -> Result<Done, Fault> {
    let listed = context
        .platform
        .list_directory(&args.path, context.policy, context.stop)?;
    Ok(Done {
        output: fit("files", &listed)?,
        truncated_bytes: 0,
    })
}
