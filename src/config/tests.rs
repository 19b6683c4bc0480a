//! Every way in which a configuration can be right or wrong.

mod littlebrother;
mod services;
mod tracing;

use super::*;
use std::net::SocketAddr;
use tripline_protocol::Label;

/// Loads a file with this text and this environment.
fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tripline.toml");
    std::fs::write(&path, text).unwrap();
    let environment = environment
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()));
    match Config::load(Some(&path), environment) {
        Ok(config) => Ok(config),
        Err(Error::Invalid(problems)) => {
            let prefix = format!("{}/", folder.path().display());
            Err(problems
                .iter()
                .map(|problem| problem.to_string().replace(&prefix, ""))
                .collect())
        }
        Err(error) => panic!("{error}"),
    }
}

fn refused(text: &str) -> Vec<String> {
    load(text, &[]).expect_err("this configuration is wrong")
}

#[test]
fn without_a_file_the_defaults_are_in_force() {
    let config = Config::load(None, []).unwrap();
    assert_eq!(config.data_dir(), Path::new("./tripline-data"));
    assert_eq!(config.http.listen, SocketAddr::from(([127, 0, 0, 1], 7400)));
    assert_eq!(config.slots.total, 10);
    assert_eq!(config.drain.timeout.to_string(), "20s");
    assert!(config.nats.url.is_none());
}

#[test]
fn a_file_overrides_the_defaults_and_the_environment_overrides_the_file() {
    let text = "data_dir = \"/srv/tripline\"\n[slots]\ntotal = 20\njobs_reserved = 4\n[http]\ntls_names = [\"a\", \"b\"]\n";
    let config = load(text, &[("TRIPLINE__SLOTS__TOTAL", "30"), ("HOME", "/root")]).unwrap();
    assert_eq!(config.data_dir(), Path::new("/srv/tripline"));
    assert_eq!(config.slots.total, 30);
    assert_eq!(config.slots.jobs_reserved, 4);
    assert_eq!(config.http.tls_names, ["a", "b"]);
}

#[test]
fn labels_of_protected_hosts_are_a_list_and_shown_as_one() {
    let text = "[hosts]\nprotected = [\"crown-jewel\", \"tier:0\"]\n";
    let config = load(text, &[]).unwrap();
    let labels: Vec<&str> = config.hosts.protected.iter().map(Label::as_str).collect();
    assert_eq!(labels, ["crown-jewel", "tier:0"]);
    assert!(
        config
            .to_toml()
            .contains("protected = [\"crown-jewel\", \"tier:0\"]")
    );
    let config = load("", &[("TRIPLINE__HOSTS__PROTECTED", "a, b")]).unwrap();
    assert_eq!(config.hosts.protected.len(), 2);
    let wrong = refused("[hosts]\nprotected = [\"two words\"]\n");
    assert!(
        wrong[0].contains("hosts.protected: \"two words\" is not a valid label"),
        "{wrong:?}"
    );
}

#[test]
fn every_key_can_be_set_from_the_environment() {
    for key in Config::key_names() {
        let variable = format!("TRIPLINE__{}", key.replace('.', "__").to_uppercase());
        let errors = match Config::load(None, [(variable.clone(), "\u{1}".to_owned())]) {
            Ok(_) => continue,
            Err(error) => error.to_string(),
        };
        assert!(
            errors.contains(&variable) && !errors.contains("no such"),
            "{errors}"
        );
    }
}

#[test]
fn a_misspelt_key_is_named_with_its_line_and_the_nearest_key() {
    assert_eq!(
        refused("[http]\nlisten = \"127.0.0.1:1\"\ntls_lisen = \"127.0.0.1:2\"\n"),
        ["tripline.toml:3: http.tls_lisen: no such key; did you mean http.tls_listen?"]
    );
}

#[test]
fn a_misspelt_section_is_named_with_its_line_and_the_nearest_section() {
    assert_eq!(
        refused("\n[slot]\ntotal = 3\n"),
        ["tripline.toml:2: slot: no such section; did you mean slots?"]
    );
}

#[test]
fn a_section_that_is_a_value_is_refused() {
    assert_eq!(
        refused("http = 3\n"),
        ["tripline.toml:1: http: is a section: write [http] and its keys below"]
    );
}

#[test]
fn an_unknown_variable_is_named() {
    assert_eq!(
        load("", &[("TRIPLINE__SLOTS__TOTALS", "3")]).unwrap_err(),
        [
            "environment variable TRIPLINE__SLOTS__TOTALS: slots.totals: no such key; did you mean slots.total?"
        ]
    );
    assert_eq!(
        load("", &[("TRIPLINE__QWERTYUIOP", "3")]).unwrap_err(),
        ["environment variable TRIPLINE__QWERTYUIOP: qwertyuiop: no such key"]
    );
}

#[test]
fn all_problems_are_reported_at_once() {
    assert_eq!(
        refused("[slots]\ntotal = \"ten\"\n[http]\nlisten = 80\n[log]\nlevel = \"inof\"\n").len(),
        3
    );
}

#[test]
fn a_file_that_is_no_toml_is_refused_with_its_line() {
    let errors = refused("[http]\nlisten = \n");
    assert!(errors[0].starts_with("tripline.toml:2: not TOML: "), "{errors:?}");
}

#[test]
fn a_key_given_twice_is_refused_with_its_line() {
    let errors = refused("[slots]\ntotal = 3\ntotal = 4\n");
    assert!(
        errors[0].starts_with("tripline.toml:3: not TOML: duplicate key"),
        "{errors:?}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Some(Path::new("/nonexistent/tripline.toml")), []).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/tripline.toml"));
}

#[test]
fn values_of_the_wrong_kind_say_what_was_expected() {
    let cases = [
        (
            "[http]\nlisten = \"localhost\"",
            "http.listen: \"localhost\" is not an IP address with a port",
        ),
        (
            "[http]\nallow_plaintext = \"yes\"",
            "http.allow_plaintext: \"yes\" is not true or false",
        ),
        (
            "[http]\ntls_names = \"a\"",
            "http.tls_names: \"a\" is not an array of texts",
        ),
        ("[http]\ntls_cert = \"\"", "http.tls_cert: \"\" is not a path"),
        ("[slots]\ntotal = -1", "slots.total: -1 is not a whole number"),
        (
            "[slots]\ntotal = 99999999999999999999",
            "slots.total: a TOML integer beyond 64 bits is not a whole",
        ),
        ("[slots]\ntotal = 1.5", "slots.total: 1.5 is not a whole number"),
        (
            "[events]\nmax_age = 60",
            "events.max_age: 60 is not a span of time",
        ),
        (
            "[events]\nmax_age = \"soon\"",
            "events.max_age: \"soon\" is not a span of time",
        ),
        (
            "[disk]\nfree_min = \"1 parsec\"",
            "disk.free_min: \"1 parsec\" is not a number of bytes",
        ),
        (
            "[nats]\nurl = \"http://x\"",
            "nats.url: \"http://x\" is not a URL such as \"nats://",
        ),
        (
            "[nats]\nsubject_prefix = \"a b\"",
            "nats.subject_prefix: \"a b\" is not dot-separated words",
        ),
        (
            "[nats]\nembedded_listen = \"127.0.0.1:0\"",
            "nats.embedded_listen: \"127.0.0.1:0\" is not an IP",
        ),
        (
            "[log]\nlevel = \"inof\"",
            "log.level: \"inof\" is not off, error, warn",
        ),
        (
            "[log]\nformat = \"xml\"",
            "log.format: \"xml\" is not text or json",
        ),
        (
            "[auth]\nadmin_token = \" \"",
            "auth.admin_token: must not be empty",
        ),
    ];
    for (text, expected) in cases {
        let errors = refused(text);
        assert!(
            errors.len() == 1 && errors[0].starts_with(&format!("tripline.toml:2: {expected}")),
            "{errors:?}"
        );
    }
}

#[test]
fn rules_between_keys_are_checked() {
    let cases = [
        (
            "[http]\nlisten = \"0.0.0.0:7400\"",
            "http.listen: 0.0.0.0:7400 is not a loopback address",
        ),
        (
            "[http]\ntls_listen = \"127.0.0.1:7400\"",
            "http.tls_listen: must differ from http.listen",
        ),
        (
            "[http]\ntls_cert = \"a\"",
            "http.tls_cert: needs http.tls_key as well",
        ),
        (
            "[http]\ntls_key = \"a\"",
            "http.tls_key: needs http.tls_cert as well",
        ),
        (
            "[http]\ntls_names = []",
            "http.tls_names: needs at least one name",
        ),
        ("[nats]\nuser = \"a\"", "nats.user: only together with nats.url"),
        (
            "[auth]\nadmin_token = \"short\"",
            "auth.admin_token: must have 16 to 512 visible ASCII characters",
        ),
        ("[slots]\ntotal = 0", "slots.total: 0 is not from 1 to"),
        (
            "[slots]\ninteractive_reserved = 9",
            "slots.interactive_reserved: with slots.jobs_reserved = 2",
        ),
        ("[jobs]\nqueued_max = 0", "jobs.queued_max: must be at least 1"),
        (
            "[events]\nmax_age = \"0s\"",
            "events.max_age: must be longer than 0s",
        ),
        (
            "[events]\nmax_age = \"7d 1s\"",
            "events.max_age: must be at most 7d: handled events are not remembered for longer",
        ),
    ];
    for (text, expected) in cases {
        let errors = refused(text);
        assert!(
            errors.len() == 1 && errors[0].starts_with(&format!("tripline.toml:2: {expected}")),
            "{errors:?}"
        );
    }
    let broker = "[nats]\nurl = \"nats://a\"\n";
    assert_eq!(
        refused(&format!("{broker}user = \"a\"")),
        ["tripline.toml:3: nats.user: needs nats.password as well"]
    );
    assert_eq!(
        refused(&format!(
            "{broker}user = \"a\"\npassword = \"b\"\ncredentials = \"c\""
        )),
        ["tripline.toml:5: nats.credentials: either this or nats.user"]
    );
}

#[test]
fn plain_http_off_loopback_is_possible_when_it_is_asked_for() {
    load("[http]\nlisten = \"0.0.0.0:7400\"\nallow_plaintext = true\n", &[]).unwrap();
}

#[test]
fn secrets_never_appear_in_what_is_printed() {
    let text = "[auth]\nadmin_token = \"hunter2-hunter2-hunter2\"\n[nats]\nurl = \"nats://a\"\nuser = \"u\"\npassword = \"hunter2\"\n";
    let config = load(text, &[]).unwrap();
    for printed in [
        config.to_toml(),
        config.to_json().to_string(),
        format!("{config:?}"),
    ] {
        assert!(!printed.contains("hunter2"), "{printed}");
        assert!(printed.contains("********"));
    }
    let errors = refused("[nats]\nurl = \"nats://u:hunter2@a\"\n").join("");
    assert!(
        !errors.contains("hunter2") && errors.contains("nats.password"),
        "{errors}"
    );
    assert_eq!(
        refused("[auth]\nadmin_token = 4711\n"),
        ["tripline.toml:2: auth.admin_token: must be a text"]
    );
}

#[test]
fn what_is_printed_can_be_read_again() {
    let config = load(
        "[slots]\ntotal = 12\n[nats]\nembedded_listen = \"[::1]:-1\"\n",
        &[],
    )
    .unwrap();
    assert_eq!(load(&config.to_toml(), &[]).unwrap().to_toml(), config.to_toml());
    assert_eq!(config.to_json()["slots"]["total"], 12);
    assert_eq!(config.to_json()["pipelines"]["dir"], serde_json::Value::Null);
}

#[test]
fn numbers_of_bytes_are_read_with_and_without_a_unit() {
    for (text, bytes) in [
        ("\"2GiB\"", 2 << 30),
        ("\"10 KiB\"", 10 << 10),
        ("1000", 1000),
        ("\"7\"", 7),
    ] {
        let config = load(&format!("[disk]\nfree_min = {text}\n"), &[]).unwrap();
        assert_eq!(config.disk.free_min, Bytes(bytes), "{text}");
    }
}

#[test]
fn the_table_of_the_documentation_names_every_key() {
    let table = Config::markdown_table();
    for key in Config::key_names() {
        assert!(table.contains(&format!("| `{key}` |")), "{key}");
    }
    assert!(
        table.contains("| `slots.total` | `10` | Sessions at once. |"),
        "{table}"
    );
}

#[test]
fn slots_and_the_administrators_token_have_bounds() {
    let slots = |total: u32| load(&format!("[slots]\ntotal = {total}"), &[]);
    assert!(slots(10_000).is_ok());
    assert!(slots(10_001).expect_err("too many")[0].contains("not from 1 to 10000"));
    let token = |chars: usize| load("", &[("TRIPLINE__AUTH__ADMIN_TOKEN", &"x".repeat(chars))]);
    for (chars, legal) in [(15, false), (16, true), (512, true), (513, false)] {
        assert_eq!(token(chars).is_ok(), legal, "{chars} characters");
    }
}

#[test]
fn tests_of_pipelines_take_events_as_old_as_a_server_without_a_configuration() {
    assert_eq!(
        load("", &[]).unwrap().events.max_age,
        tripline_actors::trial::AGE_TAKEN
    );
}
