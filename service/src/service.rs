//! What a service handles.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::collections::BTreeMap;
use tripline_protocol::limacharlie::{Answer, Call, Mtd, Parameter, Period, ServiceEtype, TickScope};

/// How one call is handled.
pub type Handling<'s> = Box<dyn FnOnce(Call) -> BoxFuture<'s, Answer> + Send + 's>;

/// How calls of an etype are handled; `None`: they are not, and are not asked for.
pub type On<'s> = Option<Handling<'s>>;

/// Handles calls with an async closure, or an async function.
pub fn on<'s, F, H>(handle: H) -> On<'s>
where
    H: FnOnce(Call) -> F + Send + 's,
    F: Future<Output = Answer> + Send + 's,
{
    Some(Box::new(move |call| handle(call).boxed()))
}

/// A service. Each method says how one kind of call is handled; what is left out is answered with `not implemented`, and is not
/// among the `callbacks` that `health` names, so that a cloud does not send it.
///
/// The answer is final unless it is [`Answer::again`], which asks for the same message once more, with the same `mid`.
pub trait Service: Send + Sync + 'static {
    /// Names (`cat`) of the detections it wants to hear.
    fn detect_subscriptions(&self) -> Vec<String> {
        Vec::new()
    }

    /// What [`Self::on_request`] takes. Requests are held to it before they are handled.
    fn request_params(&self) -> BTreeMap<String, Parameter> {
        BTreeMap::new()
    }

    /// What [`Self::on_command`] offers, by name: `{name, desc, args}`.
    fn commands(&self) -> BTreeMap<String, Value> {
        BTreeMap::new()
    }

    /// An org subscribed.
    fn on_org_install(&self) -> On<'_> {
        None
    }

    /// An org ended its subscription.
    fn on_org_uninstall(&self) -> On<'_> {
        None
    }

    /// One of [`Self::detect_subscriptions`] was detected.
    fn on_detection(&self) -> On<'_> {
        None
    }

    /// Somebody asks for something.
    fn on_request(&self) -> On<'_> {
        None
    }

    /// Somebody asks in a chat room.
    fn on_command(&self) -> On<'_> {
        None
    }

    /// The content of something is asked for by name.
    fn on_get_resource(&self) -> On<'_> {
        None
    }

    /// A sensor came, went, or is too many.
    fn on_deployment_event(&self) -> On<'_> {
        None
    }

    /// Something about a collected file or log.
    fn on_log_event(&self) -> On<'_> {
        None
    }

    /// A sensor came.
    fn on_new_sensor(&self) -> On<'_> {
        None
    }

    /// The cloud had a problem with this service.
    fn on_service_error(&self) -> On<'_> {
        None
    }

    /// The clock. Asked for each scope and period.
    fn on_tick(&self, scope: TickScope, period: Period) -> On<'_> {
        let _ = (scope, period);
        None
    }
}

/// How `service` handles calls of `etype`. `health` is the runtime's.
pub(crate) fn handling(service: &dyn Service, etype: ServiceEtype) -> On<'_> {
    match etype {
        ServiceEtype::Health => None,
        ServiceEtype::OrgInstall => service.on_org_install(),
        ServiceEtype::OrgUninstall => service.on_org_uninstall(),
        ServiceEtype::Detection => service.on_detection(),
        ServiceEtype::Request => service.on_request(),
        ServiceEtype::Command => service.on_command(),
        ServiceEtype::GetResource => service.on_get_resource(),
        ServiceEtype::DeploymentEvent => service.on_deployment_event(),
        ServiceEtype::LogEvent => service.on_log_event(),
        ServiceEtype::NewSensor => service.on_new_sensor(),
        ServiceEtype::ServiceError => service.on_service_error(),
        ServiceEtype::Tick(scope, period) => service.on_tick(scope, period),
    }
}

/// What `health` tells of it.
pub(crate) fn describe(service: &dyn Service) -> Mtd {
    let is_handled =
        |etype: &ServiceEtype| *etype == ServiceEtype::Health || handling(service, *etype).is_some();
    let mut detect_subscriptions = service.detect_subscriptions();
    detect_subscriptions.sort();
    detect_subscriptions.dedup();
    Mtd {
        detect_subscriptions,
        callbacks: ServiceEtype::all()
            .filter(is_handled)
            .map(|etype| etype.to_string())
            .collect(),
        request_params: service.request_params(),
        commands: service.commands(),
    }
}
