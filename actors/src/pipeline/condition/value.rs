//! `event` and `host` as CEL values that borrow: a field is looked up when the condition asks for it, and
//! nothing of the event is copied. Only a list is laid out when it is touched, one box per element.

use crate::pipeline::HostFacts;
use crate::pipeline::facts::Facts;
use cel::ExecutionError;
use cel::common::traits::{Container, Indexer, Sizer};
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelNull, CelString, CelUInt, MAP_TYPE, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::context::VariableResolver;
use regex::Regex;
use serde_json::{Map, Value};
use std::any::Any;
use tripline_protocol::Event;

/// Longest list a condition may look into, the elements of lists within it counted too.
pub(super) const LIST_ELEMENTS_MAX: usize = 1_000;
/// The same in a condition that looks at `event` or `host` again for every element of a list: there the
/// work grows with the product of both.
pub(super) const SQUARE_LIST_ELEMENTS_MAX: usize = 200;
/// Longest text in such a condition, in bytes.
pub(super) const SQUARE_TEXT_BYTES_MAX: usize = 64 * 1024;

/// What takes part in no operation, named in the errors that follow: a list or text beyond its limit.
static LONG_LIST: Type = Type::new_unspecified_type("list of more than 1000 elements");
static SQUARE_LONG_LIST: Type = Type::new_unspecified_type(
    "list of more than 200 elements, in a condition that looks at the event for every element,",
);
static SQUARE_LONG_TEXT: Type = Type::new_unspecified_type(
    "text of more than 64 KiB, in a condition that looks at the event for every element,",
);
static REGEX: Type = Type::new_unspecified_type("regex");

/// The variables of one evaluation, lent to it however often it names them.
pub(super) struct Variables<'a> {
    event: Object<'a>,
    host: Object<'a>,
    values: Option<&'a Map<String, Value>>,
    regexes: &'a [Pattern],
    square: bool,
}

impl<'a> Variables<'a> {
    /// `square`: whether the condition looks at what it knows for every element of a list.
    pub(super) fn new(facts: &Facts<'a>, regexes: &'a [Pattern], square: bool) -> Self {
        Self {
            event: facts
                .event
                .map_or(Object::Nothing, |event| Object::Event(event, square)),
            host: facts.host.map_or(Object::Nothing, Object::Host),
            values: facts.values,
            regexes,
            square,
        }
    }
}

impl VariableResolver for Variables<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        match variable {
            "event" => Some(CowVal::Borrowed(&self.event)),
            "host" => Some(CowVal::Borrowed(&self.host)),
            other => {
                if let Some(value) = self.values.and_then(|values| values.get(other)) {
                    return Some(CowVal::Owned(json(value, self.square)));
                }
                let index: usize = other.strip_prefix(Pattern::VARIABLE)?.parse().ok()?;
                self.regexes
                    .get(index)
                    .map(|pattern| CowVal::Borrowed(pattern as &dyn Val))
            }
        }
    }
}

/// A map whose values are looked up on access.
#[derive(Debug, Clone, Copy)]
enum Object<'a> {
    Event(&'a Event, bool),
    Host(&'a HostFacts),
    Json(&'a Map<String, Value>, bool),
    /// The host of an event without one: no field is there.
    Nothing,
}

fn text<'b, 'v>(text: &'v str) -> CowVal<'b, 'v> {
    CowVal::owned(CelString::from(text))
}

fn texts<'b, 'v>(items: &'v [String]) -> CowVal<'b, 'v> {
    let items: Vec<Box<dyn Val + 'v>> = items
        .iter()
        .map(|item| Box::new(CelString::from(item.as_str())) as Box<dyn Val + 'v>)
        .collect();
    CowVal::owned(CelList::from(items))
}

fn json<'v>(value: &'v Value, square: bool) -> Box<dyn Val + 'v> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Box::new(CelInt::from(number)),
            (None, Some(number)) => Box::new(CelUInt::from(number)),
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Value::String(text) if square && text.len() > SQUARE_TEXT_BYTES_MAX => {
            Box::new(TooLong(&SQUARE_LONG_TEXT))
        }
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(items) if square && is_longer(items, SQUARE_LIST_ELEMENTS_MAX) => {
            Box::new(TooLong(&SQUARE_LONG_LIST))
        }
        Value::Array(items) if is_longer(items, LIST_ELEMENTS_MAX) => Box::new(TooLong(&LONG_LIST)),
        Value::Array(items) => {
            let items: Vec<Box<dyn Val + 'v>> = items.iter().map(|item| json(item, square)).collect();
            Box::new(CelList::from(items))
        }
        Value::Object(map) => Box::new(Object::Json(map, square)),
    }
}

/// Whether a list, with the lists in it, has more elements than `limit`. Stops counting there.
fn is_longer(items: &[Value], limit: usize) -> bool {
    let mut open = vec![items];
    let mut elements = 0;
    while let Some(items) = open.pop() {
        elements += items.len();
        if elements > limit {
            return true;
        }
        open.extend(items.iter().filter_map(Value::as_array).map(Vec::as_slice));
    }
    false
}

impl<'a> Object<'a> {
    fn field<'b, 'v>(&self, name: &str) -> Option<CowVal<'b, 'v>>
    where
        'a: 'v,
    {
        match *self {
            Self::Event(event, square) => event_field(event, name, square),
            Self::Host(host) => host_field(host, name),
            Self::Json(map, square) => map.get(name).map(|value| CowVal::Owned(json(value, square))),
            Self::Nothing => None,
        }
    }

    fn names(&self) -> Vec<&str> {
        match self {
            Self::Event(..) => crate::pipeline::host::EVENT_FIELDS.to_vec(),
            Self::Host(_) => crate::pipeline::host::HOST_FIELDS.to_vec(),
            Self::Json(map, _) => map.keys().map(String::as_str).collect(),
            Self::Nothing => Vec::new(),
        }
    }
}

fn event_field<'b, 'v>(event: &'v Event, name: &str, square: bool) -> Option<CowVal<'b, 'v>> {
    Some(match name {
        "id" => text(&event.id),
        "org" => text(event.org.as_str()),
        "source" => text(&event.source),
        "etype" => text(event.etype.as_str()),
        "time" => CowVal::owned(CelString::from(event.time.to_string())),
        "data" => CowVal::Owned(json(&event.data, square)),
        "attested_by" => text(event.attested_by.as_str()),
        "depth" => CowVal::owned(CelInt::from(i64::from(event.depth))),
        _ => return None,
    })
}

fn host_field<'b, 'v>(host: &'v HostFacts, name: &str) -> Option<CowVal<'b, 'v>> {
    Some(match name {
        "id" => CowVal::owned(CelString::from(host.host_id.to_string())),
        "hostname" => text(&host.hostname),
        "platform" => text(&host.platform),
        "arch" => text(&host.arch),
        "os_version" => text(&host.os_version),
        "labels" => texts(&host.labels),
        "addresses" => texts(&host.addresses),
        "attached" => CowVal::owned(CelBool::from(host.attached)),
        _ => return None,
    })
}

impl Val for Object<'_> {
    fn get_type(&self) -> &Type {
        &MAP_TYPE
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    /// Field by field through the other's own look-up, as a value that borrows cannot be downcast.
    fn equals(&self, other: &dyn Val) -> bool {
        let names = self.names();
        let same_size = other
            .as_sizer()
            .is_some_and(|sizer| *sizer.size().inner() == names.len() as i64);
        let Some(indexer) = other
            .as_indexer()
            .filter(|_| same_size && *other.get_type() == MAP_TYPE)
        else {
            return false;
        };
        names.into_iter().all(
            |name| match (self.field(name), indexer.get(&CelString::from(name))) {
                (Some(mine), Ok(theirs)) => mine.equals(theirs.as_ref()),
                _ => false,
            },
        )
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(*self)
    }
}

impl Indexer for Object<'_> {
    fn get<'b, 'v>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let Some(name) = key.downcast_ref::<CelString>() else {
            return Err(ExecutionError::UnexpectedType {
                got: key.get_type().name().to_owned(),
                want: "string".to_owned(),
            });
        };
        self.field(name.inner())
            .ok_or_else(|| ExecutionError::no_such_key(name.inner()))
    }

    fn steal<'v>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(key).map(CowVal::into_owned)
    }
}

impl Container for Object<'_> {
    fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
        match self.get(key) {
            Ok(_) => Ok(true),
            Err(ExecutionError::NoSuchKey(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Sizer for Object<'_> {
    fn size(&self) -> CelInt {
        CelInt::from(i64::try_from(self.names().len()).unwrap_or(i64::MAX))
    }
}

/// A value beyond its limit: every operation on it is an error that names its type, and it equals nothing.
#[derive(Debug, Clone, Copy)]
struct TooLong(&'static Type);

impl Val for TooLong {
    fn get_type(&self) -> &Type {
        self.0
    }

    fn cel_type() -> &'static Type {
        &LONG_LIST
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(*self)
    }
}

/// A compiled regular expression; conditions name it as a variable that no author can write.
#[derive(Debug, Clone)]
pub(super) struct Pattern(pub(super) Regex);

impl Pattern {
    /// Followed by its index in [`Variables::regexes`].
    pub(super) const VARIABLE: &'static str = "@re";

    /// The type, for the overload of `re`.
    pub(super) fn cel_type() -> Type {
        Type::new_unspecified_type("regex")
    }
}

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        &REGEX
    }

    fn cel_type() -> &'static Type {
        &REGEX
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}
