//! `delete_file`: a file, a symlink itself, or an empty directory.

use super::{Context, Done};
use tripline_protocol::Fault;
use tripline_protocol::verb::PathOnly;

pub(super) fn run(context: &Context<'_>, args: &PathOnly) -> Result<Done, Fault> {
    context.platform.delete_file(&args.path, context.policy)?;
    Ok(Done::nothing())
}
