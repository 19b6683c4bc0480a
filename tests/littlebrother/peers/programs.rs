//! Where the real programs are, and how they are started.

use super::python::Environment;
use std::process::Command;

const ENVIRONMENT: Environment = Environment {
    variable: "TRIPLINE_LITTLEBROTHER",
    name: "littlebrother",
};

/// The Python of their environment.
pub(super) fn python() -> Command {
    ENVIRONMENT.python()
}

/// The program, which is client or server by its configuration.
pub(super) fn little_brother() -> Command {
    let mut command = python();
    command.arg(ENVIRONMENT.folder().join("bin/run_little_brother.py"));
    command
}
