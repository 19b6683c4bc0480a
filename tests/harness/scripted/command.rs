//! The life of one command at a host, as its script says.

use super::behaviour::Behaviour;
use super::host::Host;
use super::line::{Ear, End, Line};
use super::transfer::Moving;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256 as Hasher};
use std::sync::Arc;
use std::time::Duration;
use tripline_protocol::frame::{AgentFrame, CODE_CANCELLED, Command};
use tripline_protocol::verb::{FileWritten, GetFile, PutFile, Verb, VerbCall};
use tripline_protocol::{Fault, Sha256};

/// A command with all it needs.
pub(super) struct Task {
    pub(super) host: Arc<Host>,
    pub(super) command: Command,
    pub(super) behaviour: Behaviour,
    pub(super) line: Line,
    pub(super) ear: Ear,
}

/// How a cancellation is confirmed.
pub(super) fn cancelled() -> Fault {
    Fault::server(CODE_CANCELLED, "the command was cancelled")
}

impl Task {
    /// Carries it out, and leaves its result with the host.
    pub(super) async fn run(mut self) {
        let command_id = self.command.command_id;
        self.line.frame(&AgentFrame::Accepted { command_id });
        let ended = self.ear.ended();
        let deadline = Duration::from_millis(self.command.remaining_ms);
        let keeps_deadline = !matches!(self.behaviour, Behaviour::Never);
        let outcome = tokio::select! {
            biased;
            end = ended => match end {
                End::Cancelled => Err(cancelled()),
                End::Died => return,
            },
            outcome = self.act() => outcome,
            // As the real agent, it keeps the time that it was given.
            () = tokio::time::sleep(deadline), if keeps_deadline => {
                Err(Fault::timeout("command_timeout", "the command's time is up"))
            }
        };
        self.host.finish(command_id, outcome);
    }

    async fn act(&mut self) -> Result<Value, Fault> {
        let verb = self.command.call.verb();
        if !self.host.persona.has(verb) {
            return Err(Fault::unsupported(
                "unsupported_verb",
                format!("this host does not have {verb}"),
            ));
        }
        match self.behaviour.clone() {
            Behaviour::Answer | Behaviour::Miss => self.carry_out(None).await,
            // The script says how slow the host is.
            Behaviour::After(time) => {
                tokio::time::sleep(time).await;
                self.carry_out(None).await
            }
            Behaviour::When(permits) => {
                if let Ok(permit) = permits.acquire().await {
                    permit.forget();
                }
                self.carry_out(None).await
            }
            Behaviour::Fail(fault) => Err(fault),
            Behaviour::Never => std::future::pending().await,
            Behaviour::DropConnection => {
                self.line.cut();
                self.carry_out(None).await
            }
            Behaviour::Die => {
                self.host.die(&self.line);
                std::future::pending().await
            }
            Behaviour::CutAfter(bytes) => self.carry_out(Some(bytes)).await,
            Behaviour::WrongHash => {
                let mut output = self.carry_out(None).await?;
                if let Some(sha256) = output.get_mut("sha256") {
                    *sha256 = json!("0".repeat(64));
                }
                Ok(output)
            }
        }
    }

    async fn carry_out(&mut self, cut_after: Option<u64>) -> Result<Value, Fault> {
        let call = self.command.call.clone();
        match &call {
            VerbCall::GetFile(args) => self.get(Verb::GetFile, args, cut_after).await,
            VerbCall::GetRawFile(args) => self.get(Verb::GetRawFile, args, cut_after).await,
            VerbCall::PutFile(args) => self.put(args, cut_after).await,
            VerbCall::Isolate(args) => Ok(self.host.isolate(self.command.command_id, args)),
            VerbCall::Unisolate(_) => Ok(self.host.unisolate()),
            call => self.host.machine().run(call),
        }
    }

    fn moving(&mut self, cut_after: Option<u64>) -> Moving<'_> {
        Moving {
            id: self.command.command_id,
            line: &self.line,
            ear: &mut self.ear,
            cut_after,
        }
    }

    async fn get(&mut self, verb: Verb, args: &GetFile, cut_after: Option<u64>) -> Result<Value, Fault> {
        let content = self.host.machine().fetched(verb, args)?;
        Ok(json!(self.moving(cut_after).send(&content, args).await?))
    }

    async fn put(&mut self, args: &PutFile, cut_after: Option<u64>) -> Result<Value, Fault> {
        self.host.machine().check_put(args)?;
        let content = match (&args.content, &args.content_b64, self.command.transfer.clone()) {
            (Some(text), _, _) => text.as_bytes().to_vec(),
            (_, Some(b64), _) => STANDARD
                .decode(b64)
                .map_err(|error| Fault::live_response("EINVAL", error.to_string()))?,
            (_, _, Some(transfer)) => self.moving(cut_after).receive(&transfer).await?,
            _ => return Err(Fault::server("transfer_missing", "no content was announced")),
        };
        let written = FileWritten {
            bytes: content.len() as u64,
            sha256: Sha256::from_digest(&Hasher::digest(&content).into()),
        };
        self.host.machine().put(&args.path, content);
        Ok(json!(written))
    }
}
