//! Forgetting ended jobs by age and count, leaving a tombstone for as long as a submission could repeat.

use crate::artifact::PARTIALS_KEPT_FOR;
use crate::ground::{Ground, decoded};
use crate::record::{JobRecord, split_by_time_key};
use crate::refusal::Refusal;
use crate::store::{Batch, Store, Table};
use std::sync::Arc;
use std::time::Duration;
use tripline_protocol::Span;

/// How long a tombstone stays.
const TOMBSTONE_RETAIN: Span = Span::from_secs(8 * 24 * 3600);
/// Records removed at once.
const PRUNE_MAX: usize = 1000;
/// Index entries counted at once at start.
const COUNT_PAGE: usize = 10_000;

/// Between two looks for artifacts that no job has any more: ten minutes of 250 ms ticks.
const SWEEP_TICKS: u64 = 2400;
/// How long an artifact may be without a job: it is there before the batch that notes its job.
const UNUSED_FOR: Duration = Duration::from_secs(3600);

/// Knows how many ended jobs there are.
#[derive(Debug)]
pub(super) struct Pruner {
    ended: u64,
    ticks: u64,
    /// Where the last look ended, so that jobs that were accepted long ago and are to stay are passed over only once a round.
    after: Option<Vec<u8>>,
}

impl Pruner {
    pub(super) fn load(store: &Store, open: u64) -> Result<Self, Refusal> {
        let (mut all, mut after) = (0_u64, None::<Vec<u8>>);
        loop {
            let page = store.scan(Table::JobByTime, &[], after.as_deref(), COUNT_PAGE)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            all += page.len() as u64;
        }
        Ok(Self {
            ended: all.saturating_sub(open),
            ticks: 0,
            after: None,
        })
    }

    /// An ended job was forgotten by somebody else.
    pub(super) fn buried(&mut self) {
        self.ended = self.ended.saturating_sub(1);
    }

    /// One more job ended.
    pub(super) fn ended(&mut self) {
        self.ended += 1;
    }

    pub(super) fn tick(&mut self, ground: &Ground) {
        self.ticks += 1;
        if self.ticks.is_multiple_of(SWEEP_TICKS) {
            sweep(ground);
        }
        let over = self.ended.saturating_sub(ground.config.jobs_retain_max);
        // By count at every tick, by age once in ten seconds.
        if over > 0 || self.ticks.is_multiple_of(40) {
            let pruned = self
                .prune_jobs(ground, over)
                .and_then(|()| prune_tombstones(ground));
            if let Err(error) = pruned {
                tracing::error!(%error, "ended jobs cannot be pruned");
            }
        }
    }

    fn prune_jobs(&mut self, ground: &Ground, mut over: u64) -> Result<(), Refusal> {
        let now = ground.now();
        let horizon = now.before(ground.config.jobs_retain);
        let (mut batch, mut pruned) = (Batch::new(), 0);
        let page = ground
            .store
            .scan(Table::JobByTime, &[], self.after.as_deref(), PRUNE_MAX)?;
        self.after = None;
        for (key, _) in page {
            let Some((queued_at, id)) = split_by_time_key(&key) else {
                continue;
            };
            if queued_at >= horizon && over == 0 {
                self.after = None;
                break;
            }
            self.after = Some(key.clone());
            // One that waited for long is as new as its end. It may be among so many that the oldest go all the same.
            let goes = |record: &JobRecord| over > 0 || record.finished_at.is_none_or(|at| at < horizon);
            let record = ground.store.get(Table::Job, &id)?;
            let record = record
                .map(|bytes| decoded::<JobRecord>("job", &bytes))
                .transpose();
            // One that cannot be read is logged and stays, and the others are not kept for it.
            let Ok(record) = record else { continue };
            match record {
                Some(record) if record.state.outcome().is_none() || !goes(&record) => continue,
                Some(record) => record.bury(&mut batch, now),
                // In a damaged store.
                None => batch.delete(Table::JobByTime, key),
            }
            over = over.saturating_sub(1);
            pruned += 1;
        }
        self.ended = self.ended.saturating_sub(pruned);
        if !batch.is_empty() {
            ground.store.commit(batch, || {});
        }
        Ok(())
    }
}

impl super::JobScheduler {
    /// Forgets idempotency keys whose time is over, once in ten seconds.
    pub(super) fn prune_onces(&self) {
        if self.pruner.ticks.is_multiple_of(40)
            && let Err(error) = self.ground.onces.prune(self.ground.now())
        {
            tracing::error!(%error, "idempotency keys cannot be pruned");
        }
    }
}

fn prune_tombstones(ground: &Ground) -> Result<(), Refusal> {
    let horizon = ground.now().before(TOMBSTONE_RETAIN);
    let mut batch = Batch::new();
    for (key, _) in ground.store.scan(Table::TombstoneByTime, &[], None, PRUNE_MAX)? {
        let Some((at, id)) = split_by_time_key(&key) else {
            continue;
        };
        if at >= horizon {
            break;
        }
        batch.delete(Table::TombstoneByTime, key);
        batch.delete(Table::JobTombstone, id.to_vec());
    }
    if !batch.is_empty() {
        ground.store.commit(batch, || {});
    }
    Ok(())
}

/// Removes the files of artifacts whose last job was forgotten, away from the actors' thread.
fn sweep(ground: &Ground) {
    let (artifacts, store) = (Arc::clone(&ground.artifacts), ground.store.clone());
    actix::spawn(async move {
        let work = move || {
            artifacts.sweep_partials(PARTIALS_KEPT_FOR);
            artifacts.sweep(&store, UNUSED_FOR)
        };
        let swept = tokio::task::spawn_blocking(work).await;
        match swept {
            Ok(Ok(swept)) => tracing::debug!(?swept, "unused artifacts were removed"),
            Ok(Err(error)) => tracing::error!(%error, "unused artifacts cannot be removed"),
            Err(error) => tracing::error!(%error, "the removal of unused artifacts died"),
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::ArtifactStore;
    use crate::clock::ManualClock;
    use crate::core::CoreConfig;
    use crate::fixture::RecordingPublisher;
    use crate::store::Options;
    use serde_json::json;
    use tripline_protocol::job::{JobState, Outcome};
    use tripline_protocol::{JobId, Timestamp};
    use uuid::Uuid;

    const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
    /// So long ended jobs are kept.
    const RETAIN: u64 = 600;

    fn second(n: u64) -> Timestamp {
        START.after(Span::from_secs(n))
    }

    /// A job that was accepted and ended at these seconds; `None`: it waits.
    fn job(number: u128, queued: u64, ended: Option<u64>) -> JobRecord {
        let record = json!({
            "job_id": Uuid::from_u128(number), "org": "default", "name": "look", "seq": 1, "priority": "normal",
            "host": { "host_id": Uuid::from_u128(1), "hostname": "amelie" }, "state": "queued", "run": 0, "attempt": 0,
            "queued_at": second(queued), "expires_at": second(queued + 9_999), "timeout": "10m", "depth": 0,
            "steps": [], "reports": [],
        });
        let mut record: JobRecord = serde_json::from_value(record).unwrap();
        if let Some(ended) = ended {
            record.state = JobState::Ended(Outcome::Succeeded);
            record.finished_at = Some(second(ended));
        }
        record
    }

    /// Jobs in a store, and what prunes them.
    struct Rig {
        _dir: tempfile::TempDir,
        store: Store,
        ground: Ground,
        open: u64,
    }

    impl Rig {
        /// With these jobs at this second, of which so many that ended are kept at most.
        fn new(jobs: &[JobRecord], at: u64, retain_max: u64) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(&Options::new(dir.path())).unwrap();
            let artifacts = Arc::new(ArtifactStore::open(dir.path(), 0).unwrap());
            let config = CoreConfig {
                jobs_retain: Span::from_secs(RETAIN),
                jobs_retain_max: retain_max,
                ..CoreConfig::default()
            };
            let publisher = Arc::new(RecordingPublisher::default());
            let clock = Arc::new(ManualClock::new(second(at)));
            let ground = Ground::load(config, store.clone(), artifacts, publisher, clock).unwrap();
            let mut batch = Batch::new();
            jobs.iter().for_each(|job| job.put_new(&mut batch));
            store.commit(batch, || {});
            let open = jobs.iter().filter(|job| job.state.outcome().is_none());
            Self {
                _dir: dir,
                open: open.count() as u64,
                store,
                ground,
            }
        }

        /// How many ended jobs it knows of after a round of looks.
        fn looked(&self) -> u64 {
            let mut pruner = Pruner::load(&self.store, self.open).unwrap();
            (0..120).for_each(|_| pruner.tick(&self.ground));
            pruner.ended
        }
    }

    /// What is left of these jobs after a round of looks.
    fn left(jobs: &[JobRecord], at: u64, retain_max: u64) -> Vec<JobId> {
        let rig = Rig::new(jobs, at, retain_max);
        let ended = rig.looked();
        let kept = |job: &&JobRecord| {
            let record = rig.store.get(Table::Job, job.job_id.as_bytes());
            record.unwrap().is_some()
        };
        let kept: Vec<JobId> = jobs.iter().filter(kept).map(|job| job.job_id).collect();
        let known = ended + rig.open;
        let rows = rig.store.count(Table::JobByTime).unwrap();
        assert_eq!([known, rows], [kept.len() as u64; 2]);
        kept
    }

    #[test]
    fn an_ended_job_is_forgotten_by_the_age_of_its_end_however_long_it_waited() {
        let waits = job(1, 0, None);
        let waited = job(2, 1, Some(1_000));
        let ended = job(3, 2, Some(3));
        let late = job(4, 700, Some(701));
        let (waiting, kept, young) = (waits.job_id, waited.job_id, late.job_id);
        let jobs = [waits, waited, ended, late];
        assert_eq!(left(&jobs, 1_001, 100), [waiting, kept, young]);
        assert_eq!(left(&jobs, 1_302, 100), [waiting, kept]);
        assert_eq!(left(&jobs, 1_000 + RETAIN, 100), [waiting, kept]);
        assert_eq!(left(&jobs, 1_001 + RETAIN, 100), [waiting]);
    }

    #[test]
    fn the_place_in_time_of_a_job_whose_record_is_lost_goes_like_that_of_an_ended_one() {
        let lost = JobRecord {
            state: JobState::Ended(Outcome::Succeeded),
            ..job(1, 0, None)
        };
        let rig = Rig::new(&[lost.clone(), job(2, 1, None)], 1_000, 100);
        let mut batch = Batch::new();
        batch.delete(Table::Job, lost.job_id.as_bytes().to_vec());
        rig.store.commit(batch, || {});
        assert_eq!(rig.looked(), 0);
        assert_eq!(rig.store.count(Table::JobByTime).unwrap(), 1);
    }

    #[test]
    fn a_record_that_cannot_be_read_stays_and_those_around_it_go_and_are_counted() {
        let jobs: Vec<JobRecord> = (1..=4).map(|n| job(n, n as u64, Some(n as u64 + 1))).collect();
        for retain_max in [100, 1] {
            let rig = Rig::new(&jobs, 1_000, retain_max);
            let mut batch = Batch::new();
            batch.put(Table::Job, jobs[2].job_id.as_bytes().to_vec(), b"{".to_vec());
            rig.store.commit(batch, || {});
            assert_eq!(rig.looked(), 1);
            assert_eq!(rig.store.count(Table::Job).unwrap(), 1);
            assert_eq!(rig.store.count(Table::JobByTime).unwrap(), 1);
        }
    }

    #[test]
    fn of_more_ended_jobs_than_are_kept_those_go_that_were_accepted_first() {
        let jobs = [job(1, 0, None), job(2, 1, Some(90)), job(3, 2, Some(3))];
        assert_eq!(left(&jobs, 100, 2).len(), 3);
        assert_eq!(left(&jobs, 100, 1), [jobs[0].job_id, jobs[2].job_id]);
    }
}
