//! What everybody may see of the LittleBrother clients that report now: the topology, who is logged in, and
//! their memory, processor time and start as metrics.
//!
//! Only the Host actors write it. Deliberately not here: clients that are known and silent (the store has them).

use metrics::Gauge;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeSet, HashMap, HashSet};
use tripline_protocol::api::LittlebrotherView;
use tripline_protocol::littlebrother::ClientStats;
use tripline_protocol::{HostId, Span, Timestamp};

/// Clients whose figures become metrics; what a client calls itself is a label, and labels are never forgotten.
const LABELLED_MAX: usize = 1_000;
/// A client whose last message is older is shown as inactive, as by a real server.
const ACTIVE_WITHIN: Span = Span::from_secs(60);

/// The clients that report now, by the ids of their own records.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    views: RwLock<HashMap<HostId, LittlebrotherView>>,
    /// Configured logins with an open process, and on which clients.
    logins: RwLock<HashMap<String, BTreeSet<HostId>>>,
    labelled: Mutex<HashSet<String>>,
}

impl Clients {
    /// A client as it was at its last message.
    pub(crate) fn view(&self, client: HostId, now: Timestamp) -> Option<LittlebrotherView> {
        let mut view = self.views.read().get(&client).cloned()?;
        view.active = now.since(view.last_message_at) <= ACTIVE_WITHIN;
        Some(view)
    }

    pub(crate) fn set_view(&self, client: HostId, view: LittlebrotherView) {
        self.views.write().insert(client, view);
    }

    /// On how many clients a login has an open process.
    pub(crate) fn logged_in(&self, login: &str) -> u32 {
        let count = self.logins.read().get(login).map_or(0, BTreeSet::len);
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Logins come to or leave a client.
    pub(crate) fn log<'a>(
        &self,
        client: HostId,
        gone: impl Iterator<Item = &'a String>,
        come: impl Iterator<Item = &'a String>,
    ) {
        let mut logins = self.logins.write();
        for login in gone {
            if let Some(clients) = logins.get_mut(login) {
                clients.remove(&client);
                if clients.is_empty() {
                    logins.remove(login);
                }
            }
        }
        for login in come {
            logins.entry(login.clone()).or_default().insert(client);
        }
    }

    /// A client reports no longer, or is no longer in memory.
    pub(crate) fn forget(&self, client: HostId) {
        self.views.write().remove(&client);
        self.logins.write().retain(|_, clients| {
            clients.remove(&client);
            !clients.is_empty()
        });
    }

    pub(crate) fn clear(&self) {
        self.views.write().clear();
        self.logins.write().clear();
    }

    /// The gauges of a client, if it is among the first that have some.
    pub(crate) fn gauges(&self, hostname: &str) -> Option<Gauges> {
        let mut labelled = self.labelled.lock();
        if !labelled.contains(hostname) {
            if labelled.len() >= LABELLED_MAX {
                metrics::counter!("tripline_littlebrother_unlabelled_clients_total").increment(1);
                return None;
            }
            labelled.insert(hostname.to_owned());
        }
        Some(Gauges::new(hostname))
    }
}

/// What a client says of itself, as metrics.
#[derive(Clone)]
pub(crate) struct Gauges {
    memory: Gauge,
    cpu: Gauge,
    start: Gauge,
}

impl Gauges {
    fn new(hostname: &str) -> Self {
        let host = || hostname.to_owned();
        Self {
            memory: metrics::gauge!("tripline_littlebrother_client_resident_memory_bytes", "client" => host()),
            cpu: metrics::gauge!("tripline_littlebrother_client_cpu_seconds", "client" => host()),
            start: metrics::gauge!("tripline_littlebrother_client_start_time_seconds", "client" => host()),
        }
    }

    pub(crate) fn set(&self, stats: &ClientStats) {
        let figures = [
            (&self.memory, stats.resident_memory_bytes),
            (&self.cpu, stats.cpu_seconds_total),
            (&self.start, stats.start_time_seconds),
        ];
        for (gauge, figure) in figures {
            if let Some(figure) = figure {
                gauge.set(figure);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counted::counted;

    #[test]
    fn so_many_clients_have_figures_and_the_others_are_counted() {
        let clients = Clients::default();
        let metric = "tripline_littlebrother_unlabelled_clients_total";
        let (labelled, left_out) = counted(metric, || {
            (0..LABELLED_MAX)
                .filter(|n| clients.gauges(&n.to_string()).is_some())
                .count()
        });
        assert_eq!((labelled, left_out), (LABELLED_MAX, 0));
        let (next, left_out) = counted(metric, || clients.gauges("one more"));
        assert!(next.is_none());
        assert_eq!(left_out, 1);
        assert!(clients.gauges("0").is_some(), "one that has some keeps them");
    }
}
