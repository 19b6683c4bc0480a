//! What the HTTP side must know of the broker: whether it is there.

/// The state of the connection to NATS, as `/readyz` tells it.
pub trait BrokerStatus: Send + Sync {
    /// Whether events come in and results go out now.
    fn connected(&self) -> bool;

    /// One sentence for people: which broker, or why there is none. No secrets.
    fn detail(&self) -> String;
}
