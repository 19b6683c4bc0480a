//! What the desktop app asks: a user's status, and more time.
//!
//! There are no activity rules yet, so activity is always allowed, nothing limits it and no time can be granted.
//! The app hides its buttons for more time when `optional_time_available` is null. Neither path needs the secret,
//! as with the real server; a time extension has a code of the user's there, which only rules would give.

use super::error::Error;
use super::{Clients, Served};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use tripline_actors::littlebrother::UserStatus;
use tripline_protocol::Span;

/// How many messages a client may miss before it warns its user, by the defaults of the real programs.
const MESSAGES_MISSED_BEFORE_WARNING: u64 = 3;

/// The object that the app reads, all keys of it.
#[derive(Debug, Serialize)]
struct Status<'a> {
    username: &'a str,
    activity_allowed: bool,
    logged_in: bool,
    locale: Option<&'static str>,
    notification: Option<&'static str>,
    minutes_left_in_session: Option<u64>,
    monitoring_active: bool,
    optional_time_available: Option<u64>,
    ruleset_check_interval: u64,
    warning_time_without_send_events: u64,
    maximum_time_without_send_events: u64,
}

/// `GET /api/status?username=NAME`.
pub(super) async fn show<C: Clients>(
    request: HttpRequest,
    served: web::Data<Served<C>>,
) -> Result<HttpResponse, Error> {
    let (username, user) = known_user(&request, &served).await?;
    let settings = served.settings()?;
    let maximum = seconds(settings.maximum_time_without_send);
    let check_interval = seconds(settings.check_interval);
    let status = Status {
        username: &username,
        activity_allowed: true,
        logged_in: user.logged_in,
        locale: None,
        notification: None,
        minutes_left_in_session: None,
        monitoring_active: true,
        optional_time_available: None,
        ruleset_check_interval: check_interval,
        warning_time_without_send_events: (MESSAGES_MISSED_BEFORE_WARNING * check_interval).min(maximum),
        maximum_time_without_send_events: maximum,
    };
    Ok(HttpResponse::Ok().json(status))
}

/// `POST /api/request-time-extension?username=NAME&secret=CODE&extension_length=MINUTES`: there is never any left.
pub(super) async fn extend<C: Clients>(
    request: HttpRequest,
    served: web::Data<Served<C>>,
) -> Result<HttpResponse, Error> {
    parameter(&request, "secret")?;
    let minutes = parameter(&request, "extension_length")?;
    known_user(&request, &served).await?;
    match minutes.trim().parse::<i64>() {
        Ok(_) => Err(Error::NoTimeLeft),
        Err(_) => Err(Error::Parameter("extension_length")),
    }
}

async fn known_user<C: Clients>(
    request: &HttpRequest,
    served: &Served<C>,
) -> Result<(String, UserStatus), Error> {
    let username = parameter(request, "username")?;
    let user = served.clients.user(username.clone()).await?;
    user.map(|user| (username, user)).ok_or(Error::NoSuchUser)
}

/// The first parameter of this name.
fn parameter(request: &HttpRequest, name: &'static str) -> Result<String, Error> {
    web::Query::<Vec<(String, String)>>::from_query(request.query_string())
        .ok()
        .and_then(|query| query.into_inner().into_iter().find(|(found, _)| found == name))
        .map(|(_, value)| value)
        .ok_or(Error::Parameter(name))
}

fn seconds(span: Span) -> u64 {
    span.as_millis() / 1000
}
