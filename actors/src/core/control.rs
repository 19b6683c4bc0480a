//! What administrators do with the server as a whole, and with single pipelines.

use super::Core;
use crate::access::Principal;
use crate::audit::By;
use crate::refusal::Refusal;
use crate::router::ChangePipelinePause;
use crate::scheduler::ChangePause;
use tripline_protocol::Name;
use tripline_protocol::api::{Pause, PauseView, PipelinePauseView};

/// Characters of a reason.
const REASON_CHARS_MAX: usize = 500;

impl Core {
    /// No new jobs start from now on, over restarts, until [`Core::resume`]. Pausing again replaces who and why.
    /// Durable when it returns.
    pub async fn pause(&self, caller: &Principal, reason: Option<String>) -> Result<PauseView, Refusal> {
        self.change_pause(caller, Some(checked(reason)?)).await
    }

    /// Jobs start again. Durable when it returns.
    pub async fn resume(&self, caller: &Principal) -> Result<PauseView, Refusal> {
        self.change_pause(caller, None).await
    }

    /// A pipeline does not act from now on, over restarts, until [`Core::resume_pipeline`]. Pausing again replaces who
    /// and why. Durable when it returns. Refuses with `NotFound`.
    pub async fn pause_pipeline(
        &self,
        caller: &Principal,
        pipeline: Name,
        reason: Option<String>,
    ) -> Result<PipelinePauseView, Refusal> {
        self.change_pipeline_pause(caller, pipeline, Some(checked(reason)?))
            .await
    }

    /// It acts again, whoever paused it. Durable when it returns. Refuses with `NotFound`.
    pub async fn resume_pipeline(
        &self,
        caller: &Principal,
        pipeline: Name,
    ) -> Result<PipelinePauseView, Refusal> {
        self.change_pipeline_pause(caller, pipeline, None).await
    }

    async fn change_pipeline_pause(
        &self,
        caller: &Principal,
        pipeline: Name,
        pause: Option<Option<String>>,
    ) -> Result<PipelinePauseView, Refusal> {
        caller.require_all_orgs("pausing a pipeline")?;
        let (reply, answer) = self.doors.submit.enter()?;
        self.peers()?.router.do_send(ChangePipelinePause {
            by: caller.to_asker(),
            on_behalf: By::from(caller),
            pipeline,
            pause,
            reply,
        });
        answer.wait().await
    }

    async fn change_pause(
        &self,
        caller: &Principal,
        pause: Option<Option<String>>,
    ) -> Result<PauseView, Refusal> {
        caller.require_all_orgs("pausing")?;
        let (reply, answer) = self.doors.submit.enter()?;
        self.peers()?.scheduler.do_send(ChangePause {
            by: caller.to_asker(),
            on_behalf: By::from(caller),
            pause,
            reply,
        });
        answer.wait().await.map(view)
    }

    /// Whether new jobs start, and if not, since when, by whom and why.
    pub fn pause_view(&self) -> PauseView {
        view(self.ground.pause.load().as_deref().cloned())
    }
}

fn view(pause: Option<Pause>) -> PauseView {
    PauseView {
        paused: pause.is_some(),
        pause,
    }
}

/// A reason that may be shown to people; an empty one is none.
pub(super) fn checked(reason: Option<String>) -> Result<Option<String>, Refusal> {
    let Some(reason) = reason.filter(|reason| !reason.is_empty()) else {
        return Ok(None);
    };
    let length = reason.chars().count();
    if length <= REASON_CHARS_MAX && !reason.chars().any(char::is_control) {
        return Ok(Some(reason));
    }
    Err(Refusal::Invalid {
        code: "bad_reason",
        detail: format!("a reason is one line of at most {REASON_CHARS_MAX} characters; this has {length}"),
    })
}
