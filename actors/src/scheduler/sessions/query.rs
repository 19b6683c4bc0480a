//! Looking at interactive sessions.

use super::super::query::{Pages, waiting_of};
use super::messages::{GetSession, ListSessions};
use crate::core::SessionFilter;
use crate::record::by_time_key;
use crate::refusal::Refusal;
use crate::scheduler::JobScheduler;
use crate::session::{SessionRecord, may_see};
use crate::store::Table;
use actix::prelude::*;
use tripline_protocol::SessionId;
use tripline_protocol::api::Page;
use tripline_protocol::session::{SessionState, SessionView};

impl JobScheduler {
    /// A session as it is now.
    pub(super) fn session_view(&self, record: &SessionRecord) -> SessionView {
        let session_id = record.session_id;
        let waiting = self.sessions.queue.waiting(session_id).map(waiting_of);
        let live = record.state.is_open();
        let attachment = self.ground.attachments.get(record.host.host_id);
        let verbs = attachment.as_ref().filter(|_| live).map(|live| &*live.verbs);
        let last_request = self.ground.sessions.last_request(session_id);
        record.to_view(waiting, verbs, last_request)
    }

    fn list_sessions(&self, message: &ListSessions) -> Result<Page<SessionView>, Refusal> {
        let filter = &message.filter;
        let pages = Pages::new(Table::SessionByTime, filter.after.as_deref(), filter.limit)?;
        let shown = |record: &SessionRecord| {
            let view = may_see(&message.caller, &record.org).then(|| self.session_view(record));
            view.filter(|view| fits(filter, view))
        };
        if filter.open || filter.state.is_some_and(SessionState::is_open) {
            // They are few among all that ever were, and in memory.
            let records = self.sessions.records.values();
            let key = |record: &SessionRecord| by_time_key(record.opened_at, record.session_id.as_bytes());
            return Ok(pages.choose(records.map(|record| (key(record), record)), shown));
        }
        pages.collect(&self.ground.store, |id| {
            let record = self.session_of(SessionId(uuid::Uuid::from_bytes(id)))?;
            Ok(record.as_ref().and_then(shown))
        })
    }
}

fn fits(filter: &SessionFilter, view: &SessionView) -> bool {
    filter.org.as_ref().is_none_or(|org| *org == view.org)
        && filter
            .owner
            .as_ref()
            .is_none_or(|owner| *owner == view.owner.token_id)
        && filter.host.is_none_or(|host| host == view.host.host_id)
        && filter.state.is_none_or(|state| state == view.state)
        && (!filter.open || view.state.is_open())
}

impl Handler<GetSession> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: GetSession, _: &mut Self::Context) {
        let GetSession {
            caller,
            session_id,
            reply,
        } = message;
        let seen = self.seen_by(&caller, session_id);
        let answer = seen.map(|record| self.session_view(&record));
        self.ground.after_commit(move || reply.send(answer));
    }
}

impl Handler<ListSessions> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: ListSessions, _: &mut Self::Context) {
        let answer = self.list_sessions(&message);
        self.ground.after_commit(move || message.reply.send(answer));
    }
}
