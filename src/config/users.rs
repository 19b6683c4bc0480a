//! Users and login mappings of LittleBrother clients, as they are configured.

use super::setting::{Fault, Raw, Setting, Value, read_text};
use super::table::table;
use tripline_protocol::littlebrother::{DEFAULT_GROUP, InvalidPattern, ProcessPattern, ProhibitedPattern};

table! {
    /// `[[littlebrother.users]]`
    User {
        /// The user's login; needed.
        login: String,
        /// Whether the user is watched.
        active: bool = true,
        /// Which processes count as activity, a regular expression a line; needed.
        process_name_pattern: LoginPattern,
        /// Which processes must not run, a regular expression a line.
        prohibited_process_name_pattern: Option<ProhibitedText> = None,
        /// The login's uid on hosts of the group `default-group`: short for an entry of a mapping.
        uid: Option<u32> = None,
    }
}

table! {
    /// `[[littlebrother.login_mappings]]`
    Mapping {
        /// Which hosts it is for.
        server_group: String = DEFAULT_GROUP.to_owned(),
        /// `["login", uid]` of each user there; needed.
        entries: Entries,
    }
}

/// A pattern for names of processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginPattern(pub String);

/// A pattern for command lines of processes that must not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProhibitedText(pub String);

impl Setting for LoginPattern {
    fn read(raw: &Raw) -> Result<Self, String> {
        let text = raw.text().ok_or_else(|| raw.is_not("a text"))?;
        match ProcessPattern::parse(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => Err(wrong_pattern(&error)),
        }
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.0.clone().into())
    }
}

impl Setting for ProhibitedText {
    fn read(raw: &Raw) -> Result<Self, String> {
        let text = raw.text().ok_or_else(|| raw.is_not("a text"))?;
        match ProhibitedPattern::parse(text) {
            Ok(Some(_)) => Ok(Self(text.to_owned())),
            Ok(None) => Err(format!("{}; leave the key out", InvalidPattern::Empty)),
            Err(error) => Err(wrong_pattern(&error)),
        }
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.0.clone().into())
    }
}

/// In one line: an error of a regular expression shows the place with a line of its own.
fn wrong_pattern(error: &InvalidPattern) -> String {
    let text = error.to_string();
    match text.rsplit_once("error: ") {
        Some((_, why)) if text.lines().count() > 1 => {
            format!("not a regular expression: {}", why.replace('\n', " "))
        }
        _ => text.replace('\n', " "),
    }
}

/// Logins with their uids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entries(pub Vec<(String, u32)>);

impl Value for Entries {
    fn read(raw: &Raw) -> Result<Self, Vec<Fault>> {
        const EXPECTED: &str = "a list of [\"login\", uid]";
        let Raw::List(items) = raw else {
            return Err(vec![raw.is_not(EXPECTED).into()]);
        };
        let (mut entries, mut faults) = (Vec::new(), Vec::new());
        for (index, item) in items.iter().enumerate() {
            match entry(&item.raw) {
                Ok(entry) => entries.push(entry),
                Err(text) => faults.push(Fault::from(text).within(&format!("[{index}]"), item.line)),
            }
        }
        match faults.is_empty() {
            true => Ok(Self(entries)),
            false => Err(faults),
        }
    }

    fn show(&self) -> Option<toml::Value> {
        let entry = |(login, uid): &(String, u32)| {
            toml::Value::Array(vec![login.clone().into(), i64::from(*uid).into()])
        };
        Some(toml::Value::Array(self.0.iter().map(entry).collect()))
    }
}

fn entry(raw: &Raw) -> Result<(String, u32), String> {
    let Raw::List(pair) = raw else {
        return Err(raw.is_not("[\"login\", uid]"));
    };
    let [login, uid] = pair.as_slice() else {
        return Err(format!("has {} items, and must be [\"login\", uid]", pair.len()));
    };
    let login = read_text(&login.raw, "a login", |text| Some(text.to_owned()))?;
    let uid = <u32 as Setting>::read(&uid.raw).map_err(|_| uid.raw.is_not("a uid"))?;
    Ok((login, uid))
}
