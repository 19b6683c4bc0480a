//! The LittleBrother dialect: what little-brother 0.5.8 clients and its desktop app ask of their server.
//!
//! A client joins paths to its configured URL as texts, so a URL with a final slash asks for `//api/events`; both
//! forms are served, and nothing here ever redirects, which would turn a POST into a GET. Deliberately not here:
//! what a message means (the actors), and the web pages and rules of the real server.

mod answer;
mod error;
mod events;
mod listener;
mod status;
#[cfg(test)]
mod tests;

pub(super) use listener::{CONNECTIONS_MAX, Listener};

use crate::limits::Limits;
use crate::littlebrother::Dialect;
use actix_web::{HttpResponse, Resource, web};
use error::Error;
use std::sync::Arc;
use tripline_actors::audit::Denied;
use tripline_actors::clock::Clock;
use tripline_actors::littlebrother::{Answer, Settings, UserStatus};
use tripline_actors::{Core, Refusal};
use tripline_protocol::littlebrother::ClientMessage;

/// Who knows the clients: the actors.
pub(super) trait Clients: Clone + 'static {
    /// The settings in force.
    fn settings(&self) -> Option<Arc<Settings>>;
    /// Takes a message whose secret was right.
    fn message(&self, message: ClientMessage) -> impl Future<Output = Result<Answer, Refusal>>;
    /// Somebody's secret was wrong.
    fn denied(&self, denied: Denied);
    /// A configured, active user.
    fn user(&self, login: String) -> impl Future<Output = Result<Option<UserStatus>, Refusal>>;
}

impl Clients for Core {
    fn settings(&self) -> Option<Arc<Settings>> {
        self.littlebrother()
    }

    fn message(&self, message: ClientMessage) -> impl Future<Output = Result<Answer, Refusal>> {
        self.littlebrother_message(message)
    }

    fn denied(&self, denied: Denied) {
        self.note_denied(denied);
    }

    fn user(&self, login: String) -> impl Future<Output = Result<Option<UserStatus>, Refusal>> {
        self.littlebrother_user(login)
    }
}

/// What the handlers ask.
#[derive(Clone)]
pub(super) struct Served<C> {
    pub(super) clients: C,
    pub(super) dialect: Arc<Dialect>,
    pub(super) limits: Limits,
    pub(super) clock: Arc<dyn Clock>,
}

impl<C: Clients> Served<C> {
    fn settings(&self) -> Result<Arc<Settings>, Error> {
        const OFF: Refusal = Refusal::Unavailable {
            detail: "its settings are not in force",
        };
        self.clients.settings().ok_or(OFF.into())
    }
}

/// Adds the routes of a dialect that is on; they find [`Served`] in the application's data.
pub(super) fn configure<C: Clients>(config: &mut web::ServiceConfig) {
    config
        .service(resource(["/health", "//health"], "GET").route(web::get().to(health)))
        .service(resource(["/api/events", "//api/events"], "POST").route(web::post().to(events::take::<C>)))
        .service(resource(["/api/status", "//api/status"], "GET").route(web::get().to(status::show::<C>)))
        .service(
            resource(
                ["/api/request-time-extension", "//api/request-time-extension"],
                "POST",
            )
            .route(web::post().to(status::extend::<C>)),
        );
}

/// Paths that take `allow`.
fn resource(paths: [&'static str; 2], allow: &'static str) -> Resource {
    let refuse = move || async move { Err::<HttpResponse, _>(Error::Method { allow }) };
    web::resource(paths).default_service(web::to(refuse))
}

/// `GET /health`, with the content type of the real server.
async fn health() -> HttpResponse {
    HttpResponse::Ok().content_type("application/txt").body("ok")
}
