//! What a client asks before anything else: the version it speaks to, and what that has of storage and groups.

use super::auth::Viewer;
use super::error::DialectError;
use actix_web::web;
use serde_json::{Value, json};

/// A version of Carbon Black EDR whose API this is a part of. The client refuses to work below 5.0, asks for
/// partitions from 6.0 on, and sends no more than six fields of a sensor from 7.1 on.
const VERSION: &str = "7.5.0";
/// All sensors are in one group.
pub(super) const GROUP_ID: u32 = 1;

pub(super) async fn show(_: Viewer) -> web::Json<Value> {
    web::Json(json!({ "version": VERSION, "cblrEnabled": true }))
}

/// There is no event storage; the client's constructor does not take 404 for an answer.
pub(super) async fn partitions(_: Viewer) -> web::Json<Value> {
    web::Json(json!({}))
}

fn the_group() -> Value {
    json!({
        "id": GROUP_ID,
        "name": "Default Group",
        "site_id": 1,
        "sensorbackend_server": "",
        "sensor_exe_name": "",
        "team_access": [],
    })
}

pub(super) async fn groups(_: Viewer) -> web::Json<Value> {
    web::Json(json!([the_group()]))
}

/// A list of one, as the client expects it.
pub(super) async fn group(_: Viewer, group: web::Path<String>) -> Result<web::Json<Value>, DialectError> {
    match group.parse() {
        Ok(GROUP_ID) => Ok(web::Json(json!([the_group()]))),
        _ => Err(DialectError::not_found(format!("Group {group} not found"))),
    }
}
