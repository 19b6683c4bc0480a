//! Interactive sessions as the edges see them.

mod clients;
mod commands;
mod files;
mod idle;
mod order;
mod refused;
mod survive;

use crate::fixture::{Agent, Fixture, Setup, config, eventually};
use serde_json::{Value, json};
use tripline_actors::CoreConfig;
use tripline_actors::access::Principal;
use tripline_protocol::api::Role;
use tripline_protocol::session::{
    CommandState, CommandView, OpenSession, RunCommand, SessionState, SessionView,
};
use tripline_protocol::verb::Verb;
use tripline_protocol::{HostId, SessionId, Span};

/// Longer than any test takes.
const LONG: Option<Span> = Some(Span::from_secs(60));

pub(crate) fn caller(name: &str) -> Principal {
    Principal {
        token_id: format!("id-{name}"),
        name: name.into(),
        role: Role::Operator,
        org: None,
        place: None,
        depth: None,
    }
}

fn with_role(name: &str, role: Role) -> Principal {
    Principal { role, ..caller(name) }
}

fn amelie() -> Principal {
    caller("amelie")
}

/// With so many slots, and no reserves.
fn slots(total: u32) -> Setup {
    Setup {
        config: CoreConfig {
            slots_total: total,
            ..config()
        },
        ..Setup::default()
    }
}

fn on(host_id: HostId) -> OpenSession {
    OpenSession {
        org: None,
        host: host_id.to_string(),
        idle_timeout: None,
    }
}

fn processes() -> RunCommand {
    RunCommand::new(Verb::ListProcesses, json!({}))
}

fn delete() -> RunCommand {
    RunCommand::new(Verb::DeleteFile, json!({ "path": "/tmp/x" }))
}

impl Fixture {
    async fn open(&self, caller: &Principal, host_id: HostId) -> SessionView {
        self.core.open_session(caller, on(host_id)).await.unwrap()
    }

    /// Waits until the session is not pending any more.
    pub(crate) async fn session(&self, caller: &Principal, session_id: SessionId) -> SessionView {
        self.core.get_session(caller, session_id, LONG).await.unwrap()
    }

    /// Opens a session and waits until it is active, in its slot as well: that is told a moment after the caller may
    /// see it, and counts from then on how long nobody uses it. Slots answer after what they were told.
    pub(crate) async fn active(&self, caller: &Principal, host_id: HostId) -> SessionView {
        let opened = self.open(caller, host_id).await;
        let view = self.session(caller, opened.session_id).await;
        assert_eq!(view.state, SessionState::Active, "{view:?}");
        self.core.slots().await.unwrap();
        view
    }

    /// A session as it is now, to somebody whose look is no sign of life.
    async fn seen(&self, session_id: SessionId) -> SessionView {
        let auditor = with_role("auditor", Role::Viewer);
        self.core.get_session(&auditor, session_id, None).await.unwrap()
    }

    /// Waits until a session is in this state, without a sign of life of its owner.
    async fn becomes(&self, session_id: SessionId, state: SessionState) -> SessionView {
        eventually(state.as_str(), || async {
            let view = self.seen(session_id).await;
            (view.state == state).then_some(view)
        })
        .await
    }

    pub(crate) async fn run(
        &self,
        caller: &Principal,
        session: &SessionView,
        command: RunCommand,
    ) -> CommandView {
        let run = self.core.run_command(caller, session.session_id, command);
        run.await.unwrap()
    }

    /// Waits until a command has ended.
    async fn done(&self, caller: &Principal, command: &CommandView) -> CommandView {
        let CommandView {
            session_id, number, ..
        } = *command;
        let got = self.core.get_command(caller, session_id, number, LONG);
        let view = got.await.unwrap();
        assert!(view.state.has_ended(), "{view:?}");
        view
    }

    /// Runs a command to its end with this output.
    async fn through(
        &self,
        agent: &mut Agent,
        session: &SessionView,
        command: RunCommand,
        output: Value,
    ) -> CommandView {
        let command = self.run(&amelie(), session, command).await;
        let sent = agent.command().await;
        assert_eq!(sent.command_id, command.command_id);
        agent.answer(sent.command_id, output);
        assert_eq!(agent.ack().await, [sent.command_id]);
        let view = self.done(&amelie(), &command).await;
        assert_eq!(view.state, CommandState::Succeeded);
        view
    }

    async fn slots_held(&self) -> usize {
        let slots = self.core.slots().await.unwrap();
        slots.slots.iter().filter(|slot| slot.session.is_some()).count()
    }

    /// Waits until no slot is held.
    async fn free(&self) {
        eventually("all slots are free", || async {
            (self.slots_held().await == 0).then_some(())
        })
        .await;
    }
}
