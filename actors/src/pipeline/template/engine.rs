//! minijinja's environment: the few filters and tests that templates may use. The only place that sets up
//! the engine.
//!
//! A compiled expression takes 9 KB, and thousands of pipelines mostly use the same few: they share them.

use super::scan::{FILTERS, TESTS};
use super::value::{Budget, to_json};
use minijinja::{Environment, Error, ErrorKind, Expression, UndefinedBehavior, Value, filters, tests};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Weak};

/// Instructions one expression may run. Without loops it takes no more than it is long.
const FUEL: u64 = 10_000;
/// Deepest recursion of the engine.
const RECURSION_MAX: usize = 32;
/// Longest result of a filter that can lengthen what it is given, in bytes.
const FILTER_BYTES_MAX: usize = 256 * 1024;
/// Expressions that are remembered before it is looked which of them nobody has any more.
const SWEPT_MIN: usize = 1_024;

static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::empty();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_fuel(Some(FUEL));
    engine.set_recursion_limit(RECURSION_MAX);
    add_filters(&mut engine);
    add_tests(&mut engine);
    engine
});

fn add_filters(engine: &mut Environment<'static>) {
    for name in FILTERS {
        match *name {
            "default" => engine.add_filter(*name, filters::default),
            "first" => engine.add_filter(*name, filters::first),
            "float" => engine.add_filter(*name, filters::float),
            "int" => engine.add_filter(*name, filters::int),
            "join" => engine.add_filter(*name, join),
            "last" => engine.add_filter(*name, filters::last),
            "length" => engine.add_filter(*name, filters::length),
            "lower" => engine.add_filter(*name, filters::lower),
            "replace" => engine.add_filter(*name, replace),
            "string" => engine.add_filter(*name, filters::string),
            "tojson" => engine.add_filter(*name, tojson),
            "trim" => engine.add_filter(*name, trim),
            "upper" => engine.add_filter(*name, filters::upper),
            _ => {}
        }
    }
}

fn add_tests(engine: &mut Environment<'static>) {
    for name in TESTS {
        match *name {
            "defined" => engine.add_test(*name, tests::is_defined),
            "mapping" => engine.add_test(*name, tests::is_mapping),
            "none" => engine.add_test(*name, tests::is_none),
            "number" => engine.add_test(*name, tests::is_number),
            "sequence" => engine.add_test(*name, tests::is_sequence),
            "string" => engine.add_test(*name, tests::is_string),
            "undefined" => engine.add_test(*name, tests::is_undefined),
            _ => {}
        }
    }
}

/// A compiled expression.
pub(super) type Compiled = Expression<'static, 'static>;

/// The expressions that somebody has, by their text.
#[derive(Default)]
struct Shared {
    by_source: HashMap<Box<str>, Weak<Compiled>>,
    /// Those that nobody has any more are removed when there are as many as this.
    swept_at: usize,
}

static SHARED: LazyLock<Mutex<Shared>> = LazyLock::new(Mutex::default);

impl Shared {
    fn get(&self, source: &str) -> Option<Arc<Compiled>> {
        self.by_source.get(source)?.upgrade()
    }

    fn add(&mut self, source: &str, compiled: &Arc<Compiled>) {
        if self.by_source.len() >= self.swept_at {
            self.by_source.retain(|_, compiled| compiled.strong_count() > 0);
            self.swept_at = SWEPT_MIN.max(2 * self.by_source.len());
        }
        self.by_source.insert(source.into(), Arc::downgrade(compiled));
    }
}

/// Compiles an expression, unless somebody has it already; the error says what is wrong with its syntax.
pub(super) fn compile(source: &str) -> Result<Arc<Compiled>, String> {
    if let Some(compiled) = SHARED.lock().get(source) {
        return Ok(compiled);
    }
    let compiled = ENGINE.compile_expression_owned(source.to_owned());
    let compiled = compiled.map_err(|error| {
        let detail = error.detail().unwrap_or("it is no expression");
        format!("{{{{ {source} }}}}: {detail}")
    })?;
    let compiled = Arc::new(compiled);
    SHARED.lock().add(source, &compiled);
    Ok(compiled)
}

fn too_long() -> Error {
    Error::new(
        ErrorKind::InvalidOperation,
        format!("the result is longer than {FILTER_BYTES_MAX} bytes"),
    )
}

/// Items of a list as one text, `separator` between them.
fn join(list: &Value, separator: Option<String>) -> Result<String, Error> {
    let separator = separator.unwrap_or_default();
    let mut text = String::new();
    for (index, item) in list.try_iter()?.enumerate() {
        if index > 0 {
            text.push_str(&separator);
        }
        match item.as_str() {
            Some(item) => text.push_str(item),
            None if item.is_number() => text.push_str(&item.to_string()),
            None => {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    "join takes texts and numbers",
                ));
            }
        }
        if text.len() > FILTER_BYTES_MAX {
            return Err(too_long());
        }
    }
    Ok(text)
}

/// Every `from` in a text becomes `to`.
fn replace(text: String, from: String, to: String) -> Result<String, Error> {
    if from.is_empty() {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "replace needs something to look for",
        ));
    }
    let grows = to
        .len()
        .saturating_sub(from.len())
        .saturating_mul(text.matches(&from).count());
    if text.len().saturating_add(grows) > FILTER_BYTES_MAX.max(text.len()) {
        return Err(too_long());
    }
    Ok(text.replace(&from, &to))
}

/// A text without white space at its ends. The engine's own also takes a set of characters, and searches
/// it for each character of the text.
fn trim(text: String) -> String {
    text.trim().to_owned()
}

/// A value as JSON text.
fn tojson(value: &Value) -> Result<String, Error> {
    let failed = |reason: String| Error::new(ErrorKind::InvalidOperation, reason);
    match to_json(value, &mut Budget::new(FILTER_BYTES_MAX), 0) {
        Ok(Some(json)) => Ok(json.to_string()),
        Ok(None) => Err(Error::from(ErrorKind::UndefinedError)),
        Err(cause) => Err(failed(cause.to_string())),
    }
}

#[cfg(test)]
mod check {
    use super::*;

    #[test]
    fn the_reference_names_every_filter_and_test() {
        let reference = include_str!("../../../../docs/pipelines.md");
        for name in FILTERS.iter().chain(TESTS) {
            assert!(reference.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn an_expression_is_compiled_once_for_all_who_have_it_and_forgotten_after_them() {
        let mut shared = Shared::default();
        let mut kept = Vec::new();
        for number in 0..10 * SWEPT_MIN {
            let source = format!("event.data.a{number}");
            let compiled = Arc::new(ENGINE.compile_expression_owned(source.clone()).unwrap());
            shared.add(&source, &compiled);
            assert!(Arc::ptr_eq(&shared.get(&source).unwrap(), &compiled));
            if number < 3 {
                kept.push((source, compiled));
            }
        }
        assert!(shared.by_source.len() <= SWEPT_MIN, "{}", shared.by_source.len());
        assert!(kept.iter().all(|(source, _)| shared.get(source).is_some()));
        let [one, other] = [(); 2].map(|()| compile("event.data.shared").unwrap());
        assert!(Arc::ptr_eq(&one, &other));
    }

    #[test]
    fn every_filter_and_test_that_is_offered_exists() {
        for name in FILTERS {
            let arguments = if *name == "replace" { "('a', 'b')" } else { "" };
            let source = format!("'1' | {name}{arguments}");
            let error = compile(&source).unwrap().eval(()).err();
            assert_ne!(
                error.map(|error| error.kind()),
                Some(ErrorKind::UnknownFilter),
                "{name}"
            );
        }
        for name in TESTS {
            let error = compile(&format!("'1' is {name}")).unwrap().eval(()).err();
            assert!(error.is_none(), "{name}");
        }
    }
}
