//! A job that publishes many events does so in turns: each goes out with a batch of its own, and the next begins when
//! that is durable, so that the commits of others come between.

use super::SessionSlot;
use actix::prelude::*;
use tripline_protocol::JobId;

/// Go on with this job. Sent by the slot to itself.
#[derive(Message, Debug)]
#[rtype(result = "()")]
struct NextTurn(JobId);

impl SessionSlot {
    /// Goes on with a job when what it did in this turn is durable.
    pub(super) fn yield_turn(&self, job_id: JobId, ctx: &Context<Self>) {
        let slot = ctx.address();
        self.ground.after_commit(move || slot.do_send(NextTurn(job_id)));
    }
}

impl Handler<NextTurn> for SessionSlot {
    type Result = ();
    fn handle(&mut self, NextTurn(job_id): NextTurn, ctx: &mut Self::Context) {
        let effects = self.state.next_turn(job_id, self.moment());
        self.apply(effects, ctx);
    }
}
