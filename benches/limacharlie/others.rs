//! Services that keep nothing: one on the real lcservice (1.8.6, Python; run, and nothing of it copied), and the example that is
//! written with `tripline-service`. Both say that all is well and do no more.

use super::caller::{CAT, Caller, Kind, SECRET};
use super::run::{Plan, Run, run};
use super::usage::cpu_seconds;
use super::{Outcome, machine};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::{Child, Command};

/// Names the folder of the virtual environment; without it, the one in the checkout.
const VARIABLE: &str = "TRIPLINE_LCSERVICE";
/// As small as a service on it can be.
const SERVICE: &str = "import sys
from lcservice import Service
from lcservice.servers.cherrypy import ServeCherryPy
class Bench(Service):
    def onDetection(self, lc, oid, request):
        return True
service = Bench('bench', sys.argv[2])
service.subscribeToDetect(sys.argv[3])
ServeCherryPy(service, interface='127.0.0.1', port=int(sys.argv[1]))
";

/// A run of one of them.
pub(crate) struct OtherRun {
    pub(crate) plan: Plan,
    pub(crate) run: Run,
    /// Processor time of each call.
    pub(crate) cpu_ms: f64,
}

/// All plans against the real one.
pub(crate) async fn real(folder: &Path, plans: &[Plan]) -> Outcome<Vec<OtherRun>> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/lcservice");
    let environment = std::env::var_os(VARIABLE).map_or(above, PathBuf::from);
    let python = environment.join("bin/python");
    if !environment.join("stamp").is_file() {
        return Err(format!(
            "no real lcservice in {}: `make lcservice` puts it there, and {VARIABLE} names another folder",
            environment.display()
        )
        .into());
    }
    let address = free_address()?;
    let mut command = Command::new(python);
    let port = address.port().to_string();
    command.args(["-c", SERVICE, &port, SECRET, CAT]);
    measure("real", spawn(command, folder, "real.log")?, address, plans).await
}

/// All plans against the one in Rust.
pub(crate) async fn library(folder: &Path, plans: &[Plan]) -> Outcome<Vec<OtherRun>> {
    let bin = Path::new(env!("CARGO_BIN_EXE_tripline"));
    let program = bin.with_file_name("examples").join("greeter");
    if !program.is_file() {
        let build = "cargo build --release -p tripline-service --features server --example greeter";
        return Err(format!("{} is missing; build it first: {build}", program.display()).into());
    }
    let address = free_address()?;
    let mut command = Command::new(program);
    command
        .env("PORT", address.port().to_string())
        .env("GREETER_SECRET", SECRET);
    measure("library", spawn(command, folder, "library.log")?, address, plans).await
}

fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn spawn(mut command: Command, folder: &Path, log: &str) -> Outcome<Child> {
    let log = std::fs::File::create(folder.join(log))?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .process_group(0);
    Ok(command.spawn()?)
}

async fn measure(
    name: &str,
    mut child: Child,
    address: SocketAddr,
    plans: &[Plan],
) -> Outcome<Vec<OtherRun>> {
    let pid = child.id().ok_or("it ended at once")?;
    // It is let in as soon as it listens.
    Caller::new(address, "/").call(Kind::Health).await?;
    let mut runs = Vec::new();
    for plan in plans {
        let before = cpu_seconds(pid)?;
        let run = run(address, "/", *plan).await?;
        let cpu_ms = (cpu_seconds(pid)? - before) * 1e3 / run.answered as f64;
        eprintln!(
            "{name}, {:?}, {} callers: {:.0}/s, {} resets, {}",
            plan.kind,
            plan.callers,
            run.rate(),
            run.resets,
            machine::load()
        );
        runs.push(OtherRun {
            plan: *plan,
            run,
            cpu_ms,
        });
    }
    child.kill().await?;
    Ok(runs)
}
