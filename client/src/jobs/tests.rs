//! The scheduler with sessions that are none, on a clock that is moved by hand.

use super::host::Lane;
use super::scheduler::Scheduler;
use super::sessions::Sessions;
use super::work::Ticket;
use super::*;
use crate::error::{Error, Result};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::Instant;
use tripline_protocol::HostId;
use uuid::Uuid;

/// Hosts that remember their sessions.
#[derive(Clone, Default)]
struct Remembered(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    /// Sessions that are open or being opened, by host.
    open: BTreeMap<HostId, usize>,
    opened: Vec<HostId>,
    closed: usize,
    /// Most hosts with a session at a time.
    most: usize,
    /// Hosts on which no session can be opened.
    broken: BTreeSet<HostId>,
    /// Sessions that may be active at a time; none: any number.
    slots: Option<usize>,
    active: BTreeSet<HostId>,
    /// How long opening takes.
    slow: u64,
    looked: usize,
}

struct Fake {
    host: HostId,
    dead: AtomicBool,
    book: Remembered,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.book.end(self.host);
    }
}

impl Remembered {
    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.0.lock().expect("whole")
    }

    fn begin(&self, host: HostId) {
        let mut book = self.book();
        let open = book.open.entry(host).or_default();
        *open += 1;
        assert_eq!(*open, 1, "one session on a host");
        book.most = book.most.max(book.open.len());
    }

    fn end(&self, host: HostId) {
        let mut book = self.book();
        book.open.remove(&host);
        book.active.remove(&host);
    }

    fn is_short_of_slots(&self, host: HostId) -> bool {
        let mut book = self.book();
        let short = book.slots.is_some_and(|slots| book.active.len() >= slots);
        if !short {
            book.active.insert(host);
        }
        short
    }
}

/// Takes back that a session is being opened.
struct Opening<'a>(&'a Remembered, Option<HostId>);

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if let Some(host) = self.1 {
            self.0.end(host);
        }
    }
}

impl Sessions for Remembered {
    type Host = HostId;
    type Session = Fake;

    async fn find(&self, name: String) -> Result<(HostId, HostId)> {
        pass(1).await;
        let number = name.parse::<u128>().map(host);
        let found = number.or_else(|_| name.parse::<HostId>());
        let found = found.map_err(|_| Error::server("not_found", format!("no host {name}")))?;
        Ok((found, found))
    }

    async fn open(&self, host: &HostId, short: impl Fn() + Send + 'static) -> Result<Fake> {
        self.begin(*host);
        let mut opening = Opening(self, Some(*host));
        while self.is_short_of_slots(*host) {
            short();
            pass(5).await;
        }
        let slow = self.book().slow;
        pass(slow).await;
        if self.book().broken.contains(host) {
            return Err(Error::timeout("session_wait", "it never was active"));
        }
        opening.1 = None;
        self.book().opened.push(*host);
        Ok(Fake {
            host: *host,
            dead: AtomicBool::new(false),
            book: self.clone(),
        })
    }

    async fn lives(&self, session: &Fake) -> bool {
        self.book().looked += 1;
        !session.dead.load(Ordering::SeqCst)
    }

    async fn close(&self, session: Fake) {
        pass(1).await;
        self.book().closed += 1;
        drop(session);
    }
}

/// So many milliseconds.
async fn pass(millis: u64) {
    // The clock is moved by hand: it jumps as soon as all wait.
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

fn host(number: u128) -> HostId {
    HostId(Uuid::from_u128(number))
}

/// Jobs on hosts that remember.
struct Bench {
    scheduler: Arc<Scheduler<Remembered>>,
    hosts: Remembered,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        Self {
            scheduler: Scheduler::new(limits),
            hosts: Remembered::default(),
        }
    }

    fn submit<T: Send + 'static>(&self, lane: Lane, job: impl AsyncJob<T>) -> JobHandle<T> {
        let (deliver, result) = oneshot::channel();
        let cancel = Arc::new(Notify::new());
        let ticket = Ticket {
            begin: Box::new(move |session| job(session).boxed()),
            deliver,
            cancel: Arc::clone(&cancel),
        };
        let id = self.scheduler.submit(&self.hosts, lane, None, Box::new(ticket));
        let queue: Arc<dyn Withdraw> = self.scheduler.clone();
        JobHandle {
            id,
            result,
            cancel,
            queue: Some(queue),
        }
    }

    fn on<T: Send + 'static>(&self, number: u128, job: impl AsyncJob<T>) -> JobHandle<T> {
        self.submit(Lane::Host(host(number)), job)
    }

    /// A job that takes so long and brings its number.
    fn timed(&self, on: u128, number: u32, takes: u64) -> JobHandle<u32> {
        self.on(on, move |_| async move {
            pass(takes).await;
            Ok(number)
        })
    }

    fn opened(&self) -> usize {
        self.hosts.book().opened.len()
    }
}

trait AsyncJob<T>: FnOnce(Arc<Fake>) -> Self::Running + Send + 'static {
    type Running: Future<Output = Result<T>> + Send + 'static;
}

impl<T, F, R> AsyncJob<T> for F
where
    F: FnOnce(Arc<Fake>) -> R + Send + 'static,
    R: Future<Output = Result<T>> + Send + 'static,
{
    type Running = R;
}

fn code<T>(result: Result<T>) -> String {
    result.err().expect("an error").code().to_owned()
}

#[tokio::test(start_paused = true)]
async fn jobs_of_one_host_share_a_session_which_is_closed_when_none_comes() {
    let bench = Bench::new(Limits::default());
    let jobs: Vec<_> = (0..5).map(|number| bench.timed(1, number, 10)).collect();
    for (number, job) in (0..).zip(jobs) {
        assert_eq!(job.await.expect("done"), number);
    }
    pass(500).await;
    assert_eq!(bench.timed(1, 9, 1).await.expect("done"), 9);
    assert_eq!((bench.opened(), bench.hosts.book().closed), (1, 0));
    pass(3_000).await;
    assert_eq!(bench.hosts.book().closed, 1);
    assert_eq!(bench.timed(1, 9, 1).await.expect("done"), 9);
    assert_eq!(bench.opened(), 2);
}

#[tokio::test(start_paused = true)]
async fn ten_hosts_at_a_time_and_a_session_without_jobs_gives_way() {
    let bench = Bench::new(Limits::default());
    let begun = Instant::now();
    let jobs: Vec<_> = (0..30)
        .map(|number| bench.timed(u128::from(number), number, 100))
        .collect();
    for job in jobs {
        job.await.expect("done");
    }
    // Three times ten, and none waited for an idle session's end.
    assert!(
        begun.elapsed() < Duration::from_millis(320),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(bench.hosts.book().most, 10);
}

#[tokio::test(start_paused = true)]
async fn where_the_server_has_fewer_slots_idle_sessions_are_given_back_to_it() {
    let bench = Bench::new(Limits::default());
    bench.hosts.book().slots = Some(2);
    let begun = Instant::now();
    let jobs: Vec<_> = (0..8)
        .map(|number| bench.timed(u128::from(number), number, 100))
        .collect();
    for job in jobs {
        job.await.expect("done");
    }
    assert!(
        begun.elapsed() < Duration::from_millis(600),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_host_that_waits_long_does_not_hold_up_the_others() {
    let bench = Bench::new(Limits {
        at_once: 2,
        ..Limits::default()
    });
    let slow = bench.timed(1, 1, 60_000);
    let begun = Instant::now();
    for number in 2..30 {
        bench.timed(u128::from(number), number, 10).await.expect("done");
    }
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(slow.await.expect("done"), 1);
}

#[tokio::test(start_paused = true)]
async fn failing_and_panicking_jobs_bring_their_errors_and_the_others_run() {
    let bench = Bench::new(Limits::default());
    let fails = bench.on::<()>(1, |_| async { Err(Error::live_response("ENOENT", "not there")) });
    let panics = bench.on::<()>(1, |_| async { panic!("with words") });
    let panics_at_once = bench.on::<()>(1, |_| {
        assert!(std::hint::black_box(false), "before it is a future");
        async { Ok(()) }
    });
    let works = bench.timed(1, 7, 1);
    assert_eq!(code(fails.await), "ENOENT");
    let error = panics.await.expect_err("it panicked");
    assert_eq!(
        (error.code(), error.text()),
        ("job_panicked", "the job panicked: with words")
    );
    assert_eq!(code(panics_at_once.await), "job_panicked");
    assert_eq!(works.await.expect("done"), 7);
    assert_eq!(bench.opened(), 1, "the session lives, so it is used on");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_lost_is_opened_anew_for_the_next_job() {
    let bench = Bench::new(Limits::default());
    let loses = bench.on::<()>(1, |session| async move {
        session.dead.store(true, Ordering::SeqCst);
        Err(Error::server("session_ended", "somebody closed it"))
    });
    let next = bench.timed(1, 2, 1);
    assert_eq!(code(loses.await), "session_ended");
    assert_eq!(next.await.expect("done"), 2);
    assert_eq!(bench.opened(), 2);

    // One that ends while it is not used is found out before a job gets it.
    bench
        .on(1, |session| async move {
            tokio::spawn(async move {
                pass(500).await;
                session.dead.store(true, Ordering::SeqCst);
            });
            Ok(())
        })
        .await
        .expect("done");
    pass(1_500).await;
    assert_eq!(bench.timed(1, 3, 1).await.expect("done"), 3);
    assert_eq!(bench.opened(), 3);
}

#[tokio::test(start_paused = true)]
async fn where_no_session_can_be_opened_all_that_wait_are_told_and_later_ones_try_again() {
    let bench = Bench::new(Limits::default());
    bench.hosts.book().broken.insert(host(1));
    let jobs: Vec<_> = (0..3).map(|number| bench.timed(1, number, 1)).collect();
    for job in jobs {
        assert_eq!(code(job.await), "session_wait");
    }
    bench.hosts.book().broken.clear();
    assert_eq!(bench.timed(1, 4, 1).await.expect("done"), 4);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_has_not_begun_is_cancelled_with_its_handle_and_one_that_has_goes_on() {
    let bench = Bench::new(Limits::default());
    let ran = Arc::new(Mutex::new(Vec::new()));
    let noting = |number: u32, takes: u64| {
        let ran = Arc::clone(&ran);
        bench.on(1, move |_| async move {
            pass(takes).await;
            ran.lock().expect("whole").push(number);
            Ok(())
        })
    };
    let running = noting(1, 100);
    let dropped = noting(2, 1);
    noting(3, 1).detach();
    let cancelled = noting(4, 1);
    pass(50).await;
    drop(running);
    drop(dropped);
    cancelled.cancel();
    assert_eq!(code(cancelled.await), "job_cancelled");
    bench.scheduler.drained().await;
    assert_eq!(*ran.lock().expect("whole"), [1, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_running_job_that_is_cancelled_ends_where_it_waits_and_the_next_one_runs() {
    let bench = Bench::new(Limits::default());
    let held = Arc::new(());
    let holding = Arc::clone(&held);
    let job = bench.on::<()>(1, move |_| async move {
        let _holding = holding;
        std::future::pending().await
    });
    let next = bench.timed(1, 2, 1);
    pass(10).await;
    assert_eq!(Arc::strong_count(&held), 2);
    job.cancel();
    assert_eq!(code(job.await), "job_cancelled");
    assert_eq!(Arc::strong_count(&held), 1, "nothing of it is left");
    assert_eq!(next.await.expect("done"), 2);
}

#[tokio::test(start_paused = true)]
async fn when_all_jobs_are_taken_back_the_session_is_not_waited_for() {
    let bench = Bench::new(Limits::default());
    bench.hosts.book().slow = 300_000;
    let jobs = [bench.timed(1, 1, 1), bench.timed(1, 2, 1)];
    pass(1_000).await;
    assert_eq!(bench.hosts.book().open.len(), 1, "it is being opened");
    let begun = Instant::now();
    drop(jobs);
    bench.scheduler.drained().await;
    assert!(bench.hosts.book().open.is_empty());
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn jobs_that_name_their_host_are_found_it_and_share_its_session() {
    let bench = Bench::new(Limits::default());
    let named: Vec<_> = (0..3)
        .map(|number| {
            bench.submit(Lane::Name("7".into()), move |session: Arc<Fake>| async move {
                Ok((number, session.host))
            })
        })
        .collect();
    let by_id = bench.timed(7, 9, 1);
    let unknown = bench.submit(Lane::Name("nobody".into()), |_| async { Ok(()) });
    for (number, job) in (0..).zip(named) {
        assert_eq!(job.await.expect("done"), (number, host(7)));
    }
    assert_eq!(by_id.await.expect("done"), 9);
    assert_eq!(code(unknown.await), "not_found");
    assert_eq!(bench.opened(), 1);
}

#[tokio::test(start_paused = true)]
async fn more_jobs_than_may_wait_are_refused_at_once() {
    let bench = Bench::new(Limits {
        waiting_max: 3,
        ..Limits::default()
    });
    let jobs: Vec<_> = (0..3).map(|number| bench.timed(1, number, 10)).collect();
    let error = bench.timed(1, 4, 10).await.expect_err("no room");
    assert_eq!((error.code(), error.text()), ("jobs_full", "3 jobs wait already"));
    for job in jobs {
        job.await.expect("done");
    }
    bench.timed(1, 5, 10).await.expect("there is room again");
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_all_and_a_shut_scheduler_takes_none() {
    let bench = Bench::new(Limits::default());
    let mut running = bench.timed(1, 1, 50);
    let mut waiting = bench.timed(1, 2, 50);
    pass(10).await;
    bench.scheduler.close();
    assert_eq!(code((&mut waiting).await), "jobs_shut_down");
    assert_eq!(code(bench.timed(2, 3, 1).await), "jobs_shut_down");
    let begun = Instant::now();
    bench.scheduler.drained().await;
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "an idle session is not waited for"
    );
    assert_eq!((&mut running).await.expect("done"), 1);
    let book = bench.hosts.book();
    assert!(book.open.is_empty() && book.closed == 1);
}

#[test]
fn outside_a_runtime_a_job_says_so() {
    let bench = Bench::new(Limits::default());
    let job = bench.timed(1, 1, 1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    assert_eq!(code(runtime.block_on(job)), "runtime_stopped");
}

#[test]
fn a_runtime_that_ends_under_its_jobs_tells_their_handles() {
    let bench = Bench::new(Limits::default());
    let runtime = |paused| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder
            .enable_time()
            .start_paused(paused)
            .build()
            .expect("a runtime")
    };
    let first = runtime(true);
    let job = {
        let _inside = first.enter();
        bench.timed(1, 1, 60_000)
    };
    first.block_on(pass(10));
    drop(first);
    assert_eq!(code(runtime(true).block_on(job)), "runtime_stopped");
}

/// What is done with a job after it was submitted.
#[derive(Debug, Clone, Copy)]
enum Care {
    Await,
    Drop,
    Cancel,
    Detach,
}

/// A job: its host, how it is named, how long it takes, how it ends, what is done with it, and the pause before.
type Plan = (u128, bool, u64, u8, Care, u64);

fn plan() -> impl Strategy<Value = Plan> {
    let care = prop_oneof![6 => Just(Care::Await), 1 => Just(Care::Drop), 1 => Just(Care::Cancel), 1 => Just(Care::Detach)];
    (0..6_u128, any::<bool>(), 0..40_u64, 0..8_u8, care, 0..20_u64)
}

/// Runs the plans; how often each job began.
async fn carry_out(plans: Vec<Plan>, at_once: usize) -> (Vec<usize>, Vec<Option<Result<usize>>>, Bench) {
    let bench = Bench::new(Limits {
        at_once,
        idle: Duration::from_millis(15),
        ..Limits::default()
    });
    bench.hosts.book().slow = 3;
    bench.hosts.book().slots = Some(3);
    let begun = Arc::new(Mutex::new(Vec::new()));
    let mut results = Vec::new();
    let mut handles = Vec::new();
    for (number, (on, by_name, takes, ending, care, pause)) in plans.into_iter().enumerate() {
        let begun = Arc::clone(&begun);
        let lane = match by_name {
            true => Lane::Name(on.to_string()),
            false => Lane::Host(host(on)),
        };
        let job = bench.submit(lane, move |session: Arc<Fake>| async move {
            begun.lock().expect("whole").push(number);
            pass(takes).await;
            match ending {
                0 => Err(Error::live_response("ENOENT", "not there")),
                1 => panic!("as planned"),
                2 => {
                    session.dead.store(true, Ordering::SeqCst);
                    Err(Error::server("session_ended", "it is gone"))
                }
                _ => Ok(number),
            }
        });
        pass(pause).await;
        let handle = match care {
            Care::Await => Some(job),
            Care::Drop => None,
            Care::Detach => {
                job.detach();
                None
            }
            Care::Cancel => {
                job.cancel();
                Some(job)
            }
        };
        handles.push(handle);
    }
    for handle in handles {
        results.push(match handle {
            Some(handle) => Some(handle.await),
            None => None,
        });
    }
    bench.scheduler.drained().await;
    let begun = begun.lock().expect("whole").clone();
    (begun, results, bench)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// That a host has one session at a time is asserted where sessions are opened.
    #[test]
    fn whatever_is_submitted_runs_at_most_once_in_order_and_is_answered(
        plans in vec(plan(), 1..60),
        at_once in 1..5_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        let (begun, results, bench) = runtime.block_on(carry_out(plans.clone(), at_once));
        let mut once = BTreeSet::new();
        prop_assert!(begun.iter().all(|number| once.insert(*number)), "a job began twice: {:?}", begun);
        for (number, (plan, result)) in plans.iter().zip(&results).enumerate() {
            match (plan.4, result) {
                (Care::Detach, _) => prop_assert!(once.contains(&number), "a detached job ran"),
                (Care::Await, Some(result)) => {
                    prop_assert!(once.contains(&number));
                    let expected = match plan.3 { 0 => Err("ENOENT"), 1 => Err("job_panicked"), 2 => Err("session_ended"), _ => Ok(number) };
                    prop_assert_eq!(result.as_ref().map(|value| *value).map_err(|error| error.code()), expected);
                }
                (Care::Cancel, result) => prop_assert!(result.is_some(), "a cancelled job is answered"),
                (Care::Await | Care::Drop, _) => {}
            }
        }
        for on in 0..6_u128 {
            for by_name in [true, false] {
                let of_lane: Vec<usize> = begun.iter().copied().filter(|number| plans[*number].0 == on && plans[*number].1 == by_name).collect();
                prop_assert!(of_lane.is_sorted(), "out of order: {:?}", of_lane);
            }
        }
        let book = bench.hosts.book();
        prop_assert!(book.most <= at_once, "{} hosts at once", book.most);
        prop_assert!(book.open.is_empty(), "sessions are left: {:?}", book.open);
    }
}
