//! The rings: arrows go from `tripline` to `tripline-actors` to `tripline-protocol`, from `tripline` (its command line)
//! to client and service, and from agent, client and service to the protocol; never the other way, and never to a crate that belongs to another ring.

use crate::workspace::{Member, locked, made_of, member, members, root};
use std::collections::BTreeSet;

/// What each member may know of the others.
const ARROWS: [(&str, &[&str]); 7] = [
    ("tripline-protocol", &[]),
    ("tripline-actors", &["tripline-protocol"]),
    ("tripline-agent", &["tripline-protocol"]),
    ("tripline-client", &["tripline-protocol"]),
    ("tripline-service", &["tripline-protocol"]),
    (
        "tripline",
        &[
            "tripline-protocol",
            "tripline-actors",
            "tripline-client",
            "tripline-service",
        ],
    ),
    // Only for tests: it is shipped to nobody.
    (
        "tripline-fuzz",
        &[
            "tripline-protocol",
            "tripline-actors",
            "tripline-agent",
            "tripline-service",
            "tripline",
        ],
    ),
];

fn knows_none_of(member: &Member, strangers: &[&str]) {
    let all = made_of(member);
    let found: Vec<&str> = strangers
        .iter()
        .copied()
        .filter(|name| all.contains(name))
        .collect();
    assert!(found.is_empty(), "{} is made of {found:?}, too", member.name);
}

#[test]
fn members_know_each_other_one_way_only() {
    let names: BTreeSet<&str> = members().iter().map(|member| member.name.as_str()).collect();
    for member in members() {
        let arrows = ARROWS.iter().find(|(name, _)| *name == member.name);
        let (_, allowed) = arrows.unwrap_or_else(|| panic!("say here what {} may know", member.name));
        let known = member.shipped().map(|dependency| dependency.name.as_str());
        for name in known.filter(|name| names.contains(name)) {
            assert!(allowed.contains(&name), "{} must not know {name}", member.name);
        }
    }
}

#[test]
fn the_protocol_has_no_io_no_clock_and_no_async() {
    let strangers = [
        "tokio",
        "actix",
        "actix-rt",
        "actix-web",
        "sled",
        "async-nats",
        "hyper",
        "rustix",
        "mio",
    ];
    knows_none_of(member("tripline-protocol"), &strangers);
}

#[test]
fn the_actors_have_no_http_and_no_nats() {
    let strangers = [
        "actix-web",
        "actix-http",
        "actix-ws",
        "async-nats",
        "reqwest",
        "hyper",
        "tokio-tungstenite",
    ];
    knows_none_of(member("tripline-actors"), &strangers);
}

#[test]
fn the_agent_has_no_actors_and_no_store() {
    let strangers = [
        "actix",
        "actix-rt",
        "actix-web",
        "sled",
        "async-nats",
        "tripline-actors",
        "tripline",
    ];
    knows_none_of(member("tripline-agent"), &strangers);
}

#[test]
fn the_client_has_nothing_of_the_server() {
    let strangers = [
        "actix",
        "actix-rt",
        "actix-web",
        "sled",
        "async-nats",
        "clap",
        "tripline-actors",
        "tripline",
    ];
    knows_none_of(member("tripline-client"), &strangers);
}

#[test]
fn only_the_server_asks_for_schemas() {
    // The actors are a part of it, and make the schemas of files.
    let server = ["tripline", "tripline-actors"];
    for member in members().iter().filter(|member| !server.contains(&&*member.name)) {
        for dependency in member.shipped() {
            let asks = dependency.features.iter().any(|feature| feature == "openapi");
            assert!(!asks, "{} asks for openapi of {}", member.name, dependency.name);
        }
    }
}

#[test]
fn nothing_brings_http2_or_aws_lc() {
    // h2 0.3 has RUSTSEC-2026-0258; aws-lc is the costliest unit of a build, and ring does the same.
    for (name, version) in locked() {
        assert!(
            name != "h2" && !name.starts_with("aws-lc"),
            "{name} {version} is in Cargo.lock"
        );
    }
    for member in members() {
        for dependency in &member.dependencies {
            assert!(
                !dependency.features.iter().any(|feature| feature == "http2"),
                "{} asks for http2 of {}",
                member.name,
                dependency.name
            );
        }
    }
}

#[test]
fn the_store_is_the_one_that_was_measured() {
    assert!(locked().contains(&("sled", "0.34.7")));
    let sled = member("tripline-actors")
        .shipped()
        .find(|dependency| dependency.name == "sled")
        .unwrap();
    assert_eq!(sled.req, "=0.34.7");
}

#[test]
fn every_member_has_the_licence_the_edition_and_the_compiler_of_the_workspace() {
    for member in members() {
        let facts = (
            member.license.as_deref(),
            member.edition.as_str(),
            member.rust_version.as_deref(),
        );
        assert_eq!(
            facts,
            (Some("MIT OR Apache-2.0"), "2024", Some("1.95")),
            "{}",
            member.name
        );
    }
    for file in ["LICENSE-MIT", "LICENSE-APACHE"] {
        assert!(root().join(file).is_file(), "{file}");
    }
}
