//! The isolation of a host with a network that only remembers what it was told.

use super::*;
use crate::link::Outgoing;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tripline_protocol::{Span, Timestamp};
use uuid::Uuid;

/// Remembers its walls, and refuses when it is told to.
#[derive(Default)]
struct PaperWalls {
    raised: Mutex<Option<(Walls, Duration)>>,
    loads: AtomicU64,
    refuses: AtomicBool,
}

impl PaperWalls {
    fn answer(&self) -> Result<(), Fault> {
        match self.refuses.load(Ordering::Relaxed) {
            true => Err(Fault::live_response("nft_failed", "no")),
            false => Ok(()),
        }
    }

    fn lasts(&self) -> Option<u64> {
        self.raised.lock().as_ref().map(|(_, lasts)| lasts.as_secs())
    }
}

impl NetworkIsolation for PaperWalls {
    fn lacks(&self) -> Option<String> {
        None
    }

    fn raise(&self, walls: &Walls, lasts: Duration) -> Result<(), Fault> {
        self.answer()?;
        self.loads.fetch_add(1, Ordering::Relaxed);
        *self.raised.lock() = Some((walls.clone(), lasts));
        Ok(())
    }

    fn lower(&self) -> Result<(), Fault> {
        self.answer()?;
        *self.raised.lock() = None;
        Ok(())
    }

    fn stands(&self) -> Result<bool, Fault> {
        Ok(self.raised.lock().is_some())
    }

    fn name_servers(&self) -> Vec<std::net::IpAddr> {
        vec!["192.0.2.53".parse().unwrap()]
    }
}

/// A host with its state directory, through restarts and boots.
struct Scene {
    _dir: tempfile::TempDir,
    state: Arc<StateDir>,
    walls: Arc<PaperWalls>,
    /// Boot, and seconds of both clocks.
    time: Arc<Mutex<(u128, u64)>>,
}

const ALWAYS: &str = "198.51.100.0/24";

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = Arc::new(StateDir::open(dir.path()).unwrap());
        Self {
            _dir: dir,
            state,
            walls: Arc::default(),
            time: Arc::new(Mutex::new((1, 1_000))),
        }
    }

    /// An agent starts.
    fn agent(&self, url: &str) -> HostIsolation {
        let agent = self.isolation(url);
        agent.take_up().unwrap();
        agent
    }

    fn before_the_agent(&self) -> HostIsolation {
        self.isolation("https://192.0.2.1:7443")
    }

    fn isolation(&self, url: &str) -> HostIsolation {
        let time = self.time.clone();
        let clock = move || {
            let (boot, seconds) = *time.lock();
            Ok(Moment {
                clock: Timestamp::from_micros(0).after(Span::from_secs(seconds)),
                boot: Uuid::from_u128(boot),
                since_boot: Duration::from_secs(seconds),
            })
        };
        HostIsolation::new(
            self.walls.clone(),
            self.state.clone(),
            Box::new(clock),
            Server::new(url.parse().unwrap()),
            vec![ALWAYS.parse().unwrap()],
        )
    }

    fn start(&self) -> HostIsolation {
        self.agent("https://192.0.2.1:7443")
    }

    fn pass(&self, seconds: u64) {
        self.time.lock().1 += seconds;
    }

    fn boot(&self) {
        self.time.lock().0 += 1;
        *self.walls.raised.lock() = None;
    }

    fn is_recorded(&self) -> bool {
        self.state.read(NAME).unwrap().is_some()
    }
}

fn command(number: u128) -> CommandId {
    CommandId(Uuid::from_u128(number))
}

fn hours(hours: u64) -> Isolate {
    Isolate {
        lasts: Some(Span::from_secs(hours * 3600)),
        ..Isolate::default()
    }
}

fn ended(agent: &HostIsolation) -> Option<IsolationEnd> {
    match agent.report()? {
        IsolationReport::Ended { why, .. } => Some(why),
        _ => None,
    }
}

fn left(agent: &HostIsolation) -> Option<(CommandId, u64)> {
    match agent.report()? {
        IsolationReport::Isolated { left, isolation } => {
            Some((isolation.command_id, left.as_millis() / 1000))
        }
        _ => None,
    }
}

#[test]
fn only_the_server_and_what_is_allowed_is_let_through() {
    let scene = Scene::new();
    let agent = scene.start();
    assert_eq!(agent.report(), None);
    let args = Isolate {
        allow: vec!["10.0.0.0/8".parse().unwrap()],
        ..Isolate::default()
    };
    let isolated = agent.isolate(command(1), &args).unwrap();
    let raised = scene.walls.raised.lock().clone().unwrap();
    let walls = Walls {
        server: vec!["192.0.2.1:7443".parse().unwrap()],
        name_servers: Vec::new(),
        allow: vec!["10.0.0.0/8".parse().unwrap(), ALWAYS.parse().unwrap()],
    };
    assert_eq!(raised, (walls.clone(), Duration::from_secs(4 * 3600)));
    assert_eq!((isolated.server, isolated.allow), (walls.server, walls.allow));
    assert_eq!(left(&agent), Some((command(1), 4 * 3600)));
}

#[test]
fn name_servers_are_let_through_only_when_the_server_is_given_by_name_and_where_it_was_reached_counts() {
    let scene = Scene::new();
    let agent = scene.agent("https://localhost:7443");
    agent.reached("192.0.2.9:7443".parse().unwrap());
    let isolated = agent.isolate(command(1), &Isolate::default()).unwrap();
    assert_eq!(isolated.name_servers.len(), 1);
    assert!(isolated.server.contains(&"127.0.0.1:7443".parse().unwrap()));
    assert!(isolated.server.contains(&"192.0.2.9:7443".parse().unwrap()));
}

#[test]
fn a_host_that_could_not_find_its_server_is_not_isolated() {
    let scene = Scene::new();
    let agent = scene.agent("https://nowhere.invalid:7443");
    let fault = agent.isolate(command(1), &Isolate::default()).unwrap_err();
    assert_eq!(fault.code, "server_unknown");
    assert!(!scene.is_recorded() && scene.walls.lasts().is_none());
    agent.reached("192.0.2.9:7443".parse().unwrap());
    agent.isolate(command(2), &Isolate::default()).unwrap();
}

#[test]
fn renewing_counts_from_now_and_names_the_new_command() {
    let scene = Scene::new();
    let agent = scene.start();
    agent.isolate(command(1), &hours(2)).unwrap();
    scene.pass(3600);
    assert_eq!(left(&agent), Some((command(1), 3600)));
    agent.isolate(command(2), &hours(2)).unwrap();
    assert_eq!(scene.walls.lasts(), Some(7200));
    assert_eq!(left(&agent), Some((command(2), 7200)));
}

#[test]
fn it_ends_at_its_time_without_any_server() {
    let scene = Scene::new();
    let agent = scene.start();
    agent.isolate(command(1), &hours(1)).unwrap();
    scene.pass(3599);
    agent.settle().unwrap();
    assert!(scene.walls.lasts().is_some() && ended(&agent).is_none());
    scene.pass(1);
    agent.settle().unwrap();
    assert_eq!(
        (scene.walls.lasts(), ended(&agent)),
        (None, Some(IsolationEnd::Expired))
    );
    assert!(!scene.is_recorded());
}

#[test]
fn unisolating_ends_it_and_a_second_time_does_nothing() {
    let scene = Scene::new();
    let agent = scene.start();
    agent.isolate(command(1), &hours(1)).unwrap();
    assert!(agent.unisolate().unwrap().was_isolated);
    assert_eq!((scene.walls.lasts(), scene.is_recorded()), (None, false));
    assert_eq!(ended(&agent), Some(IsolationEnd::Unisolated));
    assert!(!agent.unisolate().unwrap().was_isolated);
}

#[test]
fn rules_that_are_left_without_a_record_are_removed_by_unisolating() {
    let scene = Scene::new();
    scene
        .walls
        .raise(&Walls::default(), Duration::from_secs(9))
        .unwrap();
    let agent = scene.start();
    assert!(
        scene.walls.lasts().is_some(),
        "a start touches nothing it did not make"
    );
    assert_eq!(agent.report(), Some(IsolationReport::Unknown));
    assert!(agent.unisolate().unwrap().was_isolated);
    assert_eq!(scene.walls.lasts(), None);
    assert_eq!(ended(&agent), Some(IsolationEnd::Unisolated));
}

#[test]
fn rules_that_are_left_without_a_record_are_told_as_such_until_they_end() {
    let scene = Scene::new();
    scene.start().isolate(command(1), &hours(1)).unwrap();
    scene.state.remove(NAME).unwrap();
    let agent = scene.start();
    agent.settle().unwrap();
    assert_eq!(agent.report(), Some(IsolationReport::Unknown));
    assert!(scene.walls.lasts().is_some());
    *scene.walls.raised.lock() = None;
    agent.settle().unwrap();
    assert_eq!(ended(&agent), Some(IsolationEnd::Unknown));
    // The next one can be isolated as ever.
    agent.isolate(command(2), &hours(1)).unwrap();
    assert_eq!(left(&agent), Some((command(2), 3600)));
}

#[test]
fn a_restart_keeps_it_without_touching_it() {
    let scene = Scene::new();
    scene.start().isolate(command(1), &hours(1)).unwrap();
    scene.pass(600);
    let agent = scene.start();
    assert_eq!(left(&agent), Some((command(1), 3000)));
    assert_eq!(scene.walls.loads.load(Ordering::Relaxed), 1);
    scene.pass(3600);
    let agent = scene.start();
    assert_eq!(
        (scene.walls.lasts(), ended(&agent)),
        (None, Some(IsolationEnd::Expired))
    );
}

#[test]
fn a_boot_ends_it_unless_it_persists_and_then_only_the_rest_is_reinstated() {
    let scene = Scene::new();
    scene.start().isolate(command(1), &hours(1)).unwrap();
    scene.boot();
    let agent = scene.start();
    assert_eq!(
        (scene.walls.lasts(), ended(&agent)),
        (None, Some(IsolationEnd::Rebooted))
    );
    let persist = Isolate {
        persist: true,
        ..hours(1)
    };
    agent.isolate(command(2), &persist).unwrap();
    scene.pass(600);
    scene.boot();
    let agent = scene.start();
    assert_eq!(scene.walls.lasts(), Some(3000));
    assert_eq!(left(&agent), Some((command(2), 3000)));
}

#[test]
fn a_refusal_leaves_everything_as_it_was() {
    let scene = Scene::new();
    let agent = scene.start();
    scene.walls.refuses.store(true, Ordering::Relaxed);
    assert_eq!(
        agent.isolate(command(1), &hours(1)).unwrap_err().code,
        "nft_failed"
    );
    assert!(!scene.is_recorded() && agent.report().is_none());
    scene.walls.refuses.store(false, Ordering::Relaxed);
    agent.isolate(command(2), &hours(1)).unwrap();
    let recorded = scene.state.read(NAME).unwrap();
    scene.walls.refuses.store(true, Ordering::Relaxed);
    agent.isolate(command(3), &hours(2)).unwrap_err();
    agent.unisolate().unwrap_err();
    assert_eq!(scene.state.read(NAME).unwrap(), recorded);
    assert_eq!(left(&agent), Some((command(2), 3600)));
    // After a restart it is still in force.
    scene.walls.refuses.store(false, Ordering::Relaxed);
    assert_eq!(left(&scene.start()), Some((command(2), 3600)));
}

#[test]
fn what_a_crash_left_half_done_is_brought_to_its_end() {
    let scene = Scene::new();
    let agent = scene.start();
    agent.isolate(command(1), &hours(1)).unwrap();
    // It was recorded, and the host not cut off yet.
    *scene.walls.raised.lock() = None;
    assert_eq!(left(&scene.start()), Some((command(1), 3600)));
    assert_eq!(scene.walls.lasts(), Some(3600));
    // It was about to be undone.
    let record = agent.present.lock().record.clone().unwrap();
    agent.write(&record.undoing()).unwrap();
    let agent = scene.start();
    assert_eq!(
        (scene.walls.lasts(), ended(&agent)),
        (None, Some(IsolationEnd::Unisolated))
    );
    assert!(!scene.is_recorded());
}

#[test]
fn rules_that_others_removed_come_back_with_the_time_that_is_left() {
    let scene = Scene::new();
    let agent = scene.start();
    agent.isolate(command(1), &hours(1)).unwrap();
    scene.pass(600);
    *scene.walls.raised.lock() = None;
    agent.settle().unwrap();
    assert_eq!(scene.walls.lasts(), Some(3000));
}

#[test]
fn who_removes_the_record_ends_it() {
    let scene = Scene::new();
    let agent = scene.start();
    agent.isolate(command(1), &hours(1)).unwrap();
    scene.state.remove(NAME).unwrap();
    agent.settle().unwrap();
    assert_eq!(
        (scene.walls.lasts(), ended(&agent)),
        (None, Some(IsolationEnd::ByHand))
    );
}

#[test]
fn a_damaged_record_is_ignored() {
    let scene = Scene::new();
    scene.state.write(NAME, b"{\"boot\": 3").unwrap();
    assert_eq!(scene.start().report(), None);
    scene
        .walls
        .raise(&Walls::default(), Duration::from_secs(9))
        .unwrap();
    assert_eq!(scene.start().report(), Some(IsolationReport::Unknown));
}

#[test]
fn changes_are_told_where_the_agent_is_attached() {
    let scene = Scene::new();
    let agent = scene.start();
    let (link, mut end) = Link::new();
    let link = Arc::new(link);
    let mut told = || match end.try_next() {
        Some(Outgoing::Frame(AgentFrame::Isolation { isolation })) => Some(isolation),
        Some(_) => panic!("another frame"),
        None => None,
    };
    agent.attach(&link);
    assert_eq!(told(), None, "there is nothing to tell");
    agent.isolate(command(1), &hours(1)).unwrap();
    assert!(matches!(
        told().as_deref(),
        Some(IsolationReport::Isolated { .. })
    ));
    agent.unisolate().unwrap();
    assert!(matches!(told().as_deref(), Some(IsolationReport::Ended { .. })));
    agent.detach(&link);
    agent.isolate(command(2), &hours(1)).unwrap();
    assert_eq!(told(), None);
    agent.attach(&link);
    assert!(matches!(
        told().as_deref(),
        Some(IsolationReport::Isolated { .. })
    ));
}

#[tokio::test]
async fn where_a_named_server_is_now_is_let_through_before_it_is_connected_to() {
    let scene = Scene::new();
    let agent = Arc::new(scene.agent("https://localhost:7443"));
    assert!(agent.before_connecting().await.is_empty());
    agent.isolate(command(1), &hours(1)).unwrap();
    scene.pass(600);
    // Nobody has heard of its present address yet.
    let elsewhere = vec!["192.0.2.7:7443".parse().unwrap()];
    agent.present.lock().record.as_mut().unwrap().server = elsewhere.clone();
    assert_eq!(agent.before_connecting().await, elsewhere);
    let (walls, lasts) = scene.walls.raised.lock().clone().unwrap();
    assert!(
        walls.server.contains(&"127.0.0.1:7443".parse().unwrap()) && walls.server.contains(&elsewhere[0])
    );
    assert_eq!(lasts.as_secs(), 3000, "and for no longer than before");
}

#[test]
fn before_the_agent_starts_it_is_reinstated_once_and_the_agent_tells_of_it() {
    let scene = Scene::new();
    assert_eq!(scene.start().reinstate().unwrap(), Reinstated::Nothing);
    let persist = Isolate {
        persist: true,
        ..hours(4)
    };
    scene.start().isolate(command(1), &persist).unwrap();
    scene.boot();
    scene.pass(3600);
    let early = scene.before_the_agent();
    assert_eq!(
        early.reinstate().unwrap(),
        Reinstated::Again(Duration::from_secs(3 * 3600))
    );
    assert_eq!(scene.walls.lasts(), Some(3 * 3600));
    assert_eq!(early.reinstate().unwrap(), Reinstated::Stands);
    let loads = scene.walls.loads.load(Ordering::Relaxed);
    assert_eq!(left(&scene.start()), Some((command(1), 3 * 3600)));
    assert_eq!(scene.walls.loads.load(Ordering::Relaxed), loads);
}

#[test]
fn before_the_agent_starts_an_end_is_left_to_it_and_what_goes_wrong_is_an_error() {
    let scene = Scene::new();
    scene.start().isolate(command(1), &hours(4)).unwrap();
    scene.boot();
    assert_eq!(scene.before_the_agent().reinstate().unwrap(), Reinstated::Over);
    assert!(scene.is_recorded() && scene.walls.lasts().is_none());
    assert_eq!(ended(&scene.start()), Some(IsolationEnd::Rebooted));

    let persist = Isolate {
        persist: true,
        ..hours(4)
    };
    scene.start().isolate(command(2), &persist).unwrap();
    scene.boot();
    scene.walls.refuses.store(true, Ordering::Relaxed);
    let refused = scene.before_the_agent().reinstate();
    assert!(matches!(refused, Err(ReinstateError::Refused(_))), "{refused:?}");
    scene.state.write(NAME, b"{").unwrap();
    let damaged = scene.before_the_agent().reinstate();
    assert!(matches!(damaged, Err(ReinstateError::Damaged(_))), "{damaged:?}");
}
