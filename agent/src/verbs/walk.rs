//! `walk`: a tree, sorted by path below its top, nothing followed.
//!
//! `omitted` counts what was seen and left out; below a directory that was not entered because the listing
//! was full there may be more.

use super::listing::fit;
use super::{Context, Done};
use tripline_protocol::Fault;
use tripline_protocol::verb::Walk;

/// Levels entered when the caller does not say.
const DEPTH_DEFAULT: u32 = 16;

pub(super) fn run(context: &Context<'_>, args: &Walk) -> Result<Done, Fault> {
    let depth = args.depth_max.unwrap_or(DEPTH_DEFAULT);
    let listed = context
        .platform
        .walk(&args.path, depth, context.policy, context.stop)?;
    Ok(Done {
        output: fit("files", &listed)?,
        truncated_bytes: 0,
    })
}
