//! How one part of the server shows itself to another that knows nothing of it.

use crate::http::BrokerStatus;
use crate::nats::NatsStatus;
use crate::nats::api::{Caller, Gate};
use tripline_actors::Refusal;
use tripline_actors::access::Access;

/// The tokens, for the micro service.
pub(super) struct Tokens(pub(super) Access);

impl Gate for Tokens {
    async fn admit(&self, token: &str) -> Result<Option<Caller>, Refusal> {
        let principal = self.0.authenticate(token);
        Ok(principal.map(|principal| Caller {
            role: principal.role,
            org: principal.org,
        }))
    }
}

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
