//! What the server said: users with their patterns, which uid is which login, and the longest silence.
//!
//! Every part of a payload that can be used is used, and what cannot is named: one bad pattern of one user does
//! not leave the others unwatched. Everything taken has a bound, whatever a server sends.

use super::notice::{Notice, Notices};
use super::saved::Saved;
use super::{Options, Seen};
use crate::platform::Look;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;
use tripline_protocol::littlebrother::{EventType, ProcessPattern, ProhibitedPattern, UserConfig};

/// Most users kept.
const USERS_MAX: usize = 10_000;
/// Most uids kept.
const UIDS_MAX: usize = 10_000;
/// Longest login, in bytes.
pub(super) const LOGIN_BYTES_MAX: usize = 256;
/// Longest text of a pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 16 * 1024;
/// Most different patterns of each kind; each may take a megabyte when compiled. Users share equal ones.
const PATTERNS_MAX: usize = 200;

const USERS_KEY: &str = "config:user_config";
const SILENCE_KEY: &str = "config:maximum_time_without_send";
const KEY_PREFIX: &str = "config:";

/// What is to be said of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is reported as long as it lives.
    Counts,
    /// It must not run.
    Prohibited,
}

#[derive(Debug)]
struct User {
    config: UserConfig,
    counts: Option<ProcessPattern>,
    prohibited: Option<ProhibitedPattern>,
}

/// What the server said last.
#[derive(Debug)]
pub(super) struct Knowledge {
    server_group: String,
    users: BTreeMap<String, User>,
    logins: BTreeMap<u32, String>,
    silence_max_s: Option<u64>,
}

impl Knowledge {
    pub(super) fn nothing(server_group: &str) -> Self {
        Self {
            server_group: server_group.to_owned(),
            users: BTreeMap::new(),
            logins: BTreeMap::new(),
            silence_max_s: None,
        }
    }

    /// As it was saved. A mapping of another group says nothing about this host.
    pub(super) fn restore(server_group: &str, saved: Saved) -> Self {
        let mut knowledge = Self::nothing(server_group);
        // What is wrong with it was said when it came.
        let mut notices = Notices::default();
        knowledge.users = compile(saved.users, &mut notices);
        if saved.server_group == server_group {
            knowledge.logins = saved.logins;
        }
        knowledge.silence_max_s = saved.silence_max_s.filter(|seconds| *seconds > 0);
        knowledge
    }

    pub(super) fn to_saved(&self) -> Saved {
        Saved {
            users: self.users.values().map(|user| user.config.clone()).collect(),
            server_group: self.server_group.clone(),
            logins: self.logins.clone(),
            silence_max_s: self.silence_max_s,
        }
    }

    /// Whether there is anybody to watch.
    pub(super) fn has_users(&self) -> bool {
        !self.users.is_empty()
    }

    pub(super) fn silence_max(&self, options: &Options) -> Duration {
        self.silence_max_s
            .map_or(options.silence_max, Duration::from_secs)
    }

    /// The login of a uid, if it is a user who is watched now.
    pub(super) fn watched(&self, uid: u32) -> Option<&str> {
        self.user(uid).map(|(login, _)| login)
    }

    /// The uids of a login, if it is a user who is watched now.
    pub(super) fn watched_uids_of(&self, username: &str) -> impl Iterator<Item = u32> {
        let active = self.users.get(username).is_some_and(|user| user.config.active);
        let logins = active.then_some(&self.logins).into_iter().flatten();
        logins
            .filter(move |(_, login)| *login == username)
            .map(|(uid, _)| *uid)
    }

    /// The watched logins with a uid that is such a one.
    pub(super) fn logins_with(&self, is: impl Fn(u32) -> bool) -> HashSet<&str> {
        let logins = self.logins.keys().filter(|uid| is(**uid));
        logins.filter_map(|uid| self.watched(*uid)).collect()
    }

    /// What a scan has to look at: the uids of users who are watched now.
    pub(super) fn looks(&self, options: &Options) -> HashMap<u32, Look> {
        let look = |uid: &u32| {
            let (_, user) = self.user(*uid)?;
            let look = match user.prohibited {
                None if !options.scan_command_line => Look::Name,
                _ => Look::CommandLine,
            };
            Some((*uid, look))
        };
        self.logins.keys().filter_map(look).collect()
    }

    fn user(&self, uid: u32) -> Option<(&str, &User)> {
        let login = self.logins.get(&uid)?;
        let user = self.users.get(login).filter(|user| user.config.active)?;
        Some((login, user))
    }

    /// What is to be said of a process, and whose it is. Prohibited is only what does not count.
    pub(super) fn verdict(&self, seen: &Seen, options: &Options) -> Option<(&str, Verdict)> {
        let (login, user) = self.user(seen.uid)?;
        let matched = if options.scan_command_line {
            &seen.command_line
        } else {
            &seen.name
        };
        if user
            .counts
            .as_ref()
            .is_some_and(|pattern| pattern.matches(matched))
        {
            return Some((login, Verdict::Counts));
        }
        let prohibited = user.prohibited.as_ref()?;
        prohibited
            .matches(&seen.command_line)
            .then_some((login, Verdict::Prohibited))
    }

    /// Takes `UPDATE_CONFIG` over; tells whether anything changed.
    pub(super) fn update_config(&mut self, payload: Option<&Value>, notices: &mut Notices) -> bool {
        let before = (self.configs(), self.silence_max_s);
        match payload.and_then(Value::as_object) {
            None => unusable_config(notices, "the payload is no object: everything stays as it was"),
            Some(map) if is_old_form(map) => self.users = compile(read_users(map, notices), notices),
            Some(map) => self.update_new_form(map, notices),
        }
        before != (self.configs(), self.silence_max_s)
    }

    fn configs(&self) -> Vec<UserConfig> {
        self.users.values().map(|user| user.config.clone()).collect()
    }

    fn update_new_form(&mut self, map: &Map<String, Value>, notices: &mut Notices) {
        match map.get(USERS_KEY).and_then(Value::as_object) {
            Some(users) => self.users = compile(read_users(users, notices), notices),
            None => unusable_config(notices, "it has no users: those known stay"),
        }
        match map.get(SILENCE_KEY).and_then(whole_seconds) {
            Some(seconds) => self.silence_max_s = Some(seconds),
            None => unusable_config(
                notices,
                "it has no usable maximum_time_without_send: the last one stays",
            ),
        }
    }

    /// Takes `UPDATE_LOGIN_MAPPING` over: what it says of this group is added. Tells whether anything changed.
    pub(super) fn update_mapping(&mut self, payload: Option<&Value>, notices: &mut Notices) -> bool {
        let Some(groups) = payload.and_then(Value::as_array) else {
            unusable_mapping(notices, "the payload is no list: everything stays as it was");
            return false;
        };
        let mut changed = false;
        for group in groups {
            match read_group(group) {
                Some((name, entries)) if name == self.server_group => {
                    changed |= self.add_logins(entries, notices);
                }
                Some(_) => {}
                None => unusable_mapping(notices, "an entry is no group with its logins"),
            }
        }
        changed
    }

    fn add_logins(&mut self, entries: &[Value], notices: &mut Notices) -> bool {
        let mut changed = false;
        for entry in entries {
            let Some((login, uid)) = read_login(entry) else {
                unusable_mapping(notices, "an entry is no login with its uid");
                continue;
            };
            if self.logins.len() >= UIDS_MAX && !self.logins.contains_key(&uid) {
                unusable_mapping(notices, "it has too many uids: the rest is left out");
                break;
            }
            changed |= self.logins.insert(uid, login.to_owned()).as_deref() != Some(login);
        }
        changed
    }

    pub(super) fn users(&self) -> usize {
        self.users.len()
    }

    pub(super) fn uids(&self) -> usize {
        self.logins.len()
    }
}

/// Before there was anything but users, the payload was the users themselves.
fn is_old_form(map: &Map<String, Value>) -> bool {
    !map.keys().any(|key| key.starts_with(KEY_PREFIX))
}

/// Zero would end everything at once and for ever: that is a mistake, not a limit.
fn whole_seconds(value: &Value) -> Option<u64> {
    let whole = value
        .as_f64()
        .filter(|seconds| (1.0..9e15).contains(seconds))
        .map(|seconds| seconds as u64);
    value.as_u64().or(whole).filter(|seconds| *seconds > 0)
}

fn read_group(value: &Value) -> Option<(&str, &[Value])> {
    match value.as_array()?.as_slice() {
        [name, entries] => Some((name.as_str()?, entries.as_array()?)),
        _ => None,
    }
}

fn read_login(value: &Value) -> Option<(&str, u32)> {
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

fn read_users(map: &Map<String, Value>, notices: &mut Notices) -> Vec<UserConfig> {
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

/// Compiles the patterns of users who are watched. One that cannot be used matches nothing, and is named.
fn compile(users: Vec<UserConfig>, notices: &mut Notices) -> BTreeMap<String, User> {
    let (mut counts, mut prohibited) = (HashMap::new(), HashMap::new());
    let mut compiled = BTreeMap::new();
    for config in users {
        let texts = if config.active { Some(&config) } else { None };
        let counting = texts.map(|user| user.process_name_pattern.as_str());
        let prohibiting = texts.and_then(|user| user.prohibited_process_name_pattern.as_deref());
        let user = User {
            counts: counting.and_then(|text| {
                let read = |text: &str| ProcessPattern::parse(text).map(Some);
                shared(&mut counts, text, read, &config.login, notices)
            }),
            prohibited: prohibiting.and_then(|text| {
                shared(
                    &mut prohibited,
                    text,
                    ProhibitedPattern::parse,
                    &config.login,
                    notices,
                )
            }),
            config,
        };
        compiled.insert(user.config.login.clone(), user);
    }
    compiled
}

fn shared<P: Clone, E: std::fmt::Display>(
    known: &mut HashMap<String, Result<Option<P>, String>>,
    text: &str,
    parse: impl Fn(&str) -> Result<Option<P>, E>,
    login: &str,
    notices: &mut Notices,
) -> Option<P> {
    if known.len() >= PATTERNS_MAX && !known.contains_key(text) {
        unusable_user(
            notices,
            login,
            "too many different patterns: this one matches nothing",
        );
        return None;
    }
    let parsed = known
        .entry(text.to_owned())
        .or_insert_with(|| parse(text).map_err(|error| error.to_string()));
    match parsed {
        Ok(pattern) => pattern.clone(),
        Err(problem) => {
            unusable_user(notices, login, &format!("the pattern matches nothing: {problem}"));
            None
        }
    }
}

fn unusable_user(notices: &mut Notices, login: &str, problem: &str) {
    let login: String = login.chars().take(64).collect();
    let problem: String = problem.chars().take(300).collect();
    unusable_config(notices, &format!("user {login:?}: {problem}"));
}

fn unusable_config(notices: &mut Notices, problem: &str) {
    notices.add(Notice::Unusable {
        event: EventType::UpdateConfig,
        problem: problem.to_owned(),
    });
}

fn unusable_mapping(notices: &mut Notices, problem: &str) {
    notices.add(Notice::Unusable {
        event: EventType::UpdateLoginMapping,
        problem: problem.to_owned(),
    });
}
