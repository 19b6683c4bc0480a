//! Where the real programs are, and how they are started.

use std::path::PathBuf;
use std::process::Command;

/// The variable with the folder of the virtual environment.
const VARIABLE: &str = "TRIPLINE_LITTLEBROTHER";

fn folder() -> PathBuf {
    let folder = std::env::var_os(VARIABLE).map(PathBuf::from).unwrap_or_default();
    assert!(
        folder.join("bin/run_little_brother.py").is_file(),
        "{VARIABLE} does not name a folder with the real LittleBrother programs: run `make test`, or `make \
         littlebrother` and then the tests with {VARIABLE}=.venv/littlebrother as an absolute path"
    );
    folder
}

/// The Python of the environment. It finds no proxy and no Tripline in its environment.
pub(super) fn python() -> Command {
    let mut command = Command::new(folder().join("bin/python"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_lowercase();
        if text.starts_with("tripline_") || text.ends_with("_proxy") || text.starts_with("python") {
            command.env_remove(&name);
        }
    }
    command.env("PYTHONUNBUFFERED", "1");
    command
}

/// The program, which is client or server by its configuration.
pub(super) fn little_brother() -> Command {
    let mut command = python();
    command.arg(folder().join("bin/run_little_brother.py"));
    command
}
