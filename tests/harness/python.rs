//! Python in a virtual environment with what others have published, for the binaries that run it. It is included by
//! its path, and is no part of the harness, because `tests/system` has no Python.

use std::path::PathBuf;
use std::process::Command;

/// A virtual environment that `make` makes.
pub(crate) struct Environment {
    /// The variable with its folder.
    pub(crate) variable: &'static str,
    /// The target of `make`, and the folder below `.venv`.
    pub(crate) name: &'static str,
}

impl Environment {
    /// Where it is.
    pub(crate) fn folder(&self) -> PathBuf {
        let Self { variable, name } = self;
        let folder = std::env::var_os(variable).map(PathBuf::from).unwrap_or_default();
        // Its maker writes this file when everything else is there.
        assert!(
            folder.join("stamp").is_file(),
            "{variable} does not name a finished environment: run `make test`, or `make {name}` and then the tests \
             with {variable}=.venv/{name} as an absolute path"
        );
        folder
    }

    /// Its Python, which finds no proxy and no Tripline in its environment.
    pub(crate) fn python(&self) -> Command {
        let mut command = Command::new(self.folder().join("bin/python"));
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().to_lowercase();
            if text.starts_with("tripline_") || text.ends_with("_proxy") || text.starts_with("python") {
                command.env_remove(&name);
            }
        }
        command.env("PYTHONUNBUFFERED", "1");
        command
    }
}
