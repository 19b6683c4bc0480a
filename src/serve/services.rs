//! The services that are called: their tokens, the way to them, and those of the configuration.

use super::Error;
use crate::config::Config;
use crate::services::{HttpCaller, ServiceBearers, Tokens, configured};
use std::sync::Arc;
use tripline_actors::Core;
use tripline_actors::access::Access;
use tripline_actors::clock::Clock;

/// The way to services, before anything goes it.
pub(super) struct Calling {
    pub(super) caller: HttpCaller,
    tokens: Tokens,
}

impl Calling {
    /// With the services of the configuration registered. None is called yet.
    pub(super) async fn prepare(config: &Config, core: &Core, clock: &Arc<dyn Clock>) -> Result<Self, Error> {
        let tokens = Tokens::open(config.data_dir())?;
        let caller = HttpCaller::new(Arc::clone(clock));
        let services = configured(&config.general.services)?;
        caller.set_authorities(services.authorities);
        core.configure_services(services.services)
            .await
            .map_err(Error::Configured)?;
        Ok(Self { caller, tokens })
    }

    /// The tokens of the store and those of services.
    pub(super) fn admit(&self, access: Access, core: &Core) -> Access {
        let bearers = ServiceBearers::new(self.tokens.clone(), core.clone());
        access.with_bearers(Arc::new(bearers))
    }

    /// Calls go out from now on: what a service asks in return finds somebody who answers.
    pub(super) fn begin(self, core: &Core) -> HttpCaller {
        core.set_services(Arc::new(self.caller.clone()), Arc::new(self.tokens));
        self.caller
    }
}
