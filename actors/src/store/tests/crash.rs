//! Killed under load.
