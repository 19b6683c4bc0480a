//! The configuration as the actors want it.

use crate::config::{Littlebrother, User};
use tripline_actors::littlebrother::Settings;
use tripline_protocol::littlebrother::{DEFAULT_GROUP, LoginMapping, UserConfig, Zone};

/// The settings; `None` when there is neither a secret, so that no client is served, nor a user whose processes
/// agents could watch.
pub fn settings(config: &Littlebrother, zone: &Zone) -> Option<Settings> {
    (config.secret.is_some() || !config.users.is_empty()).then(|| Settings {
        org: config.org.clone(),
        users: users(config),
        mappings: mappings(config),
        check_interval: config.check_interval,
        maximum_time_without_send: config.maximum_time_without_send,
        kill_process_delay: config.kill_process_delay,
        kill_prohibited: config.kill_prohibited,
        zone: zone.clone(),
    })
}

/// The zone that is configured, else the machine's.
pub fn zone(config: &Littlebrother) -> Zone {
    if let Some(name) = &config.time_zone {
        return name.zone().clone();
    }
    match jiff::tz::TimeZone::try_system() {
        Ok(zone) => Zone(zone),
        Err(error) => {
            tracing::warn!(%error, "the machine's time zone is not known, UTC is used; set littlebrother.time_zone");
            Zone::utc()
        }
    }
}

/// The users, as clients are told of them.
pub fn users(config: &Littlebrother) -> Vec<UserConfig> {
    config.users.iter().map(user).collect()
}

fn user(user: &User) -> UserConfig {
    let prohibited = user.prohibited_process_name_pattern.as_ref();
    UserConfig {
        login: user.login.clone(),
        active: user.active,
        process_name_pattern: user.process_name_pattern.0.clone(),
        prohibited_process_name_pattern: prohibited.map(|pattern| pattern.0.clone()),
    }
}

/// Those of the file, and the users' own uids in the default group.
pub fn mappings(config: &Littlebrother) -> Vec<LoginMapping> {
    let mapping = |mapping: &crate::config::Mapping| LoginMapping {
        server_group: mapping.server_group.clone(),
        entries: mapping.entries.0.clone(),
    };
    let mut mappings: Vec<LoginMapping> = config.login_mappings.iter().map(mapping).collect();
    let short = config
        .users
        .iter()
        .filter_map(|user| Some((user.login.clone(), user.uid?)));
    let short: Vec<(String, u32)> = short.collect();
    if short.is_empty() {
        return mappings;
    }
    match mappings
        .iter_mut()
        .find(|mapping| mapping.server_group == DEFAULT_GROUP)
    {
        Some(default) => default.entries.extend(short),
        None => mappings.push(LoginMapping {
            server_group: DEFAULT_GROUP.to_owned(),
            entries: short,
        }),
    }
    mappings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn config(text: &str) -> Littlebrother {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tripline.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path), []).unwrap().littlebrother
    }

    const USER: &str =
        "[[littlebrother.users]]\nlogin = \"amelie\"\nprocess_name_pattern = \"bash\"\nuid = 7\n";

    #[test]
    fn neither_a_secret_nor_users_is_no_dialect_and_one_of_them_is_enough() {
        assert_eq!(settings(&config(""), &Zone::utc()), None);
        for text in ["[littlebrother]\nsecret = \"x\"\n", USER] {
            assert!(settings(&config(text), &Zone::utc()).is_some(), "{text}");
        }
    }

    #[test]
    fn uids_of_users_join_the_mapping_of_the_default_group() {
        let alone = settings(&config(USER), &Zone::utc()).unwrap();
        let default = LoginMapping {
            server_group: DEFAULT_GROUP.to_owned(),
            entries: vec![("amelie".to_owned(), 7)],
        };
        assert_eq!(alone.mappings, [default]);
        let more = "[[littlebrother.login_mappings]]\nserver_group = \"school\"\nentries = [[\"amelie\", 8]]\n\
                    [[littlebrother.login_mappings]]\nentries = [[\"bela\", 9]]\n";
        let both = settings(&config(&format!("{USER}{more}")), &Zone::utc()).unwrap();
        assert_eq!(both.mappings.len(), 2);
        assert_eq!(both.mappings[0].entries, [("amelie".to_owned(), 8)]);
        assert_eq!(
            both.mappings[1].entries,
            [("bela".to_owned(), 9), ("amelie".to_owned(), 7)]
        );
    }

    #[test]
    fn a_zone_that_is_named_is_the_zone() {
        let zone = zone(&config("[littlebrother]\ntime_zone = \"Asia/Tokyo\"\n"));
        assert_eq!(zone.0.iana_name(), Some("Asia/Tokyo"));
    }
}
