//! How one part of the server shows itself to another that knows nothing of it.

use crate::http::BrokerStatus;
use crate::nats::NatsStatus;

/// The connection to the broker, for `/readyz`.
pub(super) struct Broker(pub(super) NatsStatus);

impl BrokerStatus for Broker {
    fn connected(&self) -> bool {
        self.0.connected()
    }

    fn detail(&self) -> String {
        self.0.detail()
    }
}
