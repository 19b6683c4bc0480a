//! The actors as edges see them, with a real store, a recording publisher and agents played by the test.

#[cfg(test)]
mod events;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod hosts;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod many;
#[cfg(test)]
mod outbox;
#[cfg(test)]
mod panics;
#[cfg(test)]
mod recorder;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod waiting;
