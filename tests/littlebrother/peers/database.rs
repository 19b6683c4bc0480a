//! What a real program has written into its sqlite database.

use super::programs::python;
use serde_json::Value;
use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

const PROGRAM: &str = include_str!("database.py");

/// A database that exists, open.
pub(crate) struct Database {
    child: Child,
    pipes: RefCell<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Database {
    pub(super) fn open(file: &Path) -> Self {
        assert!(file.is_file(), "{} does not exist", file.display());
        let mut child = python()
            .args(["-c", PROGRAM])
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("to start python");
        let stdin = child.stdin.take().expect("a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        Self {
            child,
            pipes: RefCell::new((stdin, stdout)),
        }
    }

    /// The rows of a query, as objects; nothing of a statement that changes something.
    pub(crate) fn rows(&self, sql: &str) -> Vec<Value> {
        let mut pipes = self.pipes.borrow_mut();
        writeln!(pipes.0, "{}", Value::from(sql)).expect("to ask");
        let mut line = String::new();
        pipes.1.read_line(&mut line).expect("an answer");
        match serde_json::from_str(&line).expect("JSON") {
            Value::Array(rows) => rows,
            other => panic!("{sql}: {other}"),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
