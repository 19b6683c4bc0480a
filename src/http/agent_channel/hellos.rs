//! Connections that showed their key and have not said hello: one of each host. When its agent comes again, the one
//! before has nothing more to say.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Notify;
use tripline_protocol::HostId;

/// All hosts. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Hellos(Arc<Mutex<HashMap<HostId, Arc<Notify>>>>);

/// A connection that waits for its hello; no more when it is dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    hellos: Hellos,
    host_id: HostId,
    replaced: Arc<Notify>,
}

impl Hellos {
    /// A connection of this host's agent waits for its hello, and no other one any more.
    pub(super) fn wait(&self, host_id: HostId) -> Waiting {
        let replaced = Arc::new(Notify::new());
        let before = self.0.lock().insert(host_id, Arc::clone(&replaced));
        if let Some(before) = before {
            before.notify_one();
        }
        Waiting {
            hellos: self.clone(),
            host_id,
            replaced,
        }
    }
}

impl Waiting {
    /// Returns when another connection of the same agent waits.
    pub(super) async fn replaced(&self) {
        self.replaced.notified().await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut hosts = self.hellos.0.lock();
        if hosts
            .get(&self.host_id)
            .is_some_and(|waits| Arc::ptr_eq(waits, &self.replaced))
        {
            hosts.remove(&self.host_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[tokio::test]
    async fn of_each_host_the_last_one_waits_and_nobody_is_remembered_for_ever() {
        let hellos = Hellos::default();
        let host = |number| HostId(Uuid::from_u128(number));
        let (first, other) = (hellos.wait(host(1)), hellos.wait(host(2)));
        let second = hellos.wait(host(1));
        first.replaced().await;
        drop(first);
        assert_eq!(hellos.0.lock().len(), 2, "the second one still waits");
        drop((second, other));
        assert!(hellos.0.lock().is_empty());
    }
}
