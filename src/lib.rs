//! Tripline's edges, configuration and composition.

pub mod nats;
