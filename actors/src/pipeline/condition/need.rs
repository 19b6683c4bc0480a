//! What an event must have for a condition to hold, as far as it can be read off the condition's text: the index
//! over pipelines is made from it.
//!
//! A need is a top-level conjunct that compares fields of the event with literals (`==`, `in [ … ]`, `<` and its
//! like with numbers, `startsWith`, `endsWith`, `contains`), or several such joined by `||`. Where no comparison of a
//! need may hold, the conjunct is false, or a field in it is missing; either way the condition is not true, whatever
//! else it says. `may_hold` errs on one side only: what is left over is evaluated.
//!
//! Deliberately not here: fields of `host`, which has to be looked up first; `re`, negations, functions.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};
use serde_json::{Map, Value};
use tripline_protocol::Event;

/// Longest text that is searched for parts, in bytes; a longer one is left to the evaluation.
pub(in crate::pipeline) const SEARCHED_TEXT_BYTES_MAX: usize = 64 * 1024;

/// Comparisons of which one must hold.
pub(in crate::pipeline) type Need = Box<[Wanted]>;

/// A field of the event, and what it is compared with: one of `tests` must hold.
#[derive(Debug, PartialEq)]
pub(in crate::pipeline) struct Wanted {
    /// From `event` on, which is left out: `data`, `username`.
    pub(in crate::pipeline) path: Box<[Box<str>]>,
    pub(in crate::pipeline) tests: Box<[Test]>,
}

/// What a field is compared with.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::pipeline) enum Test {
    /// It is this text.
    Text(Box<str>),
    /// It is this value.
    Plain(Plain),
    /// It is a text with this one, which is not empty, in it.
    Part(Place, Box<str>),
    /// It is a number on this side of the bound, or the bound itself, whether or not that is included.
    Bound(Side, Double),
}

/// A value that is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::pipeline) enum Plain {
    /// Numbers that CEL holds for equal, whatever their types, are equal as doubles. The reverse is not so, as whole
    /// numbers beyond 2^53 share doubles.
    Number(Double),
    Bool(bool),
    Null,
}

/// The bits of a double.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::pipeline) struct Double(u64);

/// Which side of a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::pipeline) enum Side {
    /// The bound and above.
    Least,
    /// The bound and below.
    Most,
}

/// Where in a text its part must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::pipeline) enum Place {
    Start,
    End,
    Anywhere,
}

/// A value of the event.
#[derive(Debug, Clone, Copy)]
pub(in crate::pipeline) enum Seen<'e> {
    Text(&'e str),
    Plain(Plain),
    Map(&'e Map<String, Value>),
    /// Equal to no literal.
    List,
}

/// What is at the end of a path.
enum Found<'e> {
    Value(Seen<'e>),
    Missing,
    /// The path leads through something that is no map: an error for the evaluation to tell.
    Blocked,
}

impl Plain {
    fn number(number: f64) -> Self {
        // -0.0 equals 0.0.
        Self::Number(Double((number + 0.0).to_bits()))
    }
}

impl Double {
    pub(in crate::pipeline) fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

impl Place {
    /// Whether a part from `start` to `end` of a text with `length` bytes is there.
    pub(in crate::pipeline) fn is_at(self, start: usize, end: usize, length: usize) -> bool {
        match self {
            Self::Start => start == 0,
            Self::End => end == length,
            Self::Anywhere => true,
        }
    }
}

impl<'e> Seen<'e> {
    /// A value within `event.data`.
    pub(in crate::pipeline) fn of(value: &'e Value) -> Self {
        match value {
            Value::Null => Self::Plain(Plain::Null),
            Value::Bool(value) => Self::Plain(Plain::Bool(*value)),
            Value::Number(number) => Self::Plain(Plain::number(number.as_f64().unwrap_or(f64::NAN))),
            Value::String(text) => Self::Text(text),
            Value::Array(_) => Self::List,
            Value::Object(map) => Self::Map(map),
        }
    }

    /// A field of `event` itself. Its time is left out, of which CEL sees a text that would have to be made.
    pub(in crate::pipeline) fn field(event: &'e Event, name: &str) -> Option<Self> {
        Some(match name {
            "id" => Self::Text(&event.id),
            "org" => Self::Text(event.org.as_str()),
            "source" => Self::Text(&event.source),
            "etype" => Self::Text(event.etype.as_str()),
            "attested_by" => Self::Text(event.attested_by.as_str()),
            "depth" => Self::Plain(Plain::number(f64::from(event.depth))),
            "data" => Self::of(&event.data),
            _ => return None,
        })
    }
}

fn find<'e>(event: &'e Event, path: &[Box<str>]) -> Found<'e> {
    let mut names = path.iter();
    let Some(mut seen) = names.next().and_then(|name| Seen::field(event, name)) else {
        return Found::Blocked;
    };
    for name in names {
        let Seen::Map(map) = seen else {
            return Found::Blocked;
        };
        match map.get(&**name) {
            Some(value) => seen = Seen::of(value),
            None => return Found::Missing,
        }
    }
    Found::Value(seen)
}

impl Test {
    fn may_hold(&self, seen: Seen<'_>) -> bool {
        match (self, seen) {
            (Self::Text(wanted), Seen::Text(text)) => **wanted == *text,
            (Self::Plain(wanted), Seen::Plain(value)) => *wanted == value,
            (Self::Text(_) | Self::Plain(_), _) => false,
            // Rounding to doubles keeps the order, though numbers that differ may become equal.
            (Self::Bound(Side::Least, bound), Seen::Plain(Plain::Number(value))) => {
                value.get() >= bound.get()
            }
            (Self::Bound(Side::Most, bound), Seen::Plain(Plain::Number(value))) => value.get() <= bound.get(),
            (Self::Part(_, _), Seen::Text(text)) if text.len() > SEARCHED_TEXT_BYTES_MAX => true,
            (Self::Part(Place::Start, part), Seen::Text(text)) => text.starts_with(&**part),
            (Self::Part(Place::End, part), Seen::Text(text)) => text.ends_with(&**part),
            (Self::Part(Place::Anywhere, part), Seen::Text(text)) => text.contains(&**part),
            // An error for the evaluation to tell.
            (Self::Part(_, _) | Self::Bound(_, _), _) => true,
        }
    }
}

impl Wanted {
    fn may_hold(&self, event: &Event) -> bool {
        match find(event, &self.path) {
            Found::Value(seen) => self.tests.iter().any(|test| test.may_hold(seen)),
            Found::Missing => false,
            Found::Blocked => true,
        }
    }
}

/// The texts of which the field at `path` must be one, if that is what `need` says.
pub(in crate::pipeline) fn texts_of<'n>(need: &'n Need, path: &[&str]) -> Option<Vec<&'n str>> {
    let mut texts = Vec::new();
    for wanted in need {
        if !wanted.path.iter().map(|part| &**part).eq(path.iter().copied()) {
            return None;
        }
        for test in &wanted.tests {
            let Test::Text(text) = test else { return None };
            texts.push(&**text);
        }
    }
    Some(texts)
}

/// Whether `event` has what `need` says, or an error would be told in looking for it.
pub(super) fn may_hold(need: &Need, event: &Event) -> bool {
    need.iter().any(|wanted| wanted.may_hold(event))
}

/// The needs of a condition whose tree has been checked: it is walked recursively.
pub(super) fn of(expression: &IdedExpr) -> Vec<Need> {
    let needs = conjuncts(expression).into_iter();
    needs
        .filter_map(|conjunct| alternatives(&conjunct.expr).map(Need::from))
        .collect()
}

/// What `&&` joins at the top of a condition, in the order in which it is written.
pub(super) fn conjuncts(expression: &IdedExpr) -> Vec<&IdedExpr> {
    let mut found = Vec::new();
    let mut open = vec![expression];
    while let Some(conjunct) = open.pop() {
        match operands(&conjunct.expr, operators::LOGICAL_AND) {
            Some((left, right)) => open.extend([right, left]),
            None => found.push(conjunct),
        }
    }
    found
}

/// The operands of a call of `operator`.
pub(super) fn operands<'x>(expr: &'x Expr, operator: &str) -> Option<(&'x IdedExpr, &'x IdedExpr)> {
    match expr {
        Expr::Call(call) if call.func_name == operator && call.target.is_none() => match call.args.as_slice()
        {
            [left, right] => Some((left, right)),
            _ => None,
        },
        _ => None,
    }
}

/// Comparisons of which one must hold for `expr` to be true.
fn alternatives(expr: &Expr) -> Option<Vec<Wanted>> {
    if let Some((left, right)) = operands(expr, operators::LOGICAL_OR) {
        let mut wanted = alternatives(&left.expr)?;
        wanted.extend(alternatives(&right.expr)?);
        return Some(wanted);
    }
    if let Some((left, right)) = operands(expr, operators::LOGICAL_AND) {
        // Either side is needed; the one that says less is the stronger.
        let sides = [alternatives(&left.expr), alternatives(&right.expr)];
        let size = |wanted: &Vec<Wanted>| wanted.iter().map(|one| one.tests.len()).sum::<usize>();
        return sides.into_iter().flatten().min_by_key(size);
    }
    comparison(expr).map(|wanted| vec![wanted])
}

fn comparison(expr: &Expr) -> Option<Wanted> {
    if let Some((left, right)) = operands(expr, operators::EQUALS) {
        let of = |field: &IdedExpr, value: &IdedExpr| wanted(field, vec![literal(value)?]);
        return of(left, right).or_else(|| of(right, left));
    }
    if let Some((field, list)) = operands(expr, operators::IN) {
        let Expr::List(list) = &list.expr else { return None };
        let tests: Option<Vec<Test>> = list.elements.iter().map(literal).collect();
        return wanted(field, tests?);
    }
    bound(expr).or_else(|| match expr {
        Expr::Call(call) => part(call),
        _ => None,
    })
}

/// `event.data.severity >= 7` and its like, either way round.
fn bound(expr: &Expr) -> Option<Wanted> {
    let sides = [
        (operators::GREATER, Side::Least, Side::Most),
        (operators::GREATER_EQUALS, Side::Least, Side::Most),
        (operators::LESS, Side::Most, Side::Least),
        (operators::LESS_EQUALS, Side::Most, Side::Least),
    ];
    sides.into_iter().find_map(|(operator, side, turned)| {
        let (left, right) = operands(expr, operator)?;
        let of = |field: &IdedExpr, side: Side, bound: &IdedExpr| match literal(bound)? {
            Test::Plain(Plain::Number(bound)) => wanted(field, vec![Test::Bound(side, bound)]),
            _ => None,
        };
        of(left, side, right).or_else(|| of(right, turned, left))
    })
}

fn wanted(field: &IdedExpr, tests: Vec<Test>) -> Option<Wanted> {
    Some(Wanted {
        path: path(field)?.into(),
        tests: tests.into(),
    })
}

/// `event.data.path.startsWith("/tmp/")` and its like. Every text has the empty text in it.
fn part(call: &CallExpr) -> Option<Wanted> {
    let place = match call.func_name.as_str() {
        "startsWith" => Place::Start,
        "endsWith" => Place::End,
        "contains" => Place::Anywhere,
        _ => return None,
    };
    let (Some(field), [part]) = (call.target.as_deref(), call.args.as_slice()) else {
        return None;
    };
    match literal(part)? {
        Test::Text(part) if !part.is_empty() => wanted(field, vec![Test::Part(place, part)]),
        _ => None,
    }
}

fn literal(expression: &IdedExpr) -> Option<Test> {
    let Expr::Literal(literal) = &expression.expr else {
        return None;
    };
    // CEL compares a whole number with a double as doubles.
    Some(match literal {
        LiteralValue::String(text) => Test::Text(text.inner().into()),
        LiteralValue::Int(number) => Test::Plain(Plain::number(*number.inner() as f64)),
        LiteralValue::UInt(number) => Test::Plain(Plain::number(*number.inner() as f64)),
        LiteralValue::Double(number) => Test::Plain(Plain::number(*number.inner())),
        LiteralValue::Boolean(value) => Test::Plain(Plain::Bool(*value.inner())),
        LiteralValue::Null => Test::Plain(Plain::Null),
        LiteralValue::Bytes(_) => return None,
    })
}

/// The names on the way from `event` to a field: `event.data.user`, `event.data["user"]`.
fn path(expression: &IdedExpr) -> Option<Vec<Box<str>>> {
    let mut names: Vec<Box<str>> = Vec::new();
    let mut at = expression;
    loop {
        match &at.expr {
            Expr::Select(select) if !select.test => {
                names.push(select.field.as_str().into());
                at = &select.operand;
            }
            Expr::Ident(name) if name == "event" => break,
            other => {
                let (operand, index) = operands(other, operators::INDEX)?;
                let Some(Test::Text(name)) = literal(index) else {
                    return None;
                };
                names.push(name);
                at = operand;
            }
        }
    }
    names.reverse();
    let first = names.first()?;
    // One that no event has, which only an index can name, is left to the evaluation; so is the time.
    ["id", "org", "source", "etype", "attested_by", "depth", "data"]
        .contains(&&**first)
        .then_some(names)
}
