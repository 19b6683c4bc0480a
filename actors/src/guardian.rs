//! Supervision: what happens when an actor panics.
//!
//! The actors' memory runs ahead of the store and their states lean on each other, so one that panicked is
//! not replaced alone: the whole generation ends and a new one is loaded from the store, exactly as after a
//! crash of the process, which is the path that is tested most. Hosts are the exception: one host's agent may
//! provoke a panic in its Host actor, and only that one is made anew (by the Directory).

use actix::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// Lives inside an actor and reports its end, unless the end was wanted.
pub(crate) struct Sentinel {
    armed: AtomicBool,
    alarm: Box<dyn Fn() + Send + Sync>,
}

impl Sentinel {
    pub(crate) fn new(alarm: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            armed: AtomicBool::new(true),
            alarm: Box::new(alarm),
        }
    }

    /// The actor stops because it was told to.
    pub(crate) fn disarm(&self) {
        self.armed.store(false, Ordering::Relaxed);
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        if self.armed.load(Ordering::Relaxed) {
            (self.alarm)();
        }
    }
}

/// Stop, because the whole generation does.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub(crate) struct Retire;

/// Lets an actor with a field `sentinel` be retired.
macro_rules! retires {
    ($actor:ty) => {
        impl actix::Handler<crate::guardian::Retire> for $actor {
            type Result = ();
            fn handle(&mut self, _: crate::guardian::Retire, ctx: &mut Self::Context) {
                self.sentinel.disarm();
                actix::ActorContext::stop(ctx);
            }
        }
    };
}
pub(crate) use retires;
