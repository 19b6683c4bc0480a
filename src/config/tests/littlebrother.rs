//! `[littlebrother]`: users, patterns and mappings in lists of tables.

use super::*;

const USERS: &str = r#"[littlebrother]
secret = "hunter2"
time_zone = "Europe/Berlin"

[[littlebrother.users]]
login = "amelie"
process_name_pattern = """
systemd
bash
"""
prohibited_process_name_pattern = "minecraft"
uid = 4242

[[littlebrother.users]]
login = "bela"
active = false
process_name_pattern = "/usr/bin/game"

[[littlebrother.login_mappings]]
server_group = "school"
entries = [["bela", 1001], ["cem", 1002]]
"#;

/// Problems of a text behind a section with a secret; its first line is line 3.
fn refused_in_section(text: &str) -> Vec<String> {
    refused(&format!("[littlebrother]\nsecret = \"hunter2\"\n{text}"))
}

fn warnings(text: &str) -> Vec<String> {
    let config = load(text, &[]).unwrap();
    config
        .warnings
        .iter()
        .map(|warning| {
            let text = warning.to_string();
            text[text.find("tripline.toml").unwrap()..].to_owned()
        })
        .collect()
}

#[test]
fn users_and_mappings_are_lists_of_tables() {
    let config = load(USERS, &[]).unwrap();
    let [amelie, bela] = &config.littlebrother.users[..] else {
        panic!("{:?}", config.littlebrother.users)
    };
    assert_eq!(
        (&*amelie.login, amelie.active, amelie.uid),
        ("amelie", true, Some(4242))
    );
    assert_eq!(amelie.process_name_pattern.0, "systemd\nbash\n");
    assert_eq!(
        amelie.prohibited_process_name_pattern,
        Some(ProhibitedText("minecraft".into()))
    );
    assert_eq!((&*bela.login, bela.active, bela.uid), ("bela", false, None));
    let [school] = &config.littlebrother.login_mappings[..] else {
        panic!("{:?}", config.littlebrother.login_mappings)
    };
    assert_eq!(school.server_group, "school");
    assert_eq!(
        school.entries.0,
        [("bela".to_owned(), 1001), ("cem".to_owned(), 1002)]
    );
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn what_is_printed_of_users_can_be_read_again_and_has_no_secret() {
    let config = load(USERS, &[]).unwrap();
    let printed = config.to_toml();
    assert!(!printed.contains("hunter2"), "{printed}");
    let again = load(&printed, &[]).unwrap();
    assert_eq!(again.littlebrother.users, config.littlebrother.users);
    assert_eq!(
        again.littlebrother.login_mappings,
        config.littlebrother.login_mappings
    );
    assert_eq!(again.to_toml(), printed);
    let json = config.to_json();
    assert_eq!(json["littlebrother"]["users"][0]["login"], "amelie");
    assert_eq!(json["littlebrother"]["login_mappings"][0]["entries"][1][1], 1002);
}

#[test]
fn every_problem_of_a_table_is_named_with_its_place_and_line() {
    let text = r#"
[[littlebrother.users]]
login = 7
proces_name_pattern = "bash"
uid = "x"

[[littlebrother.users]]
login = "bela"
process_name_pattern = "(bash"
prohibited_process_name_pattern = "x"

[[littlebrother.login_mappings]]
entries = [
    ["amelie"],
    ["bela", -1],
    "cem",
]
"#;
    assert_eq!(
        refused_in_section(text).join("\n"),
        "tripline.toml:4: littlebrother.users[0].process_name_pattern: is missing\n\
         tripline.toml:5: littlebrother.users[0].login: 7 is not a text that is not empty\n\
         tripline.toml:6: littlebrother.users[0].proces_name_pattern: no such key; did you mean process_name_pattern?\n\
         tripline.toml:7: littlebrother.users[0].uid: \"x\" is not a whole number from 0 to 4294967295\n\
         tripline.toml:11: littlebrother.users[1].process_name_pattern: not a regular expression: a ( is not closed\n\
         tripline.toml:12: littlebrother.users[1].prohibited_process_name_pattern: no line of two or more \
         characters is left in the pattern: it would match nothing; leave the key out\n\
         tripline.toml:16: littlebrother.login_mappings[0].entries[0]: has 1 items, and must be [\"login\", uid]\n\
         tripline.toml:17: littlebrother.login_mappings[0].entries[1]: -1 is not a uid\n\
         tripline.toml:18: littlebrother.login_mappings[0].entries[2]: \"cem\" is not [\"login\", uid]"
    );
}

#[test]
fn patterns_that_match_nothing_are_refused() {
    for pattern in ["", "x", "a\nb\n"] {
        let text = format!("[[littlebrother.users]]\nlogin = \"a\"\nprocess_name_pattern = {pattern:?}\n");
        let errors = refused_in_section(&text);
        assert!(
            errors.len() == 1
                && errors[0].starts_with(
                    "tripline.toml:5: littlebrother.users[0].process_name_pattern: no line of two or more"
                ),
            "{errors:?}"
        );
    }
}

#[test]
fn a_list_of_tables_must_be_one() {
    assert_eq!(
        refused_in_section("users = [3]\n[littlebrother.login_mappings]\nentries = []\n"),
        [
            "tripline.toml:3: littlebrother.users[0]: 3 is not a table",
            "tripline.toml:4: littlebrother.login_mappings: a TOML table is not a list of tables, which only the file can have: [[…]]",
        ]
    );
    assert_eq!(
        load("", &[("TRIPLINE__LITTLEBROTHER__USERS", "amelie")]).unwrap_err(),
        [
            "environment variable TRIPLINE__LITTLEBROTHER__USERS: littlebrother.users: \"amelie\" is not a list of tables, which only the file can have: [[…]]"
        ]
    );
}

#[test]
fn logins_groups_and_uids_are_there_once() {
    let user = |login: &str, uid: &str| {
        format!("[[littlebrother.users]]\nlogin = {login:?}\nprocess_name_pattern = \"bash\"\n{uid}\n")
    };
    assert_eq!(
        refused_in_section(&(user("amelie", "") + &user("amelie", ""))),
        ["tripline.toml:8: littlebrother.users[1].login: \"amelie\" is littlebrother.users[0] already"]
    );
    assert_eq!(
        refused_in_section(&(user("amelie", "uid = 7") + &user("bela", "uid = 7"))),
        [
            "tripline.toml:10: littlebrother.users[1].uid: uid 7 is in the group \"default-group\" already, as littlebrother.users[0].uid"
        ]
    );
    let mapping = "[[littlebrother.login_mappings]]\nentries = [[\"bela\", 7],\n[\"bela\", 8]]\n";
    assert_eq!(
        refused_in_section(&(user("amelie", "uid = 7") + mapping)),
        [
            "tripline.toml:6: littlebrother.users[0].uid: uid 7 is in the group \"default-group\" already, as littlebrother.login_mappings[0].entries[0]",
            "tripline.toml:9: littlebrother.login_mappings[0].entries[1]: \"bela\" has a uid in the group \"default-group\" already, as littlebrother.login_mappings[0].entries[0]",
        ]
    );
    assert_eq!(
        refused_in_section(&mapping.replace("\"bela\", 8", "\"cem\", 8").repeat(2))[0],
        "tripline.toml:6: littlebrother.login_mappings[1].server_group: \"default-group\" is littlebrother.login_mappings[0] already; put all entries there"
    );
}

#[test]
fn names_and_patterns_have_bounds() {
    let user = |login: &str, pattern: &str| {
        format!("[[littlebrother.users]]\nlogin = {login:?}\nprocess_name_pattern = {pattern:?}\n")
    };
    let mapping = "[[littlebrother.login_mappings]]\nserver_group = \"\\t\"\nentries = []\n";
    assert_eq!(
        refused_in_section(&(user("a\tb", "bash") + &user("amelie", &"x".repeat(4097)) + mapping)),
        [
            "tripline.toml:4: littlebrother.users[0].login: must be 1 to 255 bytes without control characters",
            "tripline.toml:8: littlebrother.users[1].process_name_pattern: is 4097 bytes long, at most 4096 are taken",
            "tripline.toml:10: littlebrother.login_mappings[0].server_group: must be 1 to 255 bytes without control characters",
        ]
    );
    assert_eq!(
        refused_in_section(&user("amelie", "(?=game)")),
        [
            "tripline.toml:5: littlebrother.users[0].process_name_pattern: look-ahead is not supported in patterns"
        ]
    );
}

#[test]
fn values_and_rules_of_the_section_are_checked() {
    let cases = [
        (
            "time_zone = \"Europe/Berlni\"",
            "time_zone: \"Europe/Berlni\" is not a time zone that this machine knows",
        ),
        ("org = \"a b\"", "org: \"a b\" is not an org"),
        (
            "listen = \"7400\"",
            "listen: \"7400\" is not an IP address with a port",
        ),
        (
            "listen = \"127.0.0.1:7443\"",
            "listen: must differ from http.tls_listen",
        ),
        (
            "check_interval = \"200ms\"",
            "check_interval: must be at least 1s",
        ),
        (
            "check_interval = \"50s\"",
            "maximum_time_without_send: must be longer than littlebrother.check_interval",
        ),
        (
            "kill_process_delay = \"1500ms\"",
            "kill_process_delay: must be whole seconds",
        ),
        (
            "kill_prohibitd = true",
            "kill_prohibitd: no such key; did you mean littlebrother.kill_prohibited?",
        ),
    ];
    for (text, expected) in cases {
        let errors = refused_in_section(text);
        assert!(
            errors
                .iter()
                .any(|error| error.contains(&format!("littlebrother.{expected}"))),
            "{errors:?}"
        );
    }
    assert_eq!(
        refused("[littlebrother]\nlisten = \"0.0.0.0:5555\"\n"),
        ["tripline.toml:2: littlebrother.listen: needs littlebrother.secret as well"]
    );
}

#[test]
fn what_is_legal_and_probably_not_meant_is_a_warning() {
    assert_eq!(
        warnings("[littlebrother]\nsecret = \"hunter2\"\n"),
        ["tripline.toml:2: littlebrother.secret: there are no [[littlebrother.users]]: clients watch nobody"]
    );
    let text = r#"[[littlebrother.users]]
login = "amelie"
process_name_pattern = "bash"
[[littlebrother.users]]
login = "bela"
active = false
process_name_pattern = "bash"
[[littlebrother.login_mappings]]
entries = [["cem", 7], ["dora", 8]]
[[littlebrother.login_mappings]]
server_group = "school"
entries = [["cem", 9],
["emil", 8]]
"#;
    assert_eq!(
        warnings(text).join("\n"),
        "tripline.toml:2: littlebrother.users[0].login: \"amelie\" has no uid, here or in a mapping: clients find no process of this user\n\
         tripline.toml:12: littlebrother.login_mappings[1].entries[0]: \"cem\" has uid 9 here and 7 in littlebrother.login_mappings[0].entries[0]: little-brother 0.5.8 clients end no process of such a user\n\
         tripline.toml:13: littlebrother.login_mappings[1].entries[1]: uid 8 is \"emil\" here and \"dora\" in littlebrother.login_mappings[0].entries[1]: little-brother 0.5.8 clients mix them up"
    );
}

#[test]
fn keys_that_differ_are_named_secrets_too() {
    let config = load(USERS, &[]).unwrap();
    let other = load(&USERS.replace("hunter2", "hunter3").replace("cem", "carl"), &[]).unwrap();
    assert_eq!(
        config.changed(&other),
        ["littlebrother.secret", "littlebrother.login_mappings"]
    );
    assert!(config.changed(&config.clone()).is_empty());
}

#[test]
fn the_table_of_the_documentation_names_the_keys_of_tables() {
    let table = Config::markdown_table();
    for row in [
        "| `littlebrother.users[].login` | – |",
        "| `littlebrother.users[].active` | `true` |",
        "| `littlebrother.login_mappings[].server_group` | `\"default-group\"` |",
    ] {
        assert!(table.contains(row), "{table}");
    }
}
