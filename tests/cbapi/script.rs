//! A user's script: a Python program with the real cbapi, and what it tells the test.

use crate::harness::PATIENCE;
use crate::python::Environment;
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

const ENVIRONMENT: Environment = Environment {
    variable: "TRIPLINE_CBAPI",
    name: "cbapi",
};

/// One that runs. It is killed when it is dropped.
pub(crate) struct Script {
    child: Child,
    told: Lines<BufReader<ChildStdout>>,
    stdin: Option<ChildStdin>,
    errors: PathBuf,
}

impl Script {
    /// Starts a program in a folder of its own, which is its home, too.
    pub(crate) fn start(folder: &Path, program: &str, environment: &[(&str, String)]) -> Self {
        std::fs::create_dir_all(folder).expect("a folder");
        let (file, errors) = (folder.join("script.py"), folder.join("stderr"));
        std::fs::write(&file, program).expect("to write");
        let mut command = Command::from(ENVIRONMENT.python());
        let mut child = command
            .arg("-u")
            .arg(&file)
            .current_dir(folder)
            .env("HOME", folder)
            .env(
                "PYTHONPATH",
                Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cbapi"),
            )
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .envs(environment.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).expect("a file"))
            .kill_on_drop(true)
            .spawn()
            .expect("to start Python");
        Self {
            told: BufReader::new(child.stdout.take().expect("piped")).lines(),
            stdin: child.stdin.take(),
            child,
            errors,
        }
    }

    /// A line of its output; `None` at its end.
    pub(crate) async fn line(&mut self) -> Option<String> {
        match tokio::time::timeout(PATIENCE, self.told.next_line()).await {
            Ok(line) => line.expect("UTF-8"),
            Err(_) => panic!("the script says nothing\n{}", self.errors()),
        }
    }

    /// The next thing it tells.
    pub(crate) async fn says(&mut self) -> Value {
        match self.line().await {
            Some(line) => serde_json::from_str(&line).unwrap_or(Value::String(line)),
            None => panic!("the script ended: {}", self.errors()),
        }
    }

    /// Lets it go on after it waited.
    pub(crate) async fn go_on(&mut self) {
        let stdin = self.stdin.as_mut().expect("open");
        stdin.write_all(b"\n").await.expect("it reads");
    }

    /// Waits for its end, which must be a good one; what it told until then.
    pub(crate) async fn end(mut self) -> Vec<Value> {
        let mut told = Vec::new();
        while let Some(line) = self.line().await {
            told.push(serde_json::from_str(&line).unwrap_or(Value::String(line)));
        }
        let status = self.child.wait().await.expect("its end");
        assert!(
            status.success(),
            "the script failed: {status}\n{}\nit had told: {told:?}",
            self.errors()
        );
        told
    }

    /// What Python wrote about exceptions.
    pub(crate) fn errors(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap_or_default()
    }
}
