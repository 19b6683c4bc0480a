//! `kill_process`: returns once the process is gone.

use super::{Context, Done};
use tripline_protocol::Fault;
use tripline_protocol::verb::KillProcess;

pub(super) fn run(context: &Context<'_>, args: &KillProcess) -> Result<Done, Fault> {
    context.platform.kill_process(args, context.stop)?;
    Ok(Done::nothing())
}
