//! Services, their orgs, what waits for them, and what they told.

use super::Look;
use crate::service::{
    Content, DeliveryRecord, EventRecord, OrgRecord, RequestRecord, ResourceRecord, ServiceRecord,
    request_key, split, use_key,
};
use crate::store::key::read_u64;
use crate::store::{Error, Table};
use tripline_protocol::Name;
use tripline_protocol::api::ServiceJobView;

pub(super) fn service(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    if let Some(record) = look.decode::<ServiceRecord>(value) {
        let own = record.spec.name.as_str().as_bytes() == key;
        look.expect(own, "it is another service than its key says");
    }
    Ok(())
}

pub(super) fn secret(look: &mut Look<'_>, key: &[u8], _: &[u8]) -> Result<(), Error> {
    look.needs(Table::Service, key).map(drop)
}

pub(super) fn org(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    if of_service(look, key)?.is_some() {
        let _: Option<OrgRecord> = look.decode(value);
    }
    Ok(())
}

pub(super) fn delivery(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    let Some((name, seq)) = of_service(look, key)? else {
        return Ok(());
    };
    look.expect(read_u64(&seq).is_some(), "its key has no number");
    let Some(record) = look.decode::<DeliveryRecord>(value) else {
        return Ok(());
    };
    match record.content {
        Content::Data(_) => Ok(()),
        Content::Request => {
            let asked = request_key(&name, record.mid);
            look.needs(Table::ServiceRequest, &asked).map(drop)
        }
        Content::Event(event) => {
            if look.needs(Table::ServiceEvent, event.as_bytes())? {
                look.implies(Table::ServiceEventUse, use_key(event, &name), Vec::new())?;
            }
            Ok(())
        }
    }
}

pub(super) fn event(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    look.expect(key.len() == 16, "its key is no key of an event");
    let _: Option<EventRecord> = look.decode(value);
    let uses = look.rows(Table::ServiceEventUse, key)?;
    look.expect(uses > 0, "no service waits for it");
    Ok(())
}

pub(super) fn event_use(look: &mut Look<'_>, key: &[u8], _: &[u8]) -> Result<(), Error> {
    let Some((event, service)) = key.split_first_chunk::<16>() else {
        look.wrong("its key is of no event");
        return Ok(());
    };
    if look.needs(Table::Service, service)? {
        look.needs(Table::ServiceEvent, event)?;
    }
    Ok(())
}

pub(super) fn job(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    if let Some((_, id)) = of_service(look, key)?
        && let Some(job) = look.decode::<ServiceJobView>(value)
    {
        look.expect(job.id.as_bytes() == id, "it is another job than its key says");
    }
    Ok(())
}

pub(super) fn resource(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    if of_service(look, key)?.is_some() {
        let _: Option<ResourceRecord> = look.decode(value);
    }
    Ok(())
}

pub(super) fn request(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    if let Some((_, id)) = of_service(look, key)?
        && let Some(record) = look.decode::<RequestRecord>(value)
    {
        let own = record.view.id.as_bytes() == id.as_slice();
        look.expect(own, "it is another request than its key says");
    }
    Ok(())
}

/// The key is a service's name and something more; the service is there.
fn of_service(look: &mut Look<'_>, key: &[u8]) -> Result<Option<(Name, Vec<u8>)>, Error> {
    let Some((name, rest)) = split(key) else {
        look.wrong("its key names no service");
        return Ok(None);
    };
    let there = look.needs(Table::Service, name.as_str().as_bytes())?;
    Ok(there.then(|| (name, rest.to_vec())))
}
