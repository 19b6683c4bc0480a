//! Services that hear of everything: one that behaves, one that asks for much of it twice, and one that dies.

use super::cloud::{BAD, ODD};
use crate::peer::{Does, Peer};
use crate::scene::SECRET;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tripline_protocol::{EventKey, Name};

/// How a service takes what it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    Good,
    /// Asks for every second message to come again.
    Again,
    /// Cuts every connection, after it has heard, for as long as it is down.
    Mortal,
}

#[derive(Default)]
struct Heard {
    is_down: bool,
    /// Asked to come again.
    put_off: BTreeSet<String>,
    /// What it said yes to: etype and `mid`.
    done: BTreeSet<(String, String)>,
    /// Under which `mid`s each detection came, answered or not.
    detections: BTreeMap<String, BTreeSet<String>>,
}

impl Heard {
    fn hear(&mut self, nature: Nature, call: &Value) -> Does {
        let text = |at: &str| call[at].as_str().unwrap_or_default().to_owned();
        let (etype, mid) = (text("etype"), text("mid"));
        if etype == "detection" {
            let number = call["data"]["detect"]["event"]["number"]
                .as_str()
                .expect("a number");
            self.detections
                .entry(number.to_owned())
                .or_default()
                .insert(mid.clone());
        }
        if self.is_down {
            return Does::Reset;
        }
        if etype == "health" {
            return Does::health(CALLBACKS, &[BAD, ODD]);
        }
        // Some `mid`s begin so, and some do not.
        let is_one_to_come_again = mid.as_bytes().first().is_some_and(|digit| *digit < b'8');
        if nature == Nature::Again && is_one_to_come_again && self.put_off.insert(mid.clone()) {
            return Does::Answer(serde_json::json!({ "success": false, "retry": true }));
        }
        self.done.insert((etype, mid));
        Does::done()
    }
}

const CALLBACKS: &[&str] = &[
    "health",
    "detection",
    "org_install",
    "org_per_1h",
    "once_per_1h",
    "sensor_per_1h",
];

/// A service and what it heard.
pub(super) struct Listener {
    pub(super) name: Name,
    pub(super) peer: Peer,
    nature: Nature,
    heard: Arc<Mutex<Heard>>,
}

impl Listener {
    pub(super) async fn start(name: &str, nature: Nature) -> Self {
        let heard: Arc<Mutex<Heard>> = Arc::default();
        let hears = Arc::clone(&heard);
        let hear = move |call: &Value| hears.lock().expect("not poisoned").hear(nature, call);
        Self {
            name: name.parse().expect("a name"),
            peer: Peer::start(SECRET, hear).await,
            nature,
            heard,
        }
    }

    /// It dies, or comes back, if it is one that does.
    pub(super) fn set_down(&self, is_down: bool) {
        if self.nature == Nature::Mortal {
            self.heard.lock().expect("not poisoned").is_down = is_down;
        }
    }

    /// What it said yes to: etypes and `mid`s.
    pub(super) fn done(&self) -> BTreeSet<(String, String)> {
        let heard = self.heard.lock().expect("not poisoned");
        let of_org = |(etype, _): &&(String, String)| etype == "org_install";
        heard.done.iter().filter(|one| !of_org(one)).cloned().collect()
    }

    /// How many messages it said yes to.
    pub(super) fn count(&self) -> usize {
        self.heard.lock().expect("not poisoned").done.len()
    }

    /// Under which `mid` it is to hear of an event.
    pub(super) fn mid(&self, event: EventKey, etype: &str) -> String {
        event.mid(&self.name, etype).to_string()
    }

    /// Each detection came under one and the same `mid`, its own.
    pub(super) fn heard_each_under_its_mid(&self, expected: &BTreeMap<String, String>) {
        let heard = self.heard.lock().expect("not poisoned");
        for (number, mids) in &heard.detections {
            let expected = expected
                .get(number)
                .unwrap_or_else(|| panic!("{number} was never accepted"));
            assert!(
                mids.iter().eq([expected]),
                "{} heard {number} as {mids:?}",
                self.name
            );
        }
        assert_eq!(heard.detections.len(), expected.len(), "{} heard all", self.name);
    }
}
