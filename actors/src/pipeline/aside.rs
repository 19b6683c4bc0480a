//! A thread with a large stack, for texts that may nest deeper than other threads could bear: parsing them, and
//! dropping what is refused, recurse as deep as they say.

use std::thread;

const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Runs it there and waits. The error says why there is no result.
pub(super) fn aside<T: Send>(run: impl FnOnce() -> T + Send) -> Result<T, String> {
    thread::scope(|scope| {
        thread::Builder::new()
            .name("pipeline-load".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, run)
            .map_err(|error| format!("failed to start a thread: {error}"))?
            .join()
            .map_err(|_| "the parser failed".to_owned())
    })
}
