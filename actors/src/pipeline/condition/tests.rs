//! Conditions: what they decide, what they refuse at load, and that no event or expression can hurt.

use super::*;
use crate::pipeline::tests::events::{event, host};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::thread;

mod needs;
mod unmet;

const LARGE: usize = 64 * 1024 * 1024;
const SMALL: usize = 2 * 1024 * 1024;

const OF_EVENT: Scope<'static> = Scope {
    event: true,
    host: true,
    params: None,
    vars: &[],
    vars_later: &[],
    steps: None,
    item: false,
};

fn on_stack<T: Send>(bytes: usize, run: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        thread::Builder::new()
            .stack_size(bytes)
            .spawn_scoped(scope, run)
            .unwrap()
            .join()
            .unwrap()
    })
}

fn compile(source: &str) -> Result<Condition, String> {
    on_stack(LARGE, || {
        Condition::compile(source, &OF_EVENT).map_err(|invalid| invalid.reason)
    })
}

fn check(source: &str, data: Json) -> Match {
    compile(source).unwrap().matches(&event(data), Some(&host()))
}

#[test]
fn conditions_see_event_and_host() {
    let data = json!({
        "s": "abc", "n": 5, "f": 1.5, "big": u64::MAX, "b": true, "nul": null,
        "l": ["a", "b"], "m": {"k": {"deep": 1}}, "procs": [{"pid": 1}, {"pid": 2}],
        "same": {"k": {"deep": 1}}, "dash-ed": 1,
    });
    for source in [
        "event.id == 'e1' && event.org == 'default' && event.source == 'test'",
        "event.etype == 'acme.alert.high' && event.attested_by == 'publisher' && event.depth == 1",
        "timestamp(event.time) > timestamp('2026-11-20T13:59:59Z')",
        "event.data.s == 'abc' && event.data.n == 5 && event.data.f == 1.5 && event.data.b",
        "event.data.n < event.data.big && event.data.n > event.data.f && event.data.nul == null",
        "event.data.s in ['x', 'abc'] && 'a' in event.data.l && !('c' in event.data.l)",
        "event.data.s.startsWith('a') && event.data.s.endsWith('c') && event.data.s.contains('b')",
        "size(event.data.l) == 2 && size(event.data.s) == 3 && size(event.data.m) == 1",
        "event.data.m.k.deep == 1 && event.data['m']['k'].deep == 1 && event.data['dash-ed'] == 1",
        "has(event.data.m.k) && !has(event.data.m.x) && 'm' in event.data && !('x' in event.data)",
        "event.data.m == event.data.same && event.data.m != event.data && event.data.l == ['a', 'b']",
        "event.data.procs.exists(p, p.pid == 2) && event.data.procs.all(p, p.pid < 3)",
        "event.data.procs.exists_one(p, p.pid == 1)",
        "event.data.procs.map(p, p.pid).exists(n, n == 2) && size(event.data.procs.filter(p, p.pid > 1)) == 1",
        "event.data.procs[1].pid == 2 && event.data.procs.exists(p, p.pid == event.data.procs[0].pid)",
        "re(event.data.s, '^a.c$') && !re(event.data.s, 'x') && re(host.hostname, 'web-[0-9]+')",
        "host.id == '7d444840-9dc0-11d1-b245-5ffdce74fad2' && host.platform == 'linux' && host.attached",
        "'dmz' in host.labels && host.addresses.exists(a, a.startsWith('10.')) && host.arch == 'x86_64'",
        "event.data.n + 1 == 6 && event.data.n * 2 == 10 && -event.data.n < 0",
        "event.data.s == 'no' ? false : int('5') == event.data.n",
        "event.data.procs.all(p, p.pid in [1, 2, [3]])",
    ] {
        assert_eq!(check(source, data.clone()), Match::Yes, "{source}");
    }
}

#[test]
fn texts_are_lent_to_the_evaluation_and_not_copied() {
    let event = event(json!({"s": "some text", "m": {"l": [{"s": "another"}]}}));
    let (s, of_list) = (&event.data["s"], &event.data["m"]["l"][0]["s"]);
    for (source, text) in [
        ("event.data.s", s),
        ("event.data['s']", s),
        ("event.depth == 1 ? event.data.s : event.id", s),
        ("event.data.m.l[0].s", of_list),
        ("event.data.m.l.map(x, x.s)[0]", of_list),
        ("[event.data.m][0].l[0].s", of_list),
    ] {
        let condition = compile(source).unwrap();
        let facts = Facts {
            event: Some(&event),
            ..Facts::default()
        };
        let variables = Variables::new(&facts, &condition.regexes, condition.square);
        let mut context = ROOT.new_inner_scope();
        context.set_variable_resolver(&variables);
        let value = Value::resolve_val(&condition.expression, &context).unwrap();
        let found = value.downcast_ref::<CelString>().unwrap().inner();
        assert!(std::ptr::eq(found, text.as_str().unwrap()), "{source}");
    }
}

#[test]
fn a_missing_field_is_no_match_and_no_error() {
    for source in [
        "event.data.a == 1",
        "event.data.a != 1",
        "event.data.a.b.c == 1",
        "event.data.l[5] == 1",
        "event.data['a'] == 1",
        "!(event.data.a == 1)",
        "event.data.l.all(x, x.missing == 1)",
        "re(event.data.a, 'x')",
    ] {
        assert_eq!(check(source, json!({"l": [{"y": 1}]})), Match::No, "{source}");
    }
    assert_eq!(
        check("event.data.a == 1 || event.depth == 1", json!({})),
        Match::Yes
    );
    let without_host = compile("host.platform != 'windows'").unwrap();
    assert_eq!(without_host.matches(&event(json!({})), None), Match::No);
}

#[test]
fn a_type_error_is_no_match_with_a_reason() {
    for (source, reason) in [
        ("event.data.s > 1", "no matching overload"),
        ("event.data.s", "the condition gives string, not true or false"),
        ("re(event.data.n, 'x')", "no matching overload for 're'"),
        ("event.data.n.startsWith('x')", "no matching overload"),
        ("event.data.s.x == 1", "no matching overload"),
        ("event.data.n.exists(x, x == 1)", "iterable"),
        ("event.data.n / 0 == 1", "ivision by zero"),
        ("event.data.n + 9223372036854775807 > 0", "verflow"),
        ("timestamp(event.data.s) > timestamp(event.time)", "timestamp"),
    ] {
        let found = check(source, json!({"s": "abc", "n": 5}));
        let Match::Error(found) = &found else {
            panic!("{source}: {found:?}")
        };
        assert!(found.contains(reason), "{source}: {found}");
    }
}

#[test]
fn why_a_condition_failed_is_told_up_to_a_bound() {
    // The text of this error repeats that of the event.
    let reason = |chars: usize| match check("event.data.s % 2 == 1", json!({"s": "é".repeat(chars)})) {
        Match::Error(reason) => reason.chars().count(),
        other => panic!("{other:?}"),
    };
    let around = reason(0);
    let fits = REASON_CHARS_MAX - around;
    assert_eq!(
        [reason(1), reason(fits), reason(fits + 1)],
        [around + 1, REASON_CHARS_MAX, REASON_CHARS_MAX]
    );
}

#[test]
fn long_lists_are_errors_that_say_so() {
    let data = json!({"long": vec![1; 1001], "nested": vec![vec![1; 40]; 40], "fits": vec![1; 1000]});
    for source in [
        "event.data.long.exists(x, x == 1)",
        "1 in event.data.nested",
        "size(event.data.long) > 1",
    ] {
        let found = check(source, data.clone());
        assert!(
            matches!(&found, Match::Error(reason) if reason.contains("more than 1000")),
            "{source}: {found:?}"
        );
    }
    assert_eq!(check("event.data.fits.all(x, x == 1)", data), Match::Yes);
}

#[test]
fn what_is_looked_at_for_every_element_has_lower_limits() {
    let data = json!({"l": vec![1; 200], "longer": vec![1; 201], "text": "a".repeat(70_000)});
    for (source, reason) in [
        (
            "event.data.longer.exists(x, x == event.data.l[0])",
            "more than 200 elements",
        ),
        (
            "event.data.l.exists(x, x in event.data.longer)",
            "more than 200 elements",
        ),
        (
            "event.data.l.exists(x, event.data.text.contains('b'))",
            "more than 64 KiB",
        ),
    ] {
        let found = check(source, data.clone());
        assert!(
            matches!(&found, Match::Error(found) if found.contains(reason)),
            "{source}: {found:?}"
        );
    }
    assert_eq!(
        check("event.data.l.all(x, x in event.data.l)", data.clone()),
        Match::Yes
    );
    assert_eq!(
        check(
            "event.data.text.contains('a') && event.data.longer.all(x, x == 1)",
            data
        ),
        Match::Yes
    );
}

/// The expressions of the dependency study that overflow the stack or run for long, at full size and at
/// the size that the limit on the source lets through.
fn hostile() -> Vec<String> {
    let mut sources = Vec::new();
    for count in [2_000, 500] {
        sources.push(format!("1{} == 1", "+1".repeat(count)));
        sources.push(format!("1{} == 1", "-1".repeat(count)));
        sources.push(format!("event{} == 1", ".a".repeat(count)));
        sources.push(format!("event.data{} == 1", "[0]".repeat(count / 2)));
        sources.push(format!("{}true{}", "(".repeat(count), ")".repeat(count)));
        sources.push(format!("{}1{} == 1", "[".repeat(count), "]".repeat(count)));
        sources.push(format!("{}true", "!".repeat(count)));
        sources.push(format!("{}1 == 1", "-".repeat(count)));
        sources.push(format!("{}true", "true ? true : ".repeat(count / 8)));
        sources.push(format!("true{}", " && true".repeat(count / 2)));
        sources.push(format!("false{}", "||false".repeat(count / 2)));
        sources.push(format!("event.data.s{} == ''", "+event.data.s".repeat(count / 8)));
        sources.push(format!("event.id{}", ".size()".repeat(count / 4)));
        sources.push(format!("{}1{}", "int(".repeat(count / 3), ")".repeat(count / 3)));
    }
    sources.push("[1].all(a,[1].all(b,[1].all(c,[1].all(d,true))))".into());
    let list = format!("[{}]", vec!["1"; 20].join(","));
    sources.push(format!(
        "{list}.all(a,{list}.all(b,{list}.all(c,{list}.all(d,true))))"
    ));
    sources.push(format!(
        "{list}.map(a,{list}.map(b,{list}.map(c,{list}.map(d,1)))).size() == 1"
    ));
    sources.push(format!(
        "event.data.l{}.size() > 0",
        ".map(x, [x, x, x])".repeat(20)
    ));
    sources.push(format!(
        "event.data.l{}.size() > 0",
        ".map(x, event.data.l)".repeat(60)
    ));
    sources
}

#[test]
fn hostile_expressions_are_refused_or_evaluate_on_a_small_stack() {
    let event = event(json!({"s": "a".repeat(700_000), "l": vec![1; 1000]}));
    let mut accepted = 0;
    for source in hostile() {
        if let Ok(condition) = compile(&source) {
            accepted += 1;
            on_stack(SMALL, || drop((condition.matches(&event, None), condition)));
        }
    }
    assert!(
        accepted > 0,
        "the depth limit lets nothing through that is worth evaluating"
    );
}

#[test]
fn the_deepest_trees_that_are_accepted_evaluate_on_a_small_stack() {
    let deepest =
        |make: &dyn Fn(usize) -> String| (1..200).rev().find_map(|depth| compile(&make(depth)).ok());
    let makers: [&dyn Fn(usize) -> String; 5] = [
        &|depth| format!("1{} == 1", "-1".repeat(depth)),
        &|depth| format!("event.data{} == 1", ".a".repeat(depth)),
        &|depth| format!("{}true", "false ? true : ".repeat(depth)),
        &|depth| format!("{}1{} == 1", "int(".repeat(depth), ")".repeat(depth)),
        &|depth| {
            format!(
                "[1].exists(x, {}x{} == 1)",
                "int(".repeat(depth),
                ")".repeat(depth)
            )
        },
    ];
    let mut data = json!(1);
    for _ in 0..100 {
        data = json!({"a": data});
    }
    let event = event(data);
    for make in makers {
        let condition = deepest(make).unwrap();
        on_stack(SMALL, || drop(condition.matches(&event, None)));
    }
}

#[test]
fn deeply_nested_events_compare_on_a_small_stack() {
    let mut data = json!(1);
    for level in 0..120 {
        data = if level % 2 == 0 {
            json!({"a": data})
        } else {
            json!([data])
        };
    }
    let event = event(json!({"x": data, "y": data}));
    let condition = compile("event.data.x == event.data.y").unwrap();
    assert_eq!(on_stack(SMALL, || condition.matches(&event, None)), Match::Yes);
}

#[test]
fn a_source_beyond_its_limit_is_refused_unparsed() {
    let reason = compile(&format!("true{}", " ".repeat(SOURCE_BYTES_MAX))).unwrap_err();
    assert!(reason.contains("at most 2048 are taken"), "{reason}");
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        ".{0,12}".prop_map(Json::from),
        Just(Json::from("$late")),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
            prop::collection::btree_map("[a-e]", inner, 0..5)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

fn conditions() -> &'static [Condition] {
    static CONDITIONS: LazyLock<Vec<Condition>> = LazyLock::new(|| {
        [
            "event.data.a == event.data.b || event.data.c > 1",
            "event.data.a.all(x, x == event.data.b) && size(event.data.c) > 1",
            "event.data.a.map(x, x.a).exists(y, y in event.data.b)",
            "re(event.data.a, '(?i)a+b') || event.data.b.contains(event.data.c)",
            "event.data.a[event.data.b] == event.data.c[0].d",
            "event.data.a + event.data.b == event.data.c || event.data.a / event.data.b > event.data.c",
            "timestamp(event.data.a) > timestamp(event.data.b) || duration(event.data.c) > duration('1s')",
            "int(event.data.a) % int(event.data.b) == 0 || double(event.data.c) < 1.0",
            "string(event.data.a) == 'x' || uint(event.data.b) > uint(event.data.c) || -event.data.a < 1",
            "event.data.a == event.data || event.data in event.data.b || event == event",
            "timestamp(event.data.a).getFullYear(event.data.b) > 1 || event.data.a ? event.data.b : event.data.c",
        ]
        .iter()
        .map(|source| compile(source).unwrap())
        .collect()
    });
    &CONDITIONS
}

proptest! {
    #[test]
    fn no_event_makes_a_condition_panic(data in any_json()) {
        let event = event(data);
        for condition in conditions() {
            let facts = Facts { event: Some(&event), ..Facts::default() };
            let variables = Variables::new(&facts, &condition.regexes, condition.square);
            // Without the net that `matches` has below it.
            drop(condition.evaluate(&variables));
        }
    }
}

const REFERENCE: &str = include_str!("../../../../docs/pipelines.md");

#[test]
fn the_reference_names_every_function() {
    for name in check::FUNCTIONS.iter().chain(check::METHODS).chain(check::MACROS) {
        assert!(REFERENCE.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn many_conjuncts_in_a_row_are_not_deep() {
    let conjuncts = vec!["event.depth == 1"; 90].join(" && ");
    assert_eq!(check(&conjuncts, json!({})), Match::Yes);
}
