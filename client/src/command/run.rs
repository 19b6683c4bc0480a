//! Running a command: handing it over exactly once, waiting for its end, cancelling it when nobody waits any more.

use crate::background;
use crate::error::{Error, Result};
use crate::http::{HOLD_MAX, Repeat, Request, Tries};
use crate::listing::{Listing, ROWS};
use crate::session::{Link, stopped};
use serde_json::{Value, json};
use std::sync::Arc;
use tripline_protocol::session::{CommandState, CommandView, RunCommand};
use tripline_protocol::verb::Effect;
use uuid::Uuid;

/// A command that its server has taken. Dropped before its end, it is cancelled.
struct Taken {
    link: Arc<Link>,
    view: CommandView,
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.view.state.has_ended() {
            let (link, number) = (Arc::clone(&self.link), self.view.number);
            background::run(async move { link.cancel_quietly(number).await });
        }
    }
}

/// Runs a command to its end; one that did not succeed is an error.
pub(super) async fn run(link: &Arc<Link>, command: RunCommand) -> Result<CommandView> {
    // Whoever drops this future in the middle of the handing over does not know the command's number; the
    // handing over goes on and its result is dropped, which cancels the command.
    let handing_over = background::through(hand_over(Arc::clone(link), command));
    let mut taken = handing_over.await.unwrap_or_else(|| Err(stopped()))?;
    while !taken.view.state.has_ended() {
        let number = taken.view.number;
        let request = Request::get(&[&"sessions", &link.session_id, &"commands", &number]).held(HOLD_MAX);
        taken.view = link.http().ask(&request).await?;
    }
    ended(taken.view.clone())
}

fn ended(view: CommandView) -> Result<CommandView> {
    match view.state {
        CommandState::Succeeded => Ok(view),
        _ => Err(view.error.map_or_else(
            || {
                let text = format!("command {} is {} for no known reason", view.number, view.state);
                Error::server("bad_answer", text)
            },
            Error::from,
        )),
    }
}

/// The output, which is kept apart when it was too large to be kept with the command.
pub(super) async fn output(link: &Link, view: CommandView) -> Result<Value> {
    if view.output.is_some() || view.artifact.is_none() || view.file.is_some() {
        return Ok(view.output.unwrap_or_default());
    }
    let request = Request::get(&[
        &"sessions",
        &link.session_id,
        &"commands",
        &view.number,
        &"output",
    ]);
    link.http().ask(&request).await
}

/// Gives the command to the server, again when it certainly was not taken, may be taken twice, or is known again by its
/// key. It carries an id as its origin, so that one without a key whose answer was lost is found in the transcript.
async fn hand_over(link: Arc<Link>, mut command: RunCommand) -> Result<Taken> {
    let id = Uuid::new_v4().to_string();
    command.origin = Some(json!({"client": "tripline-client", "id": id}));
    let may_repeat = command.idempotent || command.verb.effect() == Effect::Reads;
    let request = Request::post(&[&"sessions", &link.session_id, &"commands"]).json(&command)?;
    // The server keeps so many keys and no more: they are for those that must not be taken twice.
    let mut tries = Tries::of(if may_repeat { request } else { request.once() });
    let after = link.number_last();
    let mut backoff = link.http().backoff();
    loop {
        let error = match link.http().ask_once::<CommandView>(&tries.request).await {
            Ok(view) => return Ok(take(&link, view)),
            Err(error) => error,
        };
        let not_taken = Repeat::IfNotTaken.allows(&error) || error.code() == "session_pending";
        if !not_taken && Repeat::Freely.allows(&error) && !tries.request.is_once() {
            match find(&link, after, &id).await? {
                Some(view) => return Ok(take(&link, view)),
                None if may_repeat => {}
                None => return Err(lost(&command, NOT_THERE, error)),
            }
        } else if !not_taken && !Repeat::Freely.allows(&error) {
            return Err(error);
        }
        tries.failed(&error);
        if !backoff.pause(error.retry_after()).await {
            return Err(match tries.request.is_once() && tries.is_lost() {
                true => lost(&command, NO_ANSWER, error),
                false => error,
            });
        }
    }
}

fn take(link: &Arc<Link>, view: CommandView) -> Taken {
    link.saw(&view);
    Taken {
        link: Arc::clone(link),
        view,
    }
}

/// The command with this id, if the server has it: it is written down before it is answered, and before it runs.
async fn find(link: &Link, after: u32, id: &str) -> Result<Option<CommandView>> {
    let request = Request::get(&[&"sessions", &link.session_id, &"commands"]).query("after", after);
    let mut commands = Listing::<CommandView>::new(link.client.clone(), request, ROWS);
    while let Some(command) = commands.next_item().await.transpose()? {
        let origin = command.origin.as_ref();
        if origin.and_then(|origin| origin.get("id")).and_then(Value::as_str) == Some(id) {
            return Ok(Some(command));
        }
    }
    Ok(None)
}

/// The transcript was read.
const NOT_THERE: &str = "the session's transcript does not have it: most likely it did not run";
/// It could not be asked for again.
const NO_ANSWER: &str = "there was no answer since: nobody knows whether it runs";

fn lost(command: &RunCommand, what: &str, error: Error) -> Error {
    let verb = command.verb;
    let text = format!("the connection broke while {verb} was handed over, and {what}");
    Error::server("command_lost", text).because(error)
}
