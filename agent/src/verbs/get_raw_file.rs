//! `get_raw_file`: as `get_file`, but it leaves no trace on the file and may read a block device.

use super::{Context, Done, get_file};
use tripline_protocol::Fault;
use tripline_protocol::verb::GetFile;

pub(super) fn run(context: &Context<'_>, args: &GetFile) -> Result<Done, Fault> {
    let (file, size) = context.platform.open_raw(&args.path, context.policy)?;
    get_file::run_with(context, args, file, size)
}
