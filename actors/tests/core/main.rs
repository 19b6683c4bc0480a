//! The actors as edges see them, with a real store, a recording publisher and agents played by the test.

#[cfg(test)]
mod audit;
#[cfg(test)]
mod changes;
#[cfg(test)]
mod client;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod decisions;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod events;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod explained;
#[cfg(test)]
mod fanouts;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod forget;
#[cfg(test)]
mod gates;
#[cfg(test)]
mod guards;
#[cfg(test)]
mod held;
#[cfg(test)]
mod hosts;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod labels;
#[cfg(test)]
mod lets;
#[cfg(test)]
mod limacharlie;
#[cfg(test)]
mod limacharlie_bounds;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod link;
#[cfg(test)]
mod many;
#[cfg(test)]
mod offline;
#[cfg(test)]
mod once;
#[cfg(test)]
mod outbox;
#[cfg(test)]
mod panics;
#[cfg(test)]
mod pause;
#[cfg(test)]
mod recorder;
#[cfg(test)]
mod recover;
#[cfg(test)]
mod removal;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod resting;
#[cfg(test)]
mod services;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod silence;
#[cfg(test)]
mod suppress;
#[cfg(test)]
mod ticks;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod waiting;
#[cfg(test)]
mod watcher;
