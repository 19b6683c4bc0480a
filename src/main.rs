//! The `tripline` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    tripline::nats::embedded::guard::run_if_asked().unwrap_or(ExitCode::SUCCESS)
}
