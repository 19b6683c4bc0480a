//! Users and mappings that may be sent to clients, and those that may not.

use tripline_protocol::littlebrother::*;

fn user(login: &str, pattern: &str) -> UserConfig {
    UserConfig {
        login: login.into(),
        active: true,
        process_name_pattern: pattern.into(),
        prohibited_process_name_pattern: None,
    }
}

fn mapping(group: &str, entries: &[(&str, u32)]) -> LoginMapping {
    LoginMapping {
        server_group: group.into(),
        entries: entries
            .iter()
            .map(|(login, uid)| ((*login).to_owned(), *uid))
            .collect(),
    }
}

#[test]
fn users_with_logins_of_their_own_and_patterns_are_taken() {
    assert_eq!(check_users(&[]), Ok(()));
    let prohibited = UserConfig {
        prohibited_process_name_pattern: Some("\n".into()),
        active: false,
        ..user("DOMAIN\\leon müller", "/usr/bin/.*")
    };
    assert_eq!(check_users(&[user("amelie", "bash"), prohibited]), Ok(()));
    let patterns = user("amelie", "bash").patterns().unwrap();
    assert!(patterns.process.matches("bash") && patterns.prohibited.is_none());
}

#[test]
fn a_user_that_is_wrong_is_named_with_its_place_and_key() {
    let long = "x".repeat(256);
    let wrong = [
        (user("", "bash"), "login", UserProblem::Login),
        (user("a\nb", "bash"), "login", UserProblem::Login),
        (user(&long, "bash"), "login", UserProblem::Login),
        (user("amelie", "bash"), "login", UserProblem::Duplicate),
        (
            user("leon", ""),
            "process_name_pattern",
            InvalidPattern::Empty.into(),
        ),
        (
            user("leon", "\n x \n"),
            "process_name_pattern",
            InvalidPattern::Empty.into(),
        ),
        (
            user("leon", &"x".repeat(TEXT_BYTES_MAX + 1)),
            "process_name_pattern",
            UserProblem::TooLong(TEXT_BYTES_MAX + 1),
        ),
        (
            user("leon", "(?=x)"),
            "process_name_pattern",
            InvalidPattern::Unsupported("look-ahead").into(),
        ),
        (
            UserConfig {
                prohibited_process_name_pattern: Some("a)".into()),
                ..user("leon", "bash")
            },
            "prohibited_process_name_pattern",
            InvalidPattern::Syntax("a ) closes nothing".into()).into(),
        ),
    ];
    for (wrong, key, problem) in wrong {
        let found = check_users(&[user("amelie", "bash"), wrong]);
        assert_eq!(
            found,
            Err(InvalidUser {
                index: 1,
                key,
                problem
            })
        );
    }
}

#[test]
fn mappings_have_each_group_login_and_uid_once() {
    let entries = &[("amelie", 4242), ("leon", 4243)];
    let right = [
        mapping(DEFAULT_GROUP, entries),
        mapping("other", entries),
        mapping("empty", &[]),
    ];
    assert_eq!(check_mappings(&right), Ok(()));
    let wrong = |mapping| check_mappings(&[right[0].clone(), mapping]).unwrap_err();
    assert_eq!(wrong(mapping("", &[])), InvalidMapping::Group(1));
    assert_eq!(
        wrong(mapping(DEFAULT_GROUP, &[])),
        InvalidMapping::DuplicateGroup(1, DEFAULT_GROUP.into())
    );
    assert_eq!(
        wrong(mapping("g", &[("a", 1), ("", 2)])),
        InvalidMapping::Login(1, 1)
    );
    assert_eq!(
        wrong(mapping("g", &[("a", 1), ("b", 1)])),
        InvalidMapping::Duplicate(1, 1, "b".into(), 1)
    );
    assert_eq!(
        wrong(mapping("g", &[("a", 1), ("a", 2)])),
        InvalidMapping::Duplicate(1, 1, "a".into(), 2)
    );
}
