//! Our role as a service: each call is asked of the actors, and what they refuse is told in the words of the protocol.
//!
//! What it says of itself follows from the rules in force: it asks for the detections that pipelines wait for, for the ticks and
//! events of logs that they listen to, and offers the named jobs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use tripline_actors::audit::By;
use tripline_actors::limacharlie::{Offer, Offered};
use tripline_actors::{Core, RESOURCE_BYTES_MAX, Refusal};
use tripline_protocol::Org;
use tripline_protocol::audit::{Dialect, Place};
use tripline_protocol::limacharlie::{
    Answer, Call, GetResource, Parameter, Period, Resource, ResourceAnswer, ResourceNames, ServiceEtype,
    TickScope, org_of_oid,
};
use tripline_service::{On, Service, on};

/// Names in one `get_resource`.
const RESOURCES_MAX: usize = 32;

/// Tripline as a service.
pub struct Role {
    core: Core,
    detections: Vec<String>,
}

impl Role {
    /// With `limacharlie.detections`.
    pub fn new(core: &Core, detections: Vec<String>) -> Self {
        let place = Place {
            dialect: Dialect::Limacharlie,
            address: None,
            request: None,
        };
        Self {
            core: core.on_behalf(By::limacharlie(Some(place))),
            detections,
        }
    }

    /// The actors, asked on behalf of LimaCharlie.
    pub fn core(&self) -> &Core {
        &self.core
    }

    async fn take(&self, etype: ServiceEtype, call: Call) -> Answer {
        self.core
            .limacharlie_call(etype, call)
            .await
            .unwrap_or_else(|refusal| answer_to(&refusal))
    }

    /// Handles calls of `etype`, if `wanted`.
    fn taking(&self, etype: ServiceEtype, wanted: bool) -> On<'_> {
        match wanted {
            true => on(move |call| self.take(etype, call)),
            false => None,
        }
    }

    fn listens_to(&self, etype: ServiceEtype) -> bool {
        Offer(&self.core.rules()).listens_to(etype)
    }

    fn has_jobs(&self) -> bool {
        Offer(&self.core.rules()).has_jobs()
    }

    async fn resource(&self, call: Call) -> Answer {
        let Some(oid) = call.oid else {
            return Answer::refused("oid: is missing");
        };
        let Some(org) = org_of_oid(&oid) else {
            return Answer::refused("oid: must be a UUID");
        };
        // An array would be read as the fields in their order, but who asks for contents is told by the name of that field.
        if !matches!(call.data, Value::Object(_) | Value::Null) {
            return Answer::refused("data: must be an object");
        }
        let Ok(asked) = serde_json::from_value::<GetResource>(call.data) else {
            return Answer::refused("data: must name a resource, or several");
        };
        let room = asked.is_include_data.then_some(RESOURCE_BYTES_MAX);
        let found = match asked.resource {
            ResourceNames::One(name) => self
                .offered(&org, &name, room)
                .await
                .map(|(found, _)| ResourceAnswer::One(found)),
            ResourceNames::Many(names) if names.len() > RESOURCES_MAX => {
                return Answer::refused(format!(
                    "at most {RESOURCES_MAX} resources can be asked for at once"
                ));
            }
            ResourceNames::Many(names) => self.all_offered(&org, names, room).await,
        };
        match found {
            Ok(found) => Answer::done_with(json!(found)),
            Err(Refusal::NotFound { .. }) => Answer::refused("resource not available"),
            Err(refusal) => answer_to(&refusal),
        }
    }

    /// With contents as long as there is room for all of them.
    async fn all_offered(
        &self,
        org: &Org,
        names: Vec<String>,
        mut room: Option<u64>,
    ) -> Result<ResourceAnswer, Refusal> {
        let mut resources = BTreeMap::new();
        for name in names {
            if let Entry::Vacant(entry) = resources.entry(name) {
                let (found, left) = self.offered(org, entry.key(), room).await?;
                room = left;
                entry.insert(found);
            }
        }
        Ok(ResourceAnswer::Many { resources })
    }

    /// One resource, and the room that is left.
    async fn offered(
        &self,
        org: &Org,
        name: &str,
        room: Option<u64>,
    ) -> Result<(Resource, Option<u64>), Refusal> {
        let found = self.core.limacharlie_resource(org.clone(), name, room).await?;
        let Offered {
            category,
            sha256,
            content,
        } = found;
        let bytes = content.as_ref().map_or(0, Vec::len) as u64;
        let resource = Resource {
            hash: sha256,
            res_cat: category.to_owned(),
            res_data: content.map(|content| STANDARD.encode(content)),
        };
        Ok((resource, room.map(|room| room.saturating_sub(bytes))))
    }
}

/// What is refused for now comes again; anything else would fare no better.
fn answer_to(refusal: &Refusal) -> Answer {
    match refusal {
        Refusal::Busy { .. } | Refusal::Unavailable { .. } => Answer::again(refusal.to_string()),
        _ => Answer::refused(refusal.to_string()),
    }
}

impl Service for Role {
    fn detect_subscriptions(&self) -> Vec<String> {
        let rules = self.core.rules();
        let of_rules = Offer(&rules).detections();
        of_rules
            .into_iter()
            .chain(self.detections.iter().cloned())
            .collect()
    }

    fn request_params(&self) -> BTreeMap<String, Parameter> {
        Offer(&self.core.rules()).request_params()
    }

    fn commands(&self) -> BTreeMap<String, Value> {
        Offer(&self.core.rules()).commands()
    }

    fn on_org_install(&self) -> On<'_> {
        self.taking(ServiceEtype::OrgInstall, true)
    }

    fn on_org_uninstall(&self) -> On<'_> {
        self.taking(ServiceEtype::OrgUninstall, true)
    }

    fn on_detection(&self) -> On<'_> {
        let wanted = self.listens_to(ServiceEtype::Detection) || !self.detections.is_empty();
        self.taking(ServiceEtype::Detection, wanted)
    }

    fn on_request(&self) -> On<'_> {
        self.taking(ServiceEtype::Request, self.has_jobs())
    }

    fn on_command(&self) -> On<'_> {
        self.taking(ServiceEtype::Command, self.has_jobs())
    }

    fn on_get_resource(&self) -> On<'_> {
        on(move |call| self.resource(call))
    }

    /// A sensor that comes is told so, too.
    fn on_deployment_event(&self) -> On<'_> {
        self.taking(ServiceEtype::DeploymentEvent, true)
    }

    fn on_log_event(&self) -> On<'_> {
        self.taking(ServiceEtype::LogEvent, self.listens_to(ServiceEtype::LogEvent))
    }

    fn on_new_sensor(&self) -> On<'_> {
        self.taking(ServiceEtype::NewSensor, true)
    }

    fn on_service_error(&self) -> On<'_> {
        on(async move |call: Call| {
            metrics::counter!("tripline_limacharlie_service_errors_total").increment(1);
            tracing::warn!(
                oid = call.oid,
                "LimaCharlie says that it had a problem with this service"
            );
            self.take(ServiceEtype::ServiceError, call).await
        })
    }

    fn on_tick(&self, scope: TickScope, period: Period) -> On<'_> {
        let etype = ServiceEtype::Tick(scope, period);
        self.taking(etype, self.listens_to(etype))
    }
}
