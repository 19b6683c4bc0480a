//! A host's isolation, as its agent tells of it; nothing is cut off.

use super::host::Host;
use serde_json::{Value, json};
use std::time::SystemTime;
use tripline_protocol::frame::AgentFrame;
use tripline_protocol::verb::{Isolate, Isolated, Unisolated};
use tripline_protocol::{CommandId, Isolation, IsolationEnd, IsolationReport, Timestamp};

impl Host {
    pub(super) fn isolate(&self, command_id: CommandId, args: &Isolate) -> Value {
        let since: Timestamp = SystemTime::now().into();
        let isolation = Isolation {
            command_id,
            since,
            until: since.after(args.span()),
            persist: args.persist,
            allow: args.allow.clone(),
        };
        let isolated = Isolated {
            until: isolation.until,
            persist: args.persist,
            server: Vec::new(),
            name_servers: Vec::new(),
            allow: args.allow.clone(),
        };
        let left = args.span();
        self.tell_isolation(IsolationReport::Isolated { left, isolation });
        json!(isolated)
    }

    pub(super) fn unisolate(&self) -> Value {
        let was_isolated = self.end_isolation(IsolationEnd::Unisolated);
        json!(Unisolated { was_isolated })
    }

    /// Ends it as if by itself; whether there was one.
    pub(super) fn end_isolation(&self, why: IsolationEnd) -> bool {
        let Some(IsolationReport::Isolated { isolation, .. }) = self.isolation() else {
            return false;
        };
        self.tell_isolation(IsolationReport::Ended {
            command_id: isolation.command_id,
            at: SystemTime::now().into(),
            why,
        });
        true
    }

    fn tell_isolation(&self, report: IsolationReport) {
        self.set_isolation(report.clone());
        self.say(&AgentFrame::Isolation {
            isolation: Box::new(report),
        });
    }
}
