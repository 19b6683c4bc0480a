//! `[[services]]`: a list of tables of no section.

use super::*;
use tripline_protocol::Span;
use tripline_protocol::api::Role;

const TWO: &str = r#"data_dir = "/srv/tripline"

[[services]]
name = "yara"
url = "https://yara.example/lc"
secret = "hunter2"

[[services]]
name = "exfil"
url = "http://127.0.0.1:9000/"
secret_file = "/etc/tripline/exfil.secret"
orgs = ["acme", "default"]
deadline = "10m"
attempts = 3
allow_private = true
rights = "operator"

[http]
listen = "127.0.0.1:7401"
"#;

/// Problems of a service with these lines behind its name in line 2.
fn refused_with(lines: &str) -> Vec<String> {
    refused(&format!("[[services]]\nname = \"yara\"\n{lines}"))
}

const RIGHT: &str = "url = \"https://yara.example/\"\nsecret = \"x\"\n";

#[test]
fn services_are_a_list_of_tables_with_defaults() {
    let config = load(TWO, &[]).unwrap();
    let [yara, exfil] = &config.general.services[..] else {
        panic!("{:?}", config.general.services)
    };
    let spec = yara.spec();
    let same: tripline_protocol::api::ServiceSpec =
        serde_json::from_value(serde_json::json!({ "name": "yara", "url": "https://yara.example/lc" }))
            .unwrap();
    assert_eq!(spec, same, "the defaults are those of the API");
    assert_eq!(yara.secret.as_ref().unwrap().expose(), "hunter2");
    assert_eq!(exfil.spec().orgs.len(), 2);
    assert_eq!(exfil.deadline, Span::from_secs(600));
    assert_eq!(
        (exfil.attempts, exfil.allow_private, exfil.rights),
        (3, true, Role::Operator)
    );
    assert_eq!(config.data_dir(), Path::new("/srv/tripline"));
    assert_eq!(config.http.listen.port(), 7401);
}

#[test]
fn what_is_printed_is_the_same_configuration_without_secrets() {
    let config = load(TWO, &[]).unwrap();
    let printed = config.to_toml();
    assert!(
        !printed.contains("hunter2") && printed.contains("********"),
        "{printed}"
    );
    assert!(!config.to_json().to_string().contains("hunter2"));
    let again = load(&printed, &[]).unwrap();
    let specs = |config: &Config| {
        let services = config.general.services.iter();
        services.map(super::Service::spec).collect::<Vec<_>>()
    };
    assert_eq!(specs(&again), specs(&config));
}

#[test]
fn a_changed_service_is_a_changed_key() {
    let config = load(TWO, &[]).unwrap();
    let other = load(&TWO.replace("hunter2", "hunter3"), &[]).unwrap();
    assert_eq!(other.changed(&config), ["services"]);
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (lines, expected) in [
        ("secret = \"x\"\n", "tripline.toml:1: services[0].url: is missing"),
        (
            "url = \"https://yara.example/\"\n",
            "tripline.toml:1: services[0].secret: is missing; this or secret_file is needed",
        ),
        (
            &format!("{RIGHT}secret_file = \"x\"\n"),
            "tripline.toml:5: services[0].secret_file: either this or secret",
        ),
        (
            &format!("{RIGHT}attempts = 0\n"),
            "tripline.toml:5: services[0].attempts: must be 1 to 1000",
        ),
        (
            &format!("{RIGHT}deadline = \"11m\"\n"),
            "tripline.toml:5: services[0].deadline: must be 1s to 10m",
        ),
        (
            &format!("{RIGHT}orgs = []\n"),
            "tripline.toml:5: services[0].orgs: must be 1 to 1000 orgs",
        ),
        (
            &format!("{RIGHT}rights = \"enrol\"\n"),
            "tripline.toml:5: services[0].rights: \"enrol\" is not viewer, operator or admin",
        ),
        (
            &format!("{RIGHT}attempt = 3\n"),
            "tripline.toml:5: services[0].attempt: no such key; did you mean attempts?",
        ),
        (
            &format!("{RIGHT}[[services]]\nname = \"yara\"\n{RIGHT}"),
            "tripline.toml:6: services[1].name: yara is services[0] already",
        ),
        (
            "url = \"http://127.0.0.1/\"\nsecret = \"x\"\nca = \"ca.pem\"\n",
            "tripline.toml:5: services[0].ca: is of use only with https in url",
        ),
        (
            "url = \"https://[::1/\"\nsecret = \"x\"\n",
            "tripline.toml:3: services[0].url: invalid IPv6 address",
        ),
    ] {
        assert_eq!(refused_with(lines), [expected], "{lines}");
    }
    let password = refused_with("url = \"https://ana:hunter2@yara.example/\"\nsecret = \"x\"\n");
    assert_eq!(
        password,
        ["tripline.toml:3: services[0].url: must not contain a user or password"]
    );
    assert_eq!(
        refused("[services]\nname = \"x\"\n"),
        ["tripline.toml:1: services: is a list of tables: write [[services]]"]
    );
    assert_eq!(
        load("", &[("TRIPLINE__SERVICES", "x")]).unwrap_err(),
        [
            "environment variable TRIPLINE__SERVICES: services: \"x\" is not a list of tables, which only the file can have: [[…]]"
        ]
    );
}

#[test]
fn there_are_so_many_and_a_secret_is_so_long() {
    let many = |count: usize| {
        let services = (0..count).map(|n| format!("[[services]]\nname = \"s{n}\"\n{RIGHT}"));
        services.collect::<String>()
    };
    assert!(load(&many(100), &[]).is_ok());
    assert_eq!(
        refused(&many(101)),
        ["tripline.toml:1: services: must be at most 100"]
    );
    let secret = |bytes: usize| {
        format!(
            "url = \"https://yara.example/\"\nsecret = \"{}\"\n",
            "x".repeat(bytes)
        )
    };
    assert!(load(&format!("[[services]]\nname = \"yara\"\n{}", secret(1024)), &[]).is_ok());
    assert_eq!(
        refused_with(&secret(1025)),
        ["tripline.toml:4: services[0].secret: must be at most 1024 bytes"]
    );
}

#[test]
fn tokens_that_travel_in_plain_text_are_warned_of() {
    let warnings = |url: &str| {
        let text = format!("[[services]]\nname = \"yara\"\nurl = \"{url}\"\nsecret = \"x\"\n");
        load(&text, &[]).unwrap().warnings.len()
    };
    for quiet in [
        "https://svc.example/",
        "http://127.0.0.1/",
        "http://[::1]/",
        "http://localhost/",
    ] {
        assert_eq!(warnings(quiet), 0, "{quiet}");
    }
    for loud in ["http://svc.example/", "http://10.0.0.1/"] {
        assert_eq!(warnings(loud), 1, "{loud}");
    }
}
