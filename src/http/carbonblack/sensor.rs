//! `/api/v1/sensor*`, `/api/v2/sensor`: hosts as sensors.

use super::super::HttpState;
use super::super::body::Body;
use super::super::problem::ApiError;
use super::auth::{Operator, Viewer};
use super::error::DialectError;
use super::isolation::{self, Asked};
use super::sensor_object::is_online;
use actix_web::{HttpResponse, web};
use serde_json::{Map, Value, json};
use std::cmp::Ordering;
use std::collections::HashMap;
use tripline_actors::access::Principal;
use tripline_actors::{Core, HostFilter, Refusal};
use tripline_protocol::api::HostView;

/// Sensors on a page at most, and where the caller does not say.
const ROWS_MAX: usize = 1000;
const ROWS_DEFAULT: usize = 100;
/// Sensors in the list without pages.
const LIST_MAX: usize = 10_000;

type Query = HashMap<String, String>;

/// A page, and how many there are: always as many as all pages deliver, or the client would ask for ever.
pub(super) async fn page(
    caller: Viewer,
    state: web::Data<HttpState>,
    query: web::Query<Query>,
) -> Result<web::Json<Value>, DialectError> {
    let section = Section::of(&query)?;
    let hosts = found(&state.core, &caller, &query).await?;
    let now = state.clock.now();
    let page = section.within(&hosts);
    let asked = Asked::of(&state.core, &caller, page).await?;
    let results: Vec<Value> = page.iter().map(|host| asked.shown(host, now)).collect();
    Ok(web::Json(
        json!({ "total_results": hosts.len(), "results": results }),
    ))
}

/// The older list, without pages; the first of them, if there are very many.
pub(super) async fn list(
    caller: Viewer,
    state: web::Data<HttpState>,
    query: web::Query<Query>,
) -> Result<web::Json<Vec<Value>>, DialectError> {
    let hosts = found(&state.core, &caller, &query).await?;
    let now = state.clock.now();
    let hosts = first(&hosts);
    let asked = Asked::of(&state.core, &caller, hosts).await?;
    let shown = hosts.iter().map(|host| asked.shown(host, now));
    Ok(web::Json(shown.collect()))
}

fn first(hosts: &[HostView]) -> &[HostView] {
    hosts.get(..LIST_MAX).unwrap_or(hosts)
}

/// Which of all sensors are on a page.
struct Section {
    start: usize,
    rows: usize,
}

impl Section {
    fn of(query: &Query) -> Result<Self, DialectError> {
        let rows = number(query, "rows")?.unwrap_or(ROWS_DEFAULT);
        Ok(Self {
            start: number(query, "start")?.unwrap_or(0),
            rows: rows.min(ROWS_MAX),
        })
    }

    fn within<'a>(&self, hosts: &'a [HostView]) -> &'a [HostView] {
        let rest = hosts.get(self.start..).unwrap_or_default();
        rest.get(..self.rows).unwrap_or(rest)
    }
}

pub(super) async fn show(
    caller: Viewer,
    state: web::Data<HttpState>,
    sensor: web::Path<String>,
) -> Result<web::Json<Value>, DialectError> {
    let host = by_id(&state.core, &caller, &sensor).await?;
    Ok(web::Json(sensor_now(&state, &caller, &host).await?))
}

/// What waits at a sensor, and what it has done: nothing is counted here.
pub(super) async fn figures(
    caller: Viewer,
    state: web::Data<HttpState>,
    sensor: web::Path<String>,
) -> Result<web::Json<Value>, DialectError> {
    by_id(&state.core, &caller, &sensor).await?;
    Ok(web::Json(json!([])))
}

async fn sensor_now(state: &HttpState, caller: &Principal, host: &HostView) -> Result<Value, DialectError> {
    let asked = Asked::of(&state.core, caller, std::slice::from_ref(host)).await?;
    Ok(asked.shown(host, state.clock.now()))
}

/// Isolates it or ends that; changes nothing else, and says so to who wants another change.
pub(super) async fn change(
    caller: Operator,
    state: web::Data<HttpState>,
    sensor: web::Path<String>,
    body: Result<Body<Map<String, Value>>, ApiError>,
) -> Result<HttpResponse, DialectError> {
    let Body(wanted) = body?;
    let host = by_id(&state.core, &caller, &sensor).await?;
    let present = sensor_now(&state, &caller, &host).await?;
    if let Some(what) = unkept(&wanted, &present) {
        return Err(DialectError::refused(format!(
            "This server cannot {what} a sensor; nothing was changed"
        )));
    }
    if let Some(isolated) = isolation::change(&wanted, &present)? {
        isolation::ask(&state.core, &host, isolated).await?;
    }
    Ok(HttpResponse::NoContent().finish())
}

/// The first change that is asked for. `event_log_flush_time` asks a sensor to send what it holds back, and
/// none holds anything back.
fn unkept(wanted: &Map<String, Value>, present: &Value) -> Option<&'static str> {
    let changes = [
        ("restart_queued", "restart"),
        ("uninstall", "uninstall"),
        ("group_id", "change the group of"),
        ("notes", "keep notes about"),
    ];
    let is_change = |field: &str| match (wanted.get(field), present.get(field)) {
        (None | Some(Value::Null), _) => false,
        (wanted, present) => wanted != present,
    };
    changes
        .into_iter()
        .find(|(field, _)| is_change(field))
        .map(|(_, what)| what)
}

/// A sensor by its number, and nothing else.
pub(super) async fn by_id(core: &Core, caller: &Principal, sensor: &str) -> Result<HostView, DialectError> {
    let missing = || DialectError::not_found(format!("Sensor {sensor} not found"));
    let id: u32 = sensor.parse().map_err(|_| missing())?;
    match core.get_host(caller.org_for(None)?, id.to_string()).await {
        Ok(host) if host.sensor_id == id => Ok(host),
        Ok(_) | Err(Refusal::NotFound { .. } | Refusal::AmbiguousHost { .. }) => Err(missing()),
        Err(refusal) => Err(refusal.into()),
    }
}

fn number(query: &Query, name: &str) -> Result<Option<usize>, DialectError> {
    match query.get(name).map(String::as_str) {
        None | Some("") => Ok(None),
        Some(text) => match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(DialectError::bad(format!(
                "{name}: expected a number, not {text:?}"
            ))),
        },
    }
}

/// All sensors that the query is about, in its order.
async fn found(core: &Core, caller: &Principal, query: &Query) -> Result<Vec<HostView>, DialectError> {
    let filter = Filter::of(query)?;
    let mut next = HostFilter {
        org: caller.org_for(None)?,
        limit: ROWS_MAX,
        ..HostFilter::default()
    };
    let mut hosts = Vec::new();
    loop {
        let page = core.list_hosts(next.clone()).await?;
        hosts.extend(page.items.into_iter().filter(|host| filter.takes(host)));
        next.after = page.next;
        if next.after.is_none() {
            break;
        }
    }
    hosts.sort_by(|a, b| filter.order(a, b));
    Ok(hosts)
}

/// What the query asks for: parts of names and beginnings of addresses count, and whole ones come first.
struct Filter {
    hostname: Option<String>,
    ip: Option<String>,
    group: Option<u32>,
    column: String,
    descending: bool,
}

impl Filter {
    fn of(query: &Query) -> Result<Self, DialectError> {
        let text = |name: &str| query.get(name).filter(|text| !text.is_empty()).cloned();
        let group = number(query, "groupid")?;
        Ok(Self {
            hostname: text("hostname").map(|name| name.to_lowercase()),
            ip: text("ip"),
            group: group.map(|group| u32::try_from(group).unwrap_or(0)),
            column: text("sort.col").unwrap_or_default(),
            descending: text("sort.dir").is_some_and(|word| word.eq_ignore_ascii_case("desc")),
        })
    }

    fn takes(&self, host: &HostView) -> bool {
        let named = |name: &String| host.hostname.to_lowercase().contains(name);
        let at = |ip: &String| host.addresses.iter().any(|address| address.starts_with(ip));
        self.hostname.as_ref().is_none_or(named)
            && self.ip.as_ref().is_none_or(at)
            && self.group.is_none_or(|group| group == super::info::GROUP_ID)
    }

    fn is_exact(&self, host: &HostView) -> bool {
        let named = |name: &String| host.hostname.to_lowercase() == *name;
        self.hostname.as_ref().is_none_or(named)
            && self.ip.as_ref().is_none_or(|ip| host.addresses.contains(ip))
    }

    fn order(&self, a: &HostView, b: &HostView) -> Ordering {
        let by_name = || a.hostname.to_lowercase().cmp(&b.hostname.to_lowercase());
        let by_column = match self.column.as_str() {
            "id" => Ordering::Equal,
            "last_checkin_time" => a.last_seen_at.cmp(&b.last_seen_at),
            "registration_time" => a.created_at.cmp(&b.created_at),
            "status" => is_online(b).cmp(&is_online(a)),
            _ => by_name(),
        };
        let ordered = by_column.then_with(|| a.sensor_id.cmp(&b.sensor_id));
        let ordered = if self.descending {
            ordered.reverse()
        } else {
            ordered
        };
        self.is_exact(b).cmp(&self.is_exact(a)).then(ordered)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sensor_object::object;
    use super::super::tests::host;
    use super::*;

    fn names(query: &[(&str, &str)], hosts: &[HostView]) -> Vec<String> {
        let query = query
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect();
        let filter = Filter::of(&query).expect("a filter");
        let mut hosts: Vec<HostView> = hosts.iter().filter(|host| filter.takes(host)).cloned().collect();
        hosts.sort_by(|a, b| filter.order(a, b));
        hosts.into_iter().map(|host| host.hostname).collect()
    }

    #[test]
    fn a_part_of_a_name_finds_and_the_whole_name_comes_first() {
        let hosts = [host(1, "aweb1"), host(2, "WEB10"), host(3, "Web1"), host(4, "db")];
        assert_eq!(names(&[("hostname", "web1")], &hosts), ["Web1", "aweb1", "WEB10"]);
        assert_eq!(names(&[("hostname", "mail")], &hosts), [] as [&str; 0]);
    }

    #[test]
    fn the_beginning_of_an_address_finds() {
        let mut hosts = [host(1, "a"), host(2, "b"), host(3, "c")];
        hosts[0].addresses = vec!["192.168.1.10".into()];
        hosts[1].addresses = vec!["10.0.0.1".into(), "192.168.1.1".into()];
        assert_eq!(names(&[("ip", "192.168")], &hosts), ["a", "b"]);
        assert_eq!(names(&[("ip", "192.168.1.1")], &hosts), ["b", "a"]);
    }

    #[test]
    fn there_is_one_group() {
        let hosts = [host(1, "a")];
        assert_eq!(names(&[("groupid", "1")], &hosts), ["a"]);
        assert_eq!(names(&[("groupid", "2")], &hosts), [] as [&str; 0]);
        let wrong = HashMap::from([("groupid".to_owned(), "x".to_owned())]);
        assert!(Filter::of(&wrong).is_err());
    }

    #[test]
    fn an_order_can_be_asked_for() {
        let hosts = [host(2, "a"), host(1, "b")];
        assert_eq!(names(&[], &hosts), ["a", "b"]);
        assert_eq!(names(&[("sort.dir", "desc")], &hosts), ["b", "a"]);
        assert_eq!(names(&[("sort.col", "id")], &hosts), ["b", "a"]);
    }

    #[test]
    fn what_is_as_it_is_may_be_put_and_any_change_is_named() {
        let present = object(&host(1, "a"), Default::default());
        let put = |field: &str, value: Value| {
            let mut wanted = present.as_object().expect("an object").clone();
            wanted.insert(field.into(), value);
            unkept(&wanted, &present)
        };
        assert_eq!(put("notes", json!("")), None);
        assert_eq!(
            put("event_log_flush_time", json!("Mon, 01 Jan 2029 00:00:00 GMT")),
            None
        );
        assert_eq!(
            put("network_isolation_enabled", json!(true)),
            None,
            "that is done"
        );
        assert_eq!(put("group_id", json!(2)), Some("change the group of"));
        assert_eq!(put("notes", json!("x")), Some("keep notes about"));
        assert_eq!(put("uninstall", json!(true)), Some("uninstall"));
        assert_eq!(put("restart_queued", json!(true)), Some("restart"));
    }

    fn many(count: usize) -> Vec<HostView> {
        (1..=count).map(|id| host(id as u32, "pc")).collect()
    }

    #[test]
    fn a_page_has_so_many_sensors_and_the_next_has_the_rest() {
        let hosts = many(ROWS_MAX + 1);
        let page = |start: usize, rows: usize| {
            let asked = [("start", start), ("rows", rows)];
            let query = asked.map(|(key, value)| (key.to_owned(), value.to_string()));
            let section = Section::of(&query.into()).expect("a section");
            let ids = section.within(&hosts).iter().map(|host| host.sensor_id as usize);
            ids.collect::<Vec<usize>>()
        };
        let full: Vec<usize> = (1..=ROWS_MAX).collect();
        assert_eq!(page(0, ROWS_MAX), full);
        assert_eq!(page(0, ROWS_MAX + 1), full);
        assert_eq!(page(ROWS_MAX, ROWS_MAX), [ROWS_MAX + 1]);
        assert!(page(ROWS_MAX + 1, ROWS_MAX).is_empty());
    }

    #[test]
    fn the_list_without_pages_has_so_many_sensors_and_no_more() {
        assert_eq!(first(&many(LIST_MAX)).len(), LIST_MAX);
        let more = many(LIST_MAX + 1);
        assert_eq!(
            first(&more).last().map(|host| host.sensor_id as usize),
            Some(LIST_MAX)
        );
    }
}
