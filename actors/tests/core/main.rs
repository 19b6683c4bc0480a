//! The actors as edges see them, with a real store, a recording publisher and agents played by the test.

mod fixture;
mod jobs;
