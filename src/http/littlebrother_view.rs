//! `/v1/littlebrother`: users and times in force, for administrators and the command line.

use super::HttpState;
use super::auth::Viewer;
use super::problem::ApiError;
use actix_web::web;
use tripline_actors::littlebrother::{Settings, UserStatus};
use tripline_protocol::api::{GroupUid, LittlebrotherSettings, LittlebrotherUser};
use tripline_protocol::littlebrother::UserConfig;

/// `GET /v1/littlebrother`.
pub(super) async fn show(
    caller: Viewer,
    state: web::Data<HttpState>,
) -> Result<web::Json<LittlebrotherSettings>, ApiError> {
    caller.org_for(Some(state.littlebrother.org()))?;
    let settings = state.core.littlebrother();
    let mut view = view(&state, settings.as_deref());
    for user in view.users.iter_mut().filter(|user| user.config.active) {
        let status = state.core.littlebrother_user(user.config.login.clone()).await?;
        let UserStatus { logged_in, hosts } = status.unwrap_or(UserStatus {
            logged_in: false,
            hosts: 0,
        });
        (user.logged_in, user.hosts) = (logged_in, hosts);
    }
    Ok(web::Json(view))
}

fn view(state: &HttpState, settings: Option<&Settings>) -> LittlebrotherSettings {
    let users = settings.map(|settings| {
        let users = settings.users.iter();
        users.map(|user| unseen(user, settings)).collect()
    });
    LittlebrotherSettings {
        served: state.littlebrother.is_on(),
        org: state.littlebrother.org().clone(),
        time_zone: settings.and_then(|settings| settings.zone.0.iana_name().map(str::to_owned)),
        check_interval: settings.map(|settings| settings.check_interval),
        maximum_time_without_send: settings.map(|settings| settings.maximum_time_without_send),
        kill_process_delay: settings.map(|settings| settings.kill_process_delay),
        kill_prohibited: settings.is_some_and(|settings| settings.kill_prohibited),
        users: users.unwrap_or_default(),
        refused: state.littlebrother.refused(),
    }
}

/// A user of whom no process was seen.
fn unseen(user: &UserConfig, settings: &Settings) -> LittlebrotherUser {
    LittlebrotherUser {
        config: user.clone(),
        uids: GroupUid::of(&user.login, &settings.mappings),
        logged_in: false,
        hosts: 0,
    }
}
