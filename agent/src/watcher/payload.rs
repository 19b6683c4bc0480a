//! Reading the payloads of `UPDATE_CONFIG` and `UPDATE_LOGIN_MAPPING`, part by part.

use super::notice::{Notice, Notices};
use serde_json::{Map, Value};
use tripline_protocol::littlebrother::{EventType, UserConfig};

/// Most users taken.
const USERS_MAX: usize = 10_000;
/// Longest login, in bytes.
const LOGIN_BYTES_MAX: usize = 256;
/// Longest text of a pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 16 * 1024;

pub(super) const USERS_KEY: &str = "config:user_config";
pub(super) const SILENCE_KEY: &str = "config:maximum_time_without_send";
const KEY_PREFIX: &str = "config:";

/// Before there was anything but users, the payload was the users themselves.
pub(super) fn is_old_form(map: &Map<String, Value>) -> bool {
    !map.keys().any(|key| key.starts_with(KEY_PREFIX))
}

/// Zero would end everything at once and for ever: that is a mistake, not a limit.
pub(super) fn whole_seconds(value: &Value) -> Option<u64> {
    let whole = value
        .as_f64()
        .filter(|seconds| (1.0..9e15).contains(seconds))
        .map(|seconds| seconds as u64);
    value.as_u64().or(whole).filter(|seconds| *seconds > 0)
}

pub(super) fn read_group(value: &Value) -> Option<(&str, &[Value])> {
    match value.as_array()?.as_slice() {
        [name, entries] => Some((name.as_str()?, entries.as_array()?)),
        _ => None,
    }
}

pub(super) fn read_login(value: &Value) -> Option<(&str, u32)> {
    match value.as_array()?.as_slice() {
        [login, uid] => {
            let login = login.as_str().filter(|login| is_login(login))?;
            Some((login, u32::try_from(uid.as_u64()?).ok()?))
        }
        _ => None,
    }
}

pub(super) fn is_login(text: &str) -> bool {
    (1..=LOGIN_BYTES_MAX).contains(&text.len())
}

pub(super) fn read_users(map: &Map<String, Value>, notices: &mut Notices) -> Vec<UserConfig> {
    if map.len() > USERS_MAX {
        unusable_config(notices, "it has too many users: the rest is left out");
    }
    let mut users = Vec::new();
    for (login, value) in map.iter().take(USERS_MAX) {
        match read_user(login, value) {
            Ok(user) => users.push(user),
            Err(problem) => unusable_user(notices, login, &format!("{problem}: not watched")),
        }
    }
    users
}

fn read_user(login: &str, value: &Value) -> Result<UserConfig, &'static str> {
    if !is_login(login) {
        return Err("the login is empty or too long");
    }
    let pattern = |key| match value.get(key).filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(Value::String(text)) if text.len() <= PATTERN_BYTES_MAX => Ok(Some(text.clone())),
        Some(_) => Err("a pattern is no text or too long"),
    };
    Ok(UserConfig {
        login: login.to_owned(),
        active: value
            .get("active")
            .and_then(Value::as_bool)
            .ok_or("active is missing")?,
        process_name_pattern: pattern("process_name_pattern")?.ok_or("process_name_pattern is missing")?,
        prohibited_process_name_pattern: pattern("prohibited_process_name_pattern")?,
    })
}

pub(super) fn unusable_user(notices: &mut Notices, login: &str, problem: &str) {
    let login: String = login.chars().take(64).collect();
    let problem: String = problem.chars().take(300).collect();
    unusable_config(notices, &format!("user {login:?}: {problem}"));
}

pub(super) fn unusable_config(notices: &mut Notices, problem: &str) {
    notices.add(Notice::Unusable {
        event: EventType::UpdateConfig,
        problem: problem.to_owned(),
    });
}

pub(super) fn unusable_mapping(notices: &mut Notices, problem: &str) {
    notices.add(Notice::Unusable {
        event: EventType::UpdateLoginMapping,
        problem: problem.to_owned(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_login_and_a_pattern_are_taken_up_to_their_bounds_and_longer_ones_left_out_with_a_line() {
        let long = |bytes: usize| "x".repeat(bytes);
        let user = |pattern: usize, prohibited: usize| {
            let (pattern, prohibited) = (long(pattern), long(prohibited));
            json!({"active": true, "process_name_pattern": pattern, "prohibited_process_name_pattern": prohibited})
        };
        let (at_bound, over) = (long(LOGIN_BYTES_MAX), long(LOGIN_BYTES_MAX + 1));
        let payload = json!({
            &at_bound: user(PATTERN_BYTES_MAX, PATTERN_BYTES_MAX), &over: user(1, 1),
            "game": user(PATTERN_BYTES_MAX + 1, 1), "prohibited": user(1, PATTERN_BYTES_MAX + 1),
        });
        let mut notices = Notices::default();
        let users = read_users(payload.as_object().unwrap(), &mut notices);
        let logins: Vec<&str> = users.iter().map(|user| user.login.as_str()).collect();
        assert_eq!(logins, [&at_bound]);
        let lines: Vec<String> = notices.into_list().iter().map(Notice::to_string).collect();
        let lines_with = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
        let (login, pattern) = (
            "the login is empty or too long",
            "a pattern is no text or too long",
        );
        assert_eq!(
            (lines.len(), lines_with(login), lines_with(pattern)),
            (3, 1, 2),
            "{lines:?}"
        );
        assert_eq!(read_login(&json!([at_bound, 5])), Some((at_bound.as_str(), 5)));
        assert_eq!(read_login(&json!([over, 5])), None);
    }
}
