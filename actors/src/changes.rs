//! Changes of jobs and hosts for whoever follows them within this process: numbered, and the last of them kept.
//!
//! Who tells a change never waits: a follower that is slower than the changes loses the oldest and learns how many. A
//! follower that comes back goes on at its [`Mark`] as long as what came after it is kept. Deliberately not here: who
//! may see what, which is the edge's; and anything that must not be lost, which the outbox publishes.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use tokio::sync::watch;
use tripline_protocol::api::{HostChange, JobChange};
use uuid::Uuid;

/// Changes of jobs that are kept.
pub const JOB_CHANGES_KEPT_MAX: usize = 4_096;
/// Changes of hosts that are kept, while somebody follows them.
pub const HOST_CHANGES_KEPT_MAX: usize = 4_096;

/// A place among the changes, from which a follower goes on: `<run of the server>.<number of the change>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    run: Uuid,
    number: u64,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.run.as_simple(), self.number)
    }
}

impl FromStr for Mark {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "expected the id of a change of this stream";
        let (run, number) = text.split_once('.').ok_or(WRONG)?;
        Ok(Self {
            run: run.parse().map_err(|_| WRONG)?,
            number: number.parse().map_err(|_| WRONG)?,
        })
    }
}

/// What a follower hears next.
#[derive(Debug, PartialEq)]
pub enum News<T> {
    /// A change.
    Change(Arc<T>),
    /// So many changes are gone; `None`: nobody knows how many.
    Missed(Option<u64>),
}

/// The last changes of one kind.
#[derive(Debug)]
pub(crate) struct Changes<T> {
    run: Uuid,
    kept_max: usize,
    kept: Mutex<Kept<T>>,
    /// The number of the last change.
    last: watch::Sender<u64>,
}

#[derive(Debug)]
struct Kept<T> {
    /// The number of the first one that is kept, or of the next one.
    first: u64,
    /// Up to here changes were made that nobody told.
    untold: u64,
    changes: VecDeque<Arc<T>>,
}

impl<T> Kept<T> {
    fn last(&self) -> u64 {
        (self.first - 1).saturating_add(self.changes.len() as u64)
    }
}

impl<T> Changes<T> {
    fn new(run: Uuid, kept_max: usize) -> Self {
        let kept = Kept {
            first: 1,
            untold: 0,
            changes: VecDeque::new(),
        };
        Self {
            run,
            kept_max,
            kept: Mutex::new(kept),
            last: watch::Sender::new(0),
        }
    }

    /// Tells a change that is durable.
    pub(crate) fn tell(&self, change: T) {
        let mut kept = self.kept.lock();
        kept.changes.push_back(Arc::new(change));
        if kept.changes.len() > self.kept_max {
            kept.changes.pop_front();
            kept.first += 1;
        }
        self.last.send_replace(kept.last());
    }

    /// Changes were made that nobody told: every follower hears that it missed some.
    pub(crate) fn lose(&self) {
        let mut kept = self.kept.lock();
        kept.untold = kept.last() + 1;
        kept.first = kept.untold + 1;
        kept.changes.clear();
        self.last.send_replace(kept.last());
    }

    /// Whether somebody follows.
    pub(crate) fn is_followed(&self) -> bool {
        self.last.receiver_count() > 0
    }

    /// What comes after the change of this number; `None`: nothing yet.
    fn after(&self, number: u64) -> Option<(u64, News<T>)> {
        let kept = self.kept.lock();
        let next = number + 1;
        if next < kept.first {
            let last = kept.first - 1;
            let count = (number >= kept.untold).then_some(last - number);
            return Some((last, News::Missed(count)));
        }
        let index = usize::try_from(next - kept.first).ok()?;
        let change = kept.changes.get(index)?;
        Some((next, News::Change(Arc::clone(change))))
    }
}

/// Hears the changes one after the other.
#[derive(Debug)]
pub struct Follower<T> {
    changes: Arc<Changes<T>>,
    last: watch::Receiver<u64>,
    /// The number of what was heard last.
    heard: u64,
    /// It comes from another run of the server.
    is_lost: bool,
}

impl<T> Follower<T> {
    /// From what came after `mark` on, or without one from now on.
    fn new(changes: Arc<Changes<T>>, mark: Option<Mark>) -> Self {
        let last = changes.last.subscribe();
        let now = *last.borrow();
        let known = mark.filter(|mark| mark.run == changes.run && mark.number <= now);
        Self {
            heard: known.map_or(now, |mark| mark.number),
            is_lost: mark.is_some() && known.is_none(),
            changes,
            last,
        }
    }

    /// The next change, when there is one. May be dropped before it is done: nothing is lost by it.
    pub async fn next(&mut self) -> News<T> {
        if std::mem::take(&mut self.is_lost) {
            return News::Missed(None);
        }
        loop {
            if let Some((number, news)) = self.changes.after(self.heard) {
                self.heard = number;
                return news;
            }
            if self.last.changed().await.is_err() {
                // Nobody is left who could tell a change; never, because this follower holds them.
                return std::future::pending().await;
            }
        }
    }

    /// The place to go on from after what was heard last.
    pub fn mark(&self) -> Mark {
        Mark {
            run: self.changes.run,
            number: self.heard,
        }
    }

    /// Goes on from now on; for who is about to look at everything anyway.
    pub fn skip(&mut self) {
        self.heard = *self.last.borrow_and_update();
    }
}

/// The changes of jobs and of hosts.
#[derive(Debug)]
pub(crate) struct Streams {
    jobs: Arc<Changes<JobChange>>,
    hosts: Arc<Changes<HostChange>>,
}

impl Streams {
    pub(crate) fn new(run: Uuid) -> Self {
        Self {
            jobs: Arc::new(Changes::new(run, JOB_CHANGES_KEPT_MAX)),
            hosts: Arc::new(Changes::new(run, HOST_CHANGES_KEPT_MAX)),
        }
    }

    pub(crate) fn jobs(&self) -> &Changes<JobChange> {
        &self.jobs
    }

    pub(crate) fn hosts(&self) -> &Changes<HostChange> {
        &self.hosts
    }

    pub(crate) fn follow_jobs(&self, mark: Option<Mark>) -> Follower<JobChange> {
        Follower::new(Arc::clone(&self.jobs), mark)
    }

    pub(crate) fn follow_hosts(&self) -> Follower<HostChange> {
        Follower::new(Arc::clone(&self.hosts), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn changes() -> Arc<Changes<u64>> {
        Arc::new(Changes::new(Uuid::from_u128(7), 3))
    }

    fn tell(changes: &Changes<u64>, numbers: std::ops::RangeInclusive<u64>) {
        numbers.for_each(|number| changes.tell(number));
    }

    /// Everything there is to hear now.
    fn hear(follower: &mut Follower<u64>) -> Vec<News<u64>> {
        let mut heard = Vec::new();
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(news) = pin!(follower.next()).poll(&mut context) {
            heard.push(news);
        }
        heard
    }

    fn all(numbers: std::ops::RangeInclusive<u64>) -> Vec<News<u64>> {
        numbers.map(|number| News::Change(Arc::new(number))).collect()
    }

    #[test]
    fn a_follower_hears_every_change_from_now_on_once_and_in_order() {
        let changes = changes();
        tell(&changes, 1..=2);
        let mut follower = Follower::new(Arc::clone(&changes), None);
        assert_eq!(hear(&mut follower), []);
        tell(&changes, 3..=5);
        assert_eq!(hear(&mut follower), all(3..=5));
        assert_eq!(hear(&mut follower), []);
    }

    #[tokio::test]
    async fn a_follower_that_waits_is_woken() {
        let changes = changes();
        let mut follower = Follower::new(Arc::clone(&changes), None);
        let teller = async {
            tokio::task::yield_now().await;
            changes.tell(1);
        };
        let (news, ()) = tokio::join!(follower.next(), teller);
        assert_eq!(news, News::Change(Arc::new(1)));
    }

    #[test]
    fn one_that_is_too_slow_hears_how_many_it_missed_and_goes_on_with_the_oldest_that_is_kept() {
        let changes = changes();
        let mut follower = Follower::new(Arc::clone(&changes), None);
        tell(&changes, 1..=3);
        assert_eq!(hear(&mut follower), all(1..=3), "so many are kept");
        tell(&changes, 4..=8);
        let mut heard = hear(&mut follower);
        assert_eq!(heard.remove(0), News::Missed(Some(2)));
        assert_eq!(heard, all(6..=8));
    }

    #[test]
    fn one_that_comes_back_goes_on_at_its_mark() {
        let changes = changes();
        tell(&changes, 1..=2);
        let mark = Follower::new(Arc::clone(&changes), None).mark();
        tell(&changes, 3..=5);
        let mark: Mark = mark.to_string().parse().expect("a mark");
        let mut back = Follower::new(Arc::clone(&changes), Some(mark));
        assert_eq!(hear(&mut back), all(3..=5));
        tell(&changes, 6..=7);
        let mut late = Follower::new(Arc::clone(&changes), Some(mark));
        assert_eq!(hear(&mut late).first(), Some(&News::Missed(Some(2))));
    }

    #[test]
    fn a_mark_of_another_run_or_of_the_future_says_nothing_of_what_is_missed() {
        let changes = changes();
        tell(&changes, 1..=2);
        for mark in [
            Mark {
                run: Uuid::from_u128(8),
                number: 1,
            },
            Mark {
                run: Uuid::from_u128(7),
                number: 9,
            },
        ] {
            let mut follower = Follower::new(Arc::clone(&changes), Some(mark));
            assert_eq!(hear(&mut follower), [News::Missed(None)]);
            changes.tell(0);
            assert_eq!(
                hear(&mut follower).len(),
                1,
                "and from now on it hears everything"
            );
        }
    }

    #[test]
    fn who_tells_knows_whether_somebody_follows() {
        let changes = changes();
        assert!(!changes.is_followed());
        let follower = Follower::new(Arc::clone(&changes), None);
        assert!(changes.is_followed());
        drop(follower);
        assert!(!changes.is_followed());
    }

    #[test]
    fn changes_that_nobody_told_are_missed_by_everybody() {
        let changes = changes();
        tell(&changes, 1..=2);
        let mut follower = Follower::new(Arc::clone(&changes), None);
        changes.lose();
        assert_eq!(hear(&mut follower), [News::Missed(None)]);
        changes.tell(9);
        assert_eq!(hear(&mut follower), [News::Change(Arc::new(9))]);
    }

    #[test]
    fn who_skips_hears_nothing_of_before() {
        let changes = changes();
        let mut follower = Follower::new(Arc::clone(&changes), None);
        tell(&changes, 1..=8);
        follower.skip();
        assert_eq!(hear(&mut follower), []);
        changes.tell(9);
        assert_eq!(hear(&mut follower), all(9..=9));
    }

    #[test]
    fn what_is_no_mark_is_refused() {
        for wrong in ["", "7", "x.1", "00000000000000000000000000000007.-1", "7.x"] {
            assert!(wrong.parse::<Mark>().is_err(), "{wrong}");
        }
    }
}
