//! Rules of `[littlebrother]`: times, addresses, and users and uids that are there once.

use super::Found;
use crate::config::Config;
use crate::littlebrother::users;
use std::collections::HashMap;
use tripline_protocol::Span;
use tripline_protocol::littlebrother::{
    DEFAULT_GROUP, InvalidMapping, InvalidUser, LoginMapping, check_mappings,
};

/// Adds what is wrong.
pub(super) fn check(config: &Config, found: &mut Found) {
    addresses(config, found);
    times(config, found);
    names(config, found);
    logins(config, found);
    groups(config, found);
    uids(config, found);
}

fn addresses(config: &Config, found: &mut Found) {
    let Some(listen) = config.littlebrother.listen else {
        return;
    };
    let key = "littlebrother.listen";
    if config.littlebrother.secret.is_none() {
        found.push((key.into(), "needs littlebrother.secret as well".to_owned()));
    }
    for (other, address) in [
        ("http.listen", config.http.listen),
        ("http.tls_listen", config.http.tls_listen),
    ] {
        if listen == address && listen.port() != 0 {
            found.push((key.into(), format!("must differ from {other}")));
        }
    }
}

fn times(config: &Config, found: &mut Found) {
    let littlebrother = &config.littlebrother;
    let mut wrong = |key: &'static str, text: &str| found.push((key.into(), text.to_owned()));
    let second = Span::from_secs(1);
    if littlebrother.check_interval < second {
        wrong("littlebrother.check_interval", "must be at least 1s");
    }
    if littlebrother.maximum_time_without_send <= littlebrother.check_interval {
        let text = "must be longer than littlebrother.check_interval: clients would end what they watch \
                    between two messages";
        wrong("littlebrother.maximum_time_without_send", text);
    }
    for (key, span) in [
        ("littlebrother.check_interval", littlebrother.check_interval),
        (
            "littlebrother.maximum_time_without_send",
            littlebrother.maximum_time_without_send,
        ),
        (
            "littlebrother.kill_process_delay",
            littlebrother.kill_process_delay,
        ),
    ] {
        if span.as_millis() % second.as_millis() != 0 {
            wrong(key, "must be whole seconds: clients know nothing shorter");
        }
    }
}

/// Lengths and characters, which the types of the keys do not look at.
fn names(config: &Config, found: &mut Found) {
    for (index, user) in users(&config.littlebrother).iter().enumerate() {
        if let Err(InvalidUser { key, problem, .. }) = user.patterns() {
            found.push((
                format!("littlebrother.users[{index}].{key}").into(),
                problem.to_string(),
            ));
        }
    }
    for (index, mapping) in config.littlebrother.login_mappings.iter().enumerate() {
        let mapping = LoginMapping {
            server_group: mapping.server_group.clone(),
            entries: mapping.entries.0.clone(),
        };
        // Duplicates are named below, with the place of the first.
        let wrong = check_mappings(std::slice::from_ref(&mapping)).err();
        let place = match wrong {
            Some(InvalidMapping::Group(_)) => "server_group".to_owned(),
            Some(InvalidMapping::Login(_, entry)) => format!("entries[{entry}]"),
            _ => continue,
        };
        let text = "must be 1 to 255 bytes without control characters".to_owned();
        found.push((
            format!("littlebrother.login_mappings[{index}].{place}").into(),
            text,
        ));
    }
}

fn logins(config: &Config, found: &mut Found) {
    let mut seen = HashMap::new();
    for (index, user) in config.littlebrother.users.iter().enumerate() {
        if let Some(first) = seen.insert(&user.login, index) {
            let text = format!("{:?} is littlebrother.users[{first}] already", user.login);
            found.push((format!("littlebrother.users[{index}].login").into(), text));
        }
    }
}

fn groups(config: &Config, found: &mut Found) {
    let mut seen = HashMap::new();
    for (index, mapping) in config.littlebrother.login_mappings.iter().enumerate() {
        if let Some(first) = seen.insert(&mapping.server_group, index) {
            let text = format!(
                "{:?} is littlebrother.login_mappings[{first}] already; put all entries there",
                mapping.server_group
            );
            let key = format!("littlebrother.login_mappings[{index}].server_group");
            found.push((key.into(), text));
        }
    }
}

/// An entry of a mapping, long or short, and where it was written.
struct Entry<'a> {
    key: String,
    group: &'a str,
    login: &'a str,
    uid: u32,
}

fn entries(config: &Config) -> Vec<Entry<'_>> {
    let littlebrother = &config.littlebrother;
    let mappings = littlebrother.login_mappings.iter().enumerate();
    let long = mappings.flat_map(|(index, mapping)| {
        let entries = mapping.entries.0.iter().enumerate();
        entries.map(move |(entry, (login, uid))| Entry {
            key: format!("littlebrother.login_mappings[{index}].entries[{entry}]"),
            group: &mapping.server_group,
            login,
            uid: *uid,
        })
    });
    let users = littlebrother.users.iter().enumerate();
    let short = users.filter_map(|(index, user)| {
        Some(Entry {
            key: format!("littlebrother.users[{index}].uid"),
            group: DEFAULT_GROUP,
            login: &user.login,
            uid: user.uid?,
        })
    });
    long.chain(short).collect()
}

/// Clients look for exactly one entry of a uid and of a login in their group.
fn uids(config: &Config, found: &mut Found) {
    let entries = entries(config);
    let (mut by_uid, mut by_login) = (HashMap::new(), HashMap::new());
    for entry in &entries {
        let group = entry.group;
        if let Some(first) = by_uid.insert((group, entry.uid), &entry.key) {
            let text = format!("uid {} is in the group {group:?} already, as {first}", entry.uid);
            found.push((entry.key.clone().into(), text));
        } else if let Some(first) = by_login.insert((group, entry.login), &entry.key) {
            let text = format!(
                "{:?} has a uid in the group {group:?} already, as {first}",
                entry.login
            );
            found.push((entry.key.clone().into(), text));
        }
    }
}

/// Adds what is legal and probably not meant.
pub(super) fn warn(config: &Config, found: &mut Found) {
    let littlebrother = &config.littlebrother;
    if littlebrother.secret.is_some() && littlebrother.users.is_empty() {
        let text = "there are no [[littlebrother.users]]: clients watch nobody".to_owned();
        found.push(("littlebrother.secret".into(), text));
    }
    let entries = entries(config);
    for (index, user) in littlebrother.users.iter().enumerate() {
        let known = entries.iter().any(|entry| entry.login == user.login);
        if user.active && !known {
            let text = format!(
                "{:?} has no uid, here or in a mapping: clients find no process of this user",
                user.login
            );
            found.push((format!("littlebrother.users[{index}].login").into(), text));
        }
    }
    several_groups(&entries, found);
}

/// little-brother 0.5.8 looks for a uid, and for a login, in all groups at once.
fn several_groups(entries: &[Entry<'_>], found: &mut Found) {
    let mut by_uid: HashMap<u32, &Entry<'_>> = HashMap::new();
    let mut by_login: HashMap<&str, &Entry<'_>> = HashMap::new();
    for entry in entries {
        let first = by_uid
            .insert(entry.uid, entry)
            .filter(|first| first.login != entry.login);
        if let Some(first) = first {
            let text = format!(
                "uid {} is {:?} here and {:?} in {}: little-brother 0.5.8 clients mix them up",
                entry.uid, entry.login, first.login, first.key
            );
            found.push((entry.key.clone().into(), text));
        }
        let first = by_login
            .insert(entry.login, entry)
            .filter(|first| first.uid != entry.uid);
        if let Some(first) = first {
            let text = format!(
                "{:?} has uid {} here and {} in {}: little-brother 0.5.8 clients end no process of such a user",
                entry.login, entry.uid, first.uid, first.key
            );
            found.push((entry.key.clone().into(), text));
        }
    }
}
