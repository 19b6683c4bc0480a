//! Requests that make something, and that may say that they are to be carried out once.

use super::{Core, submit};
use crate::access::Principal;
use crate::host::event_message;
use crate::once::Once;
use crate::outbox::Publish;
use crate::refusal::Refusal;
use crate::scheduler::Submit;
use tripline_protocol::Event;
use tripline_protocol::SessionId;
use tripline_protocol::api::{JobView, PublishedEvent, SubmitJob};
use tripline_protocol::session::{CommandView, OpenSession, RunCommand, SessionView};

/// With [`Once`], the same request again is answered with what the first one made, as it is now. Refuses with
/// `Invalid` (`idempotency_key_reused`), `Conflict` (`idempotency_gone`) and `Busy`.
impl Core {
    /// Accepts a job; durable when it returns.
    pub async fn submit_job(&self, request: SubmitJob) -> Result<JobView, Refusal> {
        self.submit_job_once(request, None).await
    }

    /// As [`Core::submit_job`].
    pub async fn submit_job_once(&self, request: SubmitJob, once: Option<Once>) -> Result<JobView, Refusal> {
        let rules = self.generations.rules();
        let job = submit::new_job(
            &self.ground,
            &rules.set,
            request,
            (&self.by, self.depth.unwrap_or(0)),
        )?;
        let (reply, answer) = self.doors.submit.enter()?;
        self.peers()?.scheduler.do_send(Submit { job, once, reply });
        answer.wait().await
    }

    /// Publishes an event; durable when it returns. The event stream's consumer brings it back to the router.
    pub async fn publish_event(&self, event: Event) -> Result<PublishedEvent, Refusal> {
        self.publish_event_once(event, None).await
    }

    /// As [`Core::publish_event`].
    pub async fn publish_event_once(
        &self,
        mut event: Event,
        once: Option<Once>,
    ) -> Result<PublishedEvent, Refusal> {
        self.deepen(&mut event)?;
        let message = event_message(&self.ground, &event);
        let entry = Some(self.event_entry(&event, message.payload.len()));
        submit::check_size(&message)?;
        let (reply, answer) = self.doors.submit.enter()?;
        let published = PublishedEvent {
            id: event.id,
            key: event.key,
        };
        self.peers()?.outbox.do_send(Publish {
            message,
            entry,
            once: once.map(|once| (once, published.clone())),
            done: Box::new(move |result| {
                reply.send(result.map(|before| before.unwrap_or(published)));
            }),
        });
        answer.wait().await
    }

    /// Opens a session; as [`Core::open_session_once`].
    pub async fn open_session(
        &self,
        caller: &Principal,
        request: OpenSession,
    ) -> Result<SessionView, Refusal> {
        self.open_session_once(caller, request, None).await
    }

    /// Runs a command; as [`Core::run_command_once`].
    pub async fn run_command(
        &self,
        caller: &Principal,
        session_id: SessionId,
        command: RunCommand,
    ) -> Result<CommandView, Refusal> {
        self.run_command_once(caller, session_id, command, None).await
    }
}
