//! Orgs of LimaCharlie, answers to its calls, news for it, and its sensors' links.

use super::{Look, id};
use crate::limacharlie::{CallNote, INSTALLED, Installed, NewsRow, REMOVED, Removal, by_time, split_news};
use crate::store::{Error, Table};
use tripline_protocol::Org;

pub(super) fn org(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    let (prefix, org) = key.split_first().unwrap_or((&0, &[]));
    let is_org = std::str::from_utf8(org).is_ok_and(|org| org.parse::<Org>().is_ok());
    look.expect(is_org, "its key has no org");
    match *prefix {
        INSTALLED => drop(look.decode::<Installed>(value)),
        REMOVED => drop(look.decode::<Removal>(value)),
        _ => look.wrong("its key is of no kind of org"),
    }
    Ok(())
}

pub(super) fn call(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    match look.decode::<CallNote>(value) {
        Some(note) => look.implies(
            Table::LcCallByTime,
            by_time(note.until, key),
            note.weight(value).row(),
        ),
        None => Ok(()),
    }
}

pub(super) fn call_by_time(look: &mut Look<'_>, key: &[u8], _: &[u8]) -> Result<(), Error> {
    match key.split_first_chunk::<8>() {
        Some((_, row)) => look.needs(Table::LcCall, row).map(drop),
        None => {
            look.wrong("its key has no time");
            Ok(())
        }
    }
}

pub(super) fn news(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    look.expect(split_news(key).is_some(), "its key is no org with a job");
    let _: Option<NewsRow> = look.decode(value);
    Ok(())
}

/// Links stand both ways.
pub(super) fn link(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    let ids = match key.split_first() {
        Some((b'c', sensor)) if sensor.len() == 16 => id(value).map(|host| (host, sensor, true)),
        Some((b'h', pair)) => pair
            .split_first_chunk::<16>()
            .filter(|(_, sensor)| sensor.len() == 16)
            .map(|(host, sensor)| (*host, sensor, false)),
        _ => None,
    };
    let Some((host, sensor, from_sensor)) = ids else {
        look.wrong("it joins no two hosts");
        return Ok(());
    };
    if look.needs(Table::Host, &host)? && look.needs(Table::Host, sensor)? {
        return match from_sensor {
            true => look.implies(
                Table::LcLink,
                [b"h".as_slice(), host.as_slice(), sensor].concat(),
                Vec::new(),
            ),
            false => look.implies(Table::LcLink, [b"c".as_slice(), sensor].concat(), host.to_vec()),
        };
    }
    Ok(())
}
