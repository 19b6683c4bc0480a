//! Forgetting ended sessions by age and count, with their commands, files and hold on artifacts.

use crate::ground::{Ground, read};
use crate::record::split_by_time_key;
use crate::refusal::Refusal;
use crate::session::{CommandRecord, FileRecord, SessionRecord};
use crate::store::{Batch, Rows, Store, Table};
use tripline_protocol::SessionId;
use uuid::Uuid;

/// Commands and files removed at once; a session that has more is removed in several turns.
const ROWS_MAX: usize = 1000;
/// Sessions removed at once.
const SESSIONS_MAX: usize = 200;
/// Index entries counted at once at start.
const COUNT_PAGE: usize = 10_000;
/// By count at every tick of 250 ms, by age once in ten seconds.
const AGE_TICKS: u64 = 40;

/// Knows how many ended sessions there are.
#[derive(Debug)]
pub(super) struct Pruner {
    ended: u64,
    ticks: u64,
}

impl Pruner {
    pub(super) fn load(store: &Store) -> Result<Self, Refusal> {
        let (mut ended, mut after) = (0, None::<Vec<u8>>);
        loop {
            let page = store.scan(Table::EndedSession, &[], after.as_deref(), COUNT_PAGE)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            ended += page.len() as u64;
        }
        Ok(Self { ended, ticks: 0 })
    }

    /// One more session ended.
    pub(super) fn ended(&mut self) {
        self.ended += 1;
    }

    pub(super) fn tick(&mut self, ground: &Ground) {
        self.ticks += 1;
        let over = self.ended.saturating_sub(ground.config.sessions_retain_max);
        if (over > 0 || self.ticks.is_multiple_of(AGE_TICKS))
            && let Err(error) = self.prune(ground, over)
        {
            tracing::error!(%error, "ended sessions cannot be pruned");
        }
    }

    fn prune(&mut self, ground: &Ground, mut over: u64) -> Result<(), Refusal> {
        let horizon = ground.now().before(ground.config.jobs_retain);
        let (mut batch, mut room) = (Batch::new(), ROWS_MAX);
        for (key, _) in ground.store.scan(Table::EndedSession, &[], None, SESSIONS_MAX)? {
            let Some((ended_at, id)) = split_by_time_key(&key) else {
                continue;
            };
            if (ended_at >= horizon && over == 0) || room == 0 {
                break;
            }
            if bury(
                &ground.store,
                &mut batch,
                SessionId(Uuid::from_bytes(id)),
                &mut room,
            )? {
                batch.delete(Table::EndedSession, key);
                self.ended = self.ended.saturating_sub(1);
                over = over.saturating_sub(1);
            }
        }
        if !batch.is_empty() {
            ground.store.commit(batch, || {});
        }
        Ok(())
    }
}

/// Removes a session as far as there is room; whether it is gone whole.
fn bury(store: &Store, batch: &mut Batch, id: SessionId, room: &mut usize) -> Result<bool, Refusal> {
    let commands = rows(store, Table::SessionCommand, id, room)?;
    for (key, _) in &commands {
        let record: Option<CommandRecord> = read(store, Table::SessionCommand, key, "command")?;
        record.iter().for_each(|record| record.bury(batch));
    }
    let files = rows(store, Table::FileBySession, id, room)?;
    for (key, _) in &files {
        let number = key.get(16..).unwrap_or_default();
        let record: Option<FileRecord> = read(store, Table::SessionFile, number, "file")?;
        record.iter().for_each(|record| record.bury(batch));
    }
    if *room == 0 {
        return Ok(false);
    }
    let record: Option<SessionRecord> = read(store, Table::Session, id.as_bytes(), "session")?;
    record.iter().for_each(|record| record.bury(batch));
    Ok(true)
}

fn rows(store: &Store, table: Table, id: SessionId, room: &mut usize) -> Result<Rows, Refusal> {
    if *room == 0 {
        return Ok(Rows::new());
    }
    let rows = store.scan(table, id.as_bytes(), None, *room)?;
    *room -= rows.len();
    Ok(rows)
}
