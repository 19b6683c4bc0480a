//! The Timekeeper beside a model that counts by brute force, and its actor with a clock that is turned by hand.

mod actor;
mod model;
