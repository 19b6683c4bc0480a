//! `create_directory`.

use super::{Context, Done};
use tripline_protocol::Fault;
use tripline_protocol::verb::CreateDirectory;

pub(super) fn run(context: &Context<'_>, args: &CreateDirectory) -> Result<Done, Fault> {
    context
        .platform
        .create_directory(&args.path, args.parents, context.policy)?;
    Ok(Done::nothing())
}
