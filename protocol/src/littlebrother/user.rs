//! Users and login mappings: what of them is right, and the two events that carry them to clients.

use super::{
    EventType, InvalidPattern, LocalTime, ProcessPattern, ProhibitedPattern, TEXT_BYTES_MAX, WireEvent,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// Longest login and longest name of a server group, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// A user whose processes are watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserConfig {
    /// Login.
    pub login: String,
    /// Whether the user is watched now.
    pub active: bool,
    /// Which processes count; never empty.
    pub process_name_pattern: String,
    /// Which processes must not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prohibited_process_name_pattern: Option<String>,
}

/// What is wrong with a user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserProblem {
    /// The login is empty, too long, or has control characters.
    #[error("must be 1 to {NAME_BYTES_MAX} bytes without control characters")]
    Login,
    /// Another user has the login.
    #[error("is the login of another user")]
    Duplicate,
    /// A pattern is too long.
    #[error("is {0} bytes long, at most {TEXT_BYTES_MAX} are taken")]
    TooLong(usize),
    /// A pattern is none.
    #[error("{0}")]
    Pattern(#[from] InvalidPattern),
}

/// A user that cannot be watched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct InvalidUser {
    /// Place in the list, from 0; 0 when the user was looked at alone.
    pub index: usize,
    /// `login`, `process_name_pattern` or `prohibited_process_name_pattern`.
    pub key: &'static str,
    /// What is wrong.
    pub problem: UserProblem,
}

/// A user's patterns, ready to match.
#[derive(Debug, Clone)]
pub struct UserPatterns {
    /// Which processes count.
    pub process: ProcessPattern,
    /// Which must not run.
    pub prohibited: Option<ProhibitedPattern>,
}

impl UserConfig {
    /// The user's patterns, when everything about the user is right.
    ///
    /// # Errors
    /// A login or pattern that is empty, too long or wrong. Such a user stops a real client from scanning at all,
    /// so none may be sent.
    pub fn patterns(&self) -> Result<UserPatterns, InvalidUser> {
        let invalid = |key, problem| InvalidUser {
            index: 0,
            key,
            problem,
        };
        if !is_name(&self.login) {
            return Err(invalid("login", UserProblem::Login));
        }
        let process = parsed(&self.process_name_pattern, ProcessPattern::parse)
            .map_err(|problem| invalid("process_name_pattern", problem))?;
        let prohibited = self
            .prohibited_process_name_pattern
            .as_deref()
            .unwrap_or_default();
        let prohibited = parsed(prohibited, ProhibitedPattern::parse)
            .map_err(|problem| invalid("prohibited_process_name_pattern", problem))?;
        Ok(UserPatterns { process, prohibited })
    }
}

/// Checks a list of users; every login may occur once.
///
/// # Errors
/// The first user that is wrong, with its place in the list.
pub fn check_users(users: &[UserConfig]) -> Result<(), InvalidUser> {
    let mut logins = HashSet::new();
    for (index, user) in users.iter().enumerate() {
        user.patterns()
            .map_err(|invalid| InvalidUser { index, ..invalid })?;
        if !logins.insert(user.login.as_str()) {
            return Err(InvalidUser {
                index,
                key: "login",
                problem: UserProblem::Duplicate,
            });
        }
    }
    Ok(())
}

fn parsed<T>(text: &str, parse: impl Fn(&str) -> Result<T, InvalidPattern>) -> Result<T, UserProblem> {
    match text.len() {
        bytes if bytes > TEXT_BYTES_MAX => Err(UserProblem::TooLong(bytes)),
        _ => Ok(parse(text)?),
    }
}

fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// The logins of the uids of a group of hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginMapping {
    /// Name of the group; a client looks only in its own.
    pub server_group: String,
    /// Login and uid.
    pub entries: Vec<(String, u32)>,
}

/// What is wrong with a login mapping.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMapping {
    /// The name of a group is empty, too long, or has control characters.
    #[error(
        "login_mappings[{0}].server_group: must be 1 to {NAME_BYTES_MAX} bytes without control characters"
    )]
    Group(usize),
    /// Two mappings are of one group.
    #[error("login_mappings[{0}].server_group: {1:?} has a mapping already")]
    DuplicateGroup(usize, String),
    /// A login is empty, too long, or has control characters.
    #[error(
        "login_mappings[{0}].entries[{1}]: the login must be 1 to {NAME_BYTES_MAX} bytes without control characters"
    )]
    Login(usize, usize),
    /// A login or a uid occurs twice in a group: a client that looks one up must find exactly one.
    #[error("login_mappings[{0}].entries[{1}]: the group has the login {2:?} or the uid {3} already")]
    Duplicate(usize, usize, String, u32),
}

/// Checks a list of mappings: each group once, and within a group each login and each uid once.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn check_mappings(mappings: &[LoginMapping]) -> Result<(), InvalidMapping> {
    let mut groups = HashSet::new();
    for (index, mapping) in mappings.iter().enumerate() {
        let group = mapping.server_group.as_str();
        if !is_name(group) {
            return Err(InvalidMapping::Group(index));
        }
        if !groups.insert(group) {
            return Err(InvalidMapping::DuplicateGroup(index, group.to_owned()));
        }
        check_entries(index, &mapping.entries)?;
    }
    Ok(())
}

fn check_entries(index: usize, entries: &[(String, u32)]) -> Result<(), InvalidMapping> {
    let (mut logins, mut uids) = (HashSet::new(), HashSet::new());
    for (entry, (login, uid)) in entries.iter().enumerate() {
        if !is_name(login) {
            return Err(InvalidMapping::Login(index, entry));
        }
        let is_new = logins.insert(login.as_str()) & uids.insert(*uid);
        if !is_new {
            return Err(InvalidMapping::Duplicate(index, entry, login.clone(), *uid));
        }
    }
    Ok(())
}

/// `UPDATE_CONFIG`: replaces all users a client knows. `maximum_silence_s` is the longest time in seconds that a
/// client may be without a server before it ends the watched processes; a client breaks without it.
pub fn config_event(
    hostname: &str,
    now: LocalTime,
    users: &[UserConfig],
    maximum_silence_s: u64,
) -> WireEvent {
    let user = |user: &UserConfig| {
        let config = json!({
            "active": user.active,
            "process_name_pattern": user.process_name_pattern,
            "prohibited_process_name_pattern": user.prohibited_process_name_pattern,
        });
        (user.login.clone(), config)
    };
    let users: Map<String, Value> = users.iter().map(user).collect();
    let mut event = WireEvent::new(EventType::UpdateConfig, hostname, now);
    event.payload = Some(json!({
        "config:user_config": users,
        "config:maximum_time_without_send": maximum_silence_s,
    }));
    event
}

/// `UPDATE_LOGIN_MAPPING`: adds to what a client knows.
pub fn mapping_event(hostname: &str, now: LocalTime, mappings: &[LoginMapping]) -> WireEvent {
    let mapping = |mapping: &LoginMapping| json!([mapping.server_group, mapping.entries]);
    let mut event = WireEvent::new(EventType::UpdateLoginMapping, hostname, now);
    event.payload = Some(mappings.iter().map(mapping).collect());
    event
}
