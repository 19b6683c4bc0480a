//! Pause: no new jobs start, over restarts, until somebody resumes.
//!
//! Running jobs finish, and those that ran when the server stopped go on. Events are matched and jobs accepted and
//! queued; what waits expires as ever. Interactive sessions are people at work and are not held back: who looks
//! into what made the pause necessary needs them.

use super::JobScheduler;
use crate::audit::By;
use crate::clock::clock_text;
use crate::door::Reply;
use crate::ground::{Ground, read};
use crate::record::encode;
use crate::refusal::Refusal;
use crate::store::{Batch, Table};
use actix::prelude::*;
use std::sync::Arc;
use tripline_protocol::api::{Asker, Pause};
use tripline_protocol::audit::Action;

/// Its row in the table of what administrators asked for.
const KEY: &[u8] = b"pause";

/// Pause (`Some`) or resume; from the API. Answers with what is in force then.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ChangePause {
    pub(crate) by: Asker,
    /// The same, for the audit.
    pub(crate) on_behalf: By,
    /// `Some`: pause, with this reason if there is one.
    pub(crate) pause: Option<Option<String>>,
    pub(crate) reply: Reply<Option<Pause>>,
}

/// What an earlier process left in force.
pub(super) fn load(ground: &Ground) -> Result<Option<Pause>, Refusal> {
    let pause: Option<Pause> = read(&ground.store, Table::Control, KEY, "pause")?;
    if let Some(pause) = &pause {
        tracing::warn!(by = pause.by.name, since = %pause.since, reason = pause.reason, "no new jobs start: paused");
    }
    ground.pause.store(pause.clone().map(Arc::new));
    Ok(pause)
}

/// For people, as the reason why a job waits.
pub(super) fn text(pause: &Pause) -> String {
    let by = format!("paused by {} since {}", pause.by.name, clock_text(pause.since));
    match &pause.reason {
        Some(reason) => format!("{by}: {reason}"),
        None => by,
    }
}

impl JobScheduler {
    pub(super) fn show_pause(&self) {
        metrics::gauge!("tripline_scheduler_paused").set(f64::from(u8::from(self.pause.is_some())));
    }

    /// Whoever pauses again gives another reason; the pause is as old as it was.
    fn paused(&self, by: Asker, reason: Option<String>) -> Pause {
        let since = self.pause.as_ref().map_or(self.ground.now(), |pause| pause.since);
        Pause { since, by, reason }
    }
}

impl Handler<ChangePause> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: ChangePause, _: &mut Self::Context) {
        let ChangePause {
            by,
            on_behalf,
            pause,
            reply,
        } = message;
        let mut batch = Batch::new();
        let action = match &pause {
            Some(_) => Action::ServerPause,
            None => Action::ServerResume,
        };
        let entry = self.ground.audit(action, &on_behalf, None);
        batch.audit(entry.detail("reason", &pause));
        let pause = match pause {
            Some(reason) => {
                tracing::warn!(
                    by = by.name,
                    token = by.token_id,
                    reason,
                    "paused: no new jobs start"
                );
                let pause = self.paused(by, reason);
                batch.put(Table::Control, KEY.to_vec(), encode(&pause));
                Some(pause)
            }
            None => {
                tracing::warn!(by = by.name, token = by.token_id, "resumed: jobs start again");
                batch.delete(Table::Control, KEY.to_vec());
                None
            }
        };
        self.pause = pause.clone();
        self.state.set_paused(pause.is_some());
        let ground = Arc::clone(&self.ground);
        self.ground.store.commit(batch, move || {
            ground.pause.store(pause.clone().map(Arc::new));
            reply.send(Ok(pause));
        });
        self.dispatch();
    }
}
