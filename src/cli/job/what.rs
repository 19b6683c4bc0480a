//! What a job is to do, as options say it: from a file, by the name of a named job, or a single verb.

use crate::cli::Failure;
use clap::{ArgGroup, Args};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use tripline_protocol::job::JobSpec;
use tripline_protocol::step::Step;
use tripline_protocol::verb::{Verb, VerbCall};
use tripline_protocol::{Name, Span};

/// Largest job file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["file", "named", "verb"]))]
pub(in crate::cli) struct What {
    /// A YAML file with the job
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The name of a named job
    #[arg(long, value_name = "NAME")]
    named: Option<Name>,
    /// A parameter of the named job; the value is JSON if it can be read as such, else text
    #[arg(long = "param", value_name = "KEY=VALUE", value_parser = parameter, conflicts_with_all = ["file", "verb"])]
    params: Vec<(String, Value)>,
    /// A single verb, such as list_processes
    #[arg(long, value_parser = verb)]
    verb: Option<Verb>,
    /// The verb's arguments
    #[arg(long, value_name = "JSON", conflicts_with_all = ["file", "named"])]
    args: Option<String>,
    /// How long the single verb may run, such as 2m
    #[arg(long, value_name = "SPAN", conflicts_with_all = ["file", "named"])]
    timeout: Option<Span>,
}

/// The same as a submission has it.
#[derive(Debug)]
pub(in crate::cli) struct Asked {
    pub(in crate::cli) job: Option<JobSpec>,
    pub(in crate::cli) named: Option<Name>,
    pub(in crate::cli) params: Map<String, Value>,
}

impl What {
    /// Reads the file, or makes the job of the single verb; what is wrong is told before anything is sent.
    pub(in crate::cli) fn read(self) -> Result<Asked, Failure> {
        let job = match (&self.file, self.verb) {
            (Some(path), _) => Some(read_job(path)?),
            (None, Some(verb)) => Some(single(verb, self.args.as_deref(), self.timeout)?),
            (None, None) => None,
        };
        Ok(Asked {
            job,
            named: self.named,
            params: self.params.into_iter().collect(),
        })
    }
}

/// What a header can be; how long it may be, the server says.
pub(in crate::cli) fn idempotency_key(text: &str) -> Result<String, String> {
    match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err("expected visible ASCII characters without spaces".to_owned()),
    }
}

fn parameter(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((
            key.to_owned(),
            serde_json::from_str(value).unwrap_or_else(|_| value.into()),
        )),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

fn verb(text: &str) -> Result<Verb, String> {
    text.parse().map_err(|_| {
        let known: Vec<&str> = Verb::ALL.iter().map(|verb| verb.as_str()).collect();
        format!("expected one of {}", known.join(", "))
    })
}

/// A job of one verb, named like it.
fn single(verb: Verb, args: Option<&str>, timeout: Option<Span>) -> Result<JobSpec, Failure> {
    let args: Value = match args {
        Some(text) => serde_json::from_str(text)
            .map_err(|error| Failure::Input(format!("--args is not JSON: {error}")))?,
        None => Value::Object(Map::new()),
    };
    VerbCall::parse(verb, args.clone()).map_err(|error| Failure::Input(error.to_string()))?;
    let name = verb.as_str().parse().map_err(|error| Failure::input(&error))?;
    let mut step = Step::new(verb, args);
    step.timeout = timeout;
    Ok(JobSpec {
        timeout,
        ..JobSpec::new(name, vec![step])
    })
}

/// Reads a job file; arguments are checked here as far as they hold no template.
fn read_job(path: &Path) -> Result<JobSpec, Failure> {
    let shown = path.display();
    let size = std::fs::metadata(path).map(|metadata| metadata.len());
    if size.is_ok_and(|size| size > FILE_BYTES_MAX) {
        return Err(Failure::Input(format!(
            "{shown} is longer than {FILE_BYTES_MAX} bytes"
        )));
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Input(format!("cannot read {shown}: {error}")))?;
    serde_saphyr::from_str(&text).map_err(|error| {
        let place = error.location().map_or_else(String::new, |location| {
            format!(":{}:{}", location.line(), location.column())
        });
        Failure::Input(format!("{shown}{place}: {}", error.without_snippet()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.yaml");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn parameters_are_json_where_they_can_be_and_text_where_not() {
        assert_eq!(parameter("pid=42").unwrap(), ("pid".into(), json!(42)));
        assert_eq!(parameter("name=a=b").unwrap(), ("name".into(), json!("a=b")));
        assert_eq!(parameter("on=true").unwrap(), ("on".into(), json!(true)));
        assert_eq!(parameter("id=\"42\"").unwrap(), ("id".into(), json!("42")));
        assert!(parameter("pid").is_err() && parameter("=1").is_err());
    }

    #[test]
    fn a_single_verb_becomes_a_job_of_its_name() {
        let job = single(Verb::GetFile, Some("{\"path\": \"/etc/hosts\"}"), None).unwrap();
        assert_eq!(
            serde_json::to_value(&job).unwrap()["steps"],
            json!([{"get_file": {"path": "/etc/hosts"}}])
        );
        assert_eq!(job.name.as_str(), "get_file");
    }

    #[test]
    fn arguments_that_do_not_fit_the_verb_are_refused_before_anything_is_sent() {
        for args in [None, Some("{"), Some("{\"paht\": \"/\"}")] {
            assert_eq!(
                single(Verb::GetFile, args, None).unwrap_err().code(),
                2,
                "{args:?}"
            );
        }
    }

    #[test]
    fn a_job_file_is_read_with_its_steps() {
        let (_folder, path) = file(
            "name: triage\ntimeout: 2m\nsteps:\n  - id: p\n    list_processes: {}\n  - get_file: { path: /etc/hosts }\n    on_error: continue\n",
        );
        let job = read_job(&path).unwrap();
        assert_eq!(job.steps.len(), 2);
        assert_eq!(job.timeout, Some(Span::from_secs(120)));
        assert_eq!(job.steps[1].args, json!({"path": "/etc/hosts"}));
    }

    #[test]
    fn a_wrong_job_file_is_refused_with_its_line() {
        let (_folder, path) = file("name: triage\nstep: []\n");
        let failure = read_job(&path).unwrap_err();
        let text = failure.lines().join("\n");
        assert!(text.contains("job.yaml:2:1: ") && text.contains("step"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert_eq!(failure.code(), 2);
        assert_eq!(read_job(Path::new("/nonexistent")).unwrap_err().code(), 2);
    }

    #[test]
    fn a_job_file_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("job.yaml");
        let job = "name: look\nsteps:\n  - list_processes: {}\n#";
        let padding = usize::try_from(FILE_BYTES_MAX).expect("small") - job.len();
        std::fs::write(&path, format!("{job}{}", "x".repeat(padding))).expect("written");
        assert!(read_job(&path).is_ok());
        std::fs::write(&path, format!("{job}{}", "x".repeat(padding + 1))).expect("written");
        let refused = format!("{:?}", read_job(&path).expect_err("too long"));
        assert!(refused.contains("longer than 1048576 bytes"), "{refused}");
    }
}
