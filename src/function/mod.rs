//! `tripline-function`: the LimaCharlie service role for hosts that start a program for each request, such as AWS Lambda with a
//! custom runtime or a shell behind a queue. It reads one request on stdin, publishes the event that it carries to JetStream, and
//! writes one response to stdout, both in the form of Lambda's proxy integration.
//!
//! There is no store here: durable means the broker's ack, with `Nats-Msg-Id` = `<oid>/<mid>`, so that a repeat within the stream's
//! duplicate window is stored once. Without an ack the call is answered with `retry: true`. Deliberately not here: what needs the
//! server's state (`request`, `command`, resources, installing and uninstalling orgs).

mod relay;
mod request;
mod settings;

use crate::cli::chain;
use relay::Relay;
use request::Request;
use settings::Settings;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;
use tripline_service::Runtime;

/// Longest request read: a call of the longest in base64, with room for headers.
const REQUEST_BYTES_MAX: u64 = 80 * 1024 * 1024;

const HELP: &str = "\
Answers one request of a LimaCharlie cloud: reads {\"headers\": {…}, \"body\": \"…\", \"isBase64Encoded\": false} on stdin, writes
{\"statusCode\": …, \"headers\": {…}, \"body\": \"…\"} to stdout. The event of the call is on the broker's stream before it is answered.

Environment:
  TRIPLINE_SERVICE_SECRET, TRIPLINE_SERVICE_SECRET_FILE   the secret shared with the cloud, or a file with it
  TRIPLINE_FUNCTION_DETECTIONS                            names of detections it subscribes to, separated by commas
  TRIPLINE_FUNCTION_ETYPES                                etypes it handles, separated by commas
                                                          [default: detection,new_sensor,deployment_event,log_event,service_error]
  TRIPLINE__NATS__URL, …__USER, …__PASSWORD, …__CREDENTIALS, …__CA, …__SUBJECT_PREFIX
                                                          the broker, as the server has it

Exit codes: 0 a response was written, 1 it could not be, 2 bad environment, or a request that is none.";

/// Runs the program.
pub fn main() -> ExitCode {
    if std::env::args_os().len() > 1 {
        let mut stdout = std::io::stdout().lock();
        // Nobody is left to tell if that fails.
        let _ = writeln!(stdout, "{HELP}");
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut stderr = std::io::stderr().lock();
            let _ = writeln!(stderr, "tripline-function: {}", chain(&error));
            match error {
                Error::Write(_) => ExitCode::FAILURE,
                _ => ExitCode::from(2),
            }
        }
    }
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("read the environment")]
    Settings(#[from] settings::Error),
    #[error("read the request")]
    Read(#[source] std::io::Error),
    #[error("read the request: it has more than {REQUEST_BYTES_MAX} bytes")]
    TooLong,
    #[error("understand the request")]
    Request(#[from] request::Error),
    #[error("write the response")]
    Write(#[source] std::io::Error),
}

fn run() -> Result<(), Error> {
    // Fails only when somebody installed one before; then that one is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = Settings::read(std::env::vars_os())?;
    let mut text = Vec::new();
    let mut stdin = std::io::stdin().lock().take(REQUEST_BYTES_MAX + 1);
    stdin.read_to_end(&mut text).map_err(Error::Read)?;
    if text.len() as u64 > REQUEST_BYTES_MAX {
        return Err(Error::TooLong);
    }
    let request = Request::read(&text)?;
    let now = SystemTime::now().into();
    let secret = settings.secret.expose().to_owned();
    let runtime = Runtime::new(Arc::new(Relay::new(settings)), secret, now)
        .taking(crate::limacharlie::CALL_BYTES_TAKEN_MAX);
    let handled = runtime.handle(request.headers(), &request.body, now);
    let response = actix_rt::System::new().block_on(handled);
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(&request::written(&response));
    written.and_then(|()| stdout.flush()).map_err(Error::Write)
}
