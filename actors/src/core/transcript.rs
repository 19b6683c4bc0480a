//! Looking at a session's commands and files. They are in the store as they are, so it costs the actors nothing;
//! what is shown is durable.

use super::Core;
use super::hold::Hold;
use crate::access::Principal;
use crate::ground::read;
use crate::refusal::Refusal;
use crate::session::{
    CommandRecord, FileRecord, SessionRecord, command_key, command_of, file_key, is_owner, may_see,
};
use crate::store::{Table, key};
use tripline_protocol::api::Page;
use tripline_protocol::session::{CommandView, SessionFile};
use tripline_protocol::{SessionId, Span};

/// Which files of a session to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct FilePages {
    /// Only those after this number.
    pub after: Option<u32>,
    /// At most this many, 1 to 1000.
    pub limit: usize,
    /// Also those that were deleted.
    pub deleted: bool,
}

/// Bytes of a page of commands, as JSON, after which it ends.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Rows read at once for a page.
const ROWS: usize = 50;

impl Core {
    /// One command by its number. With `wait`, one that has not ended is shown when it has, or when that span
    /// is over. Refuses with `NotFound`.
    pub async fn get_command(
        &self,
        caller: &Principal,
        session_id: SessionId,
        number: u32,
        wait: Option<Span>,
    ) -> Result<CommandView, Refusal> {
        let record = self.session_seen_by(caller, session_id)?;
        let key = command_key(session_id, number);
        let mut hold = Hold::new(&self.ground, session_id, wait);
        loop {
            let watch = hold.watch();
            let command: Option<CommandRecord> =
                read(&self.ground.store, Table::SessionCommand, &key, "command")?;
            let command = command.ok_or_else(|| Refusal::NotFound {
                what: "command",
                id: number.to_string(),
            })?;
            if command.state.has_ended() || hold.is_over(watch).await {
                self.touch(caller, &record);
                // Mostly it is: whoever waits is told by the commit. Another one would double the time.
                if !self.ground.store.is_durable(Table::SessionCommand, &key) {
                    self.durable().await?;
                }
                return Ok(command.to_view());
            }
        }
    }

    /// The session's transcript: its commands in order, after the one with the number `after`, at most `limit`
    /// (1 to 1000) or 4 MiB of them. `Page::next` is a number. Refuses with `NotFound`.
    pub async fn list_commands(
        &self,
        caller: &Principal,
        session_id: SessionId,
        after: Option<u32>,
        limit: usize,
    ) -> Result<Page<CommandView>, Refusal> {
        self.session_seen_by(caller, session_id)?;
        let limit = limit.clamp(1, 1000);
        let (mut items, mut bytes_all) = (Vec::new(), 0);
        let mut after = after.map(|number| command_key(session_id, number));
        let prefix = session_id.as_bytes();
        'pages: loop {
            let rows = ROWS.min(limit - items.len());
            let page = self
                .ground
                .store
                .scan(Table::SessionCommand, prefix, after.as_deref(), rows)?;
            if page.is_empty() {
                self.durable().await?;
                return Ok(Page { items, next: None });
            }
            for (key, bytes) in page {
                bytes_all += bytes.len();
                if bytes_all > PAGE_BYTES_MAX && !items.is_empty() {
                    break 'pages;
                }
                items.push(command_of(&bytes)?.to_view());
                after = Some(key);
            }
            if items.len() >= limit {
                break;
            }
        }
        self.durable().await?;
        let next = items
            .last()
            .map(|command: &CommandView| command.number.to_string());
        Ok(Page { items, next })
    }

    /// A file by its number, of whatever session the caller may see. A file that is being fetched is there when
    /// its command succeeded. Refuses with `NotFound`, also when it was deleted.
    pub async fn get_file(&self, caller: &Principal, number: u32) -> Result<SessionFile, Refusal> {
        self.file_if(caller, number, |_| true).await
    }

    /// The same of a session of the caller's own. Refuses with `NotFound`, also when it is another token's.
    pub async fn own_file(&self, caller: &Principal, number: u32) -> Result<SessionFile, Refusal> {
        self.file_if(caller, number, |session| is_owner(caller, session))
            .await
    }

    async fn file_if(
        &self,
        caller: &Principal,
        number: u32,
        takes: impl Fn(&SessionRecord) -> bool,
    ) -> Result<SessionFile, Refusal> {
        let store = &self.ground.store;
        let missing = || Refusal::NotFound {
            what: "file",
            id: number.to_string(),
        };
        let file: Option<FileRecord> = read(store, Table::SessionFile, &key::u32(number), "file")?;
        let seen = file.filter(|file| may_see(caller, &file.org) && !file.is_deleted());
        let file = seen.ok_or_else(missing)?.view;
        let id = file.session_id;
        let session: Option<SessionRecord> = read(store, Table::Session, id.as_bytes(), "session")?;
        let session = session.filter(takes).ok_or_else(missing)?;
        self.touch(caller, &session);
        self.durable().await?;
        Ok(file)
    }

    /// The files of a session in the order of their numbers, after the number `after`, at most `limit` (1 to
    /// 1000) and fewer where files were deleted, which are shown only when `deleted` is. `Page::next` is a number.
    /// Refuses with `NotFound`.
    pub async fn list_files(
        &self,
        caller: &Principal,
        session_id: SessionId,
        pages: FilePages,
    ) -> Result<Page<SessionFile>, Refusal> {
        self.session_seen_by(caller, session_id)?;
        let limit = pages.limit.clamp(1, 1000);
        let after = pages.after.map(|number| file_key(session_id, number));
        let store = &self.ground.store;
        let prefix = session_id.as_bytes();
        let page = store.scan(Table::FileBySession, prefix, after.as_deref(), limit)?;
        let mut items = Vec::with_capacity(page.len());
        for (key, _) in &page {
            let number = key.get(prefix.len()..).unwrap_or_default();
            let file: Option<FileRecord> = read(store, Table::SessionFile, number, "file")?;
            let shown = file.filter(|file| pages.deleted || !file.is_deleted());
            items.extend(shown.map(|file| file.view));
        }
        self.durable().await?;
        let last = page.last().filter(|_| page.len() >= limit);
        let next = last.and_then(|(key, _)| key::read_u32(key.get(prefix.len()..)?));
        let next = next.map(|number| number.to_string());
        Ok(Page { items, next })
    }

    /// The session, if the caller may see it.
    pub(super) fn session_seen_by(
        &self,
        caller: &Principal,
        session_id: SessionId,
    ) -> Result<SessionRecord, Refusal> {
        let store = &self.ground.store;
        let record: Option<SessionRecord> = read(store, Table::Session, session_id.as_bytes(), "session")?;
        let record = record
            .filter(|record| may_see(caller, &record.org))
            .ok_or_else(|| Refusal::NotFound {
                what: "session",
                id: session_id.to_string(),
            })?;
        self.touch(caller, &record);
        Ok(record)
    }

    pub(super) fn touch(&self, caller: &Principal, record: &SessionRecord) {
        if is_owner(caller, record) {
            self.ground.sessions.touch(record.session_id, self.ground.now());
        }
    }

    /// Waits until what was just read is durable.
    async fn durable(&self) -> Result<(), Refusal> {
        let (done, wait) = tokio::sync::oneshot::channel();
        self.ground.after_commit(move || {
            // An error says that the caller went away.
            let _ = done.send(());
        });
        wait.await.map_err(|_| Refusal::Unavailable {
            detail: "its store cannot write",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;
    use crate::record::encode;
    use crate::session::NewCommand;
    use crate::store::Batch;
    use serde_json::{Value, json};
    use tripline_protocol::api::Role;
    use tripline_protocol::session::{CommandState, OpenSession};
    use tripline_protocol::verb::{Verb, VerbCall};

    fn ana() -> Principal {
        Principal {
            token_id: "1".into(),
            name: "ana".into(),
            role: Role::Operator,
            org: None,
            place: None,
            depth: None,
        }
    }

    /// A session that waits for its host.
    async fn session(fixture: &Fixture) -> SessionRecord {
        let host = fixture.enrol("amelie").await.host_id.to_string();
        let (org, idle_timeout) = (None, None);
        let open = OpenSession {
            org,
            host,
            idle_timeout,
        };
        let view = fixture.core.open_session(&ana(), open).await.unwrap();
        fixture.core.session_seen_by(&ana(), view.session_id).unwrap()
    }

    /// An ended command whose row has so many bytes.
    fn put_command(batch: &mut Batch, session: &SessionRecord, number: u32, bytes: usize) {
        let call = VerbCall::parse(Verb::ListProcesses, json!({})).unwrap();
        let command = NewCommand {
            call,
            timeout: Span::from_secs(1),
            idempotent: false,
            origin: None,
        };
        let now = session.opened_at;
        let mut record = CommandRecord::new(session, number, command, None, "ana".into(), now);
        record.state = CommandState::Succeeded;
        record.output = Some(json!(""));
        let pad = bytes - encode(&record).len();
        record.output = Some(Value::String("x".repeat(pad)));
        record.put(batch);
    }

    /// How many commands each page has, of commands with rows of so many bytes.
    async fn pages(rows: &[usize]) -> Vec<usize> {
        let fixture = Fixture::start();
        let (ana, session) = (ana(), session(&fixture).await);
        let mut batch = Batch::new();
        for (number, bytes) in (1..).zip(rows) {
            put_command(&mut batch, &session, number, *bytes);
        }
        fixture.store.commit(batch, || {});
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let listed = fixture.core.list_commands(&ana, session.session_id, after, 1000);
            let page = listed.await.unwrap();
            pages.push(page.items.len());
            match page.next {
                Some(next) => after = Some(next.parse().unwrap()),
                None => return pages,
            }
        }
    }

    #[actix::test]
    async fn a_page_of_commands_ends_at_so_many_bytes_and_the_next_one_goes_on() {
        let quarter = PAGE_BYTES_MAX / 4;
        assert_eq!(pages(&[quarter; 4]).await, [4]);
        assert_eq!(pages(&[quarter; 5]).await, [4, 1]);
        let over = [quarter, quarter, quarter, quarter + 1];
        assert_eq!(pages(&over).await, [3, 1]);
        let one = [PAGE_BYTES_MAX + 1, quarter, quarter];
        assert_eq!(pages(&one).await, [1, 2], "one may be longer than a page");
    }
}
