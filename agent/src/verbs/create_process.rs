//! `create_process`: `argv` as it is, or `command` split as POSIX words; never a shell.

use super::{Context, Done};
use crate::platform::ProcessSpec;
use tripline_protocol::limit::OUTPUT_BYTES_MAX;
use tripline_protocol::verb::{CreateProcess, ProcessOutcome};
use tripline_protocol::{Fault, RemotePath};

pub(super) fn run(context: &Context<'_>, args: &CreateProcess) -> Result<Done, Fault> {
    let spec = spec(context, args)?;
    if !args.wait.unwrap_or(true) {
        let pid = context.platform.start_process(&spec, context.policy)?;
        return Done::of(&ProcessOutcome {
            pid,
            exit_code: None,
            signal: None,
            stdout: None,
            stderr: None,
        });
    }
    let outcome = context
        .platform
        .run_process(&spec, context.policy, context.stop, context.started)?;
    let captured = [&outcome.stdout, &outcome.stderr];
    let truncated_bytes = captured
        .into_iter()
        .flatten()
        .map(|captured| captured.truncated_bytes)
        .sum();
    Ok(Done {
        truncated_bytes,
        ..Done::of(&outcome)?
    })
}

fn spec(context: &Context<'_>, args: &CreateProcess) -> Result<ProcessSpec, Fault> {
    let limit = args
        .output_bytes_max
        .unwrap_or(u64::MAX)
        .min(context.policy.output_bytes_max);
    Ok(ProcessSpec {
        id: context.id,
        argv: argv(args)?,
        working_directory: args.working_directory.clone(),
        environment: args.environment.clone(),
        timeout: args.timeout.map(|span| span.to_duration()),
        output_path: args.output_path.clone(),
        output_bytes_max: usize::try_from(limit).unwrap_or(usize::MAX).min(OUTPUT_BYTES_MAX),
    })
}

fn argv(args: &CreateProcess) -> Result<Vec<RemotePath>, Fault> {
    let argv: Vec<RemotePath> = match (&args.argv, &args.command) {
        (Some(argv), None) => argv.clone(),
        (None, Some(command)) => {
            let words = shell_words::split(command).map_err(|error| invalid(&format!("command: {error}")))?;
            words.into_iter().map(RemotePath::from).collect()
        }
        _ => return Err(invalid("exactly one of argv and command is needed")),
    };
    if argv.is_empty() {
        return Err(invalid("no program is named"));
    }
    Ok(argv)
}

fn invalid(text: &str) -> Fault {
    Fault::live_response("EINVAL", text)
}
