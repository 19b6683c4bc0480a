//! Decisions not to act on events of an org that leaves LimaCharlie.

use super::EtypeRouter;
use crate::limacharlie::{ForgetDecisions, Sweep, Swept};
use actix::prelude::*;

impl Handler<ForgetDecisions> for EtypeRouter {
    type Result = ();
    fn handle(&mut self, ForgetDecisions(sweep): ForgetDecisions, _: &mut Self::Context) {
        let Sweep {
            org,
            cut,
            after,
            reply,
        } = sweep;
        let forgotten = self
            .records
            .forget_org(&self.ground.store, &org, cut.latest(), after.as_deref());
        let swept = forgotten.map(|(found, next)| Swept { found, next });
        self.ground.after_commit(move || reply.send(swept));
    }
}
