//! Scripts with the real cbapi, as children.

use super::Outcome;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Names the folder of the virtual environment; without it, the one in the checkout.
const VARIABLE: &str = "TRIPLINE_CBAPI";
const PATIENCE: Duration = Duration::from_secs(900);

/// The Python that has the real cbapi.
fn python() -> Outcome<PathBuf> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/cbapi");
    let environment = std::env::var_os(VARIABLE).map_or(above, PathBuf::from);
    let python = environment.join("bin/python");
    if !python.is_file() {
        return Err(format!(
            "no real cbapi in {}: `make cbapi` puts it there, and {VARIABLE} names another folder",
            environment.display()
        )
        .into());
    }
    Ok(python)
}

/// Runs a script of this folder with what it is given; what it prints in the end.
pub(crate) async fn run<T: DeserializeOwned>(script: &str, given: &Value) -> Outcome<T> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/carbonblack");
    let child = Command::new(python()?)
        .arg(folder.join(script))
        .arg(given.to_string())
        // A user's own profile and proxies are not meant.
        .env("HOME", env!("CARGO_TARGET_TMPDIR"))
        .env("NO_PROXY", "*")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await??;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{script} ended with {}:\n{said}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
