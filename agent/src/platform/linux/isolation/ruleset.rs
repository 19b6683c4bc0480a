//! The rules of an isolated host, as text for `nft -f -`. Pure: nothing is run here.
//!
//! All rules stand behind one switch, a set whose elements time out: when they have, the kernel itself lets
//! everything pass again, whatever became of the agent. Every value that goes into the text is an address or a
//! number with a type of its own; no text of others is copied into it.

use crate::platform::isolation::Walls;
use std::fmt::{Display, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tripline_protocol::Network;

const TABLE: &str = "inet tripline_isolation";

/// What comes in. Only answers of the server are let in, no connection of its own: hence the look at the flags.
const INCOMING: &str = "
iif lo accept
ip saddr . tcp sport @server4 tcp flags & (syn | ack) != syn accept
ip6 saddr . tcp sport @server6 tcp flags & (syn | ack) != syn accept
ip saddr @name4 udp sport 53 udp dport 1024-65535 accept
ip saddr @name4 tcp sport 53 tcp flags & (syn | ack) != syn accept
ip6 saddr @name6 udp sport 53 udp dport 1024-65535 accept
ip6 saddr @name6 tcp sport 53 tcp flags & (syn | ack) != syn accept
ip saddr @allow4 accept
ip6 saddr @allow6 accept
icmp type destination-unreachable icmp code frag-needed accept
icmpv6 type packet-too-big accept
icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept
icmpv6 type mld-listener-query ip6 saddr fe80::/10 accept
udp sport 67 udp dport 68 accept
ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept
counter drop";

/// What goes out.
const OUTGOING: &str = "
oif lo accept
ip daddr . tcp dport @server4 accept
ip6 daddr . tcp dport @server6 accept
ip daddr @name4 meta l4proto { tcp, udp } th dport 53 accept
ip6 daddr @name6 meta l4proto { tcp, udp } th dport 53 accept
ip daddr @allow4 accept
ip6 daddr @allow6 accept
icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept
icmpv6 type { mld-listener-report, mld2-listener-report } ip6 hoplimit 1 accept
udp sport 68 udp dport 67 accept
ip6 daddr { fe80::/10, ff02::1:2 } udp sport 546 udp dport 547 accept
counter drop";

/// What is passed on for containers, virtual machines and neighbours.
const FORWARDED: &str = "
counter drop";

/// After addresses were translated and before any other filter: what it drops nobody lets pass, and what it lets pass
/// others may still drop.
const PRIORITY: i32 = -10;

/// Replaces the table, if it is there, by one that cuts the host off for `lasts`.
pub(super) fn raised(walls: &Walls, lasts: Duration) -> String {
    let mut text = lowered();
    let mut table = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    table(&format!("table {TABLE} {{"));
    table(&switch(lasts));
    for set in sets(walls) {
        table(&set);
    }
    for (name, rules) in [
        ("incoming", INCOMING),
        ("outgoing", OUTGOING),
        ("forwarded", FORWARDED),
    ] {
        table(&format!("chain {name} {{{rules}\n}}"));
    }
    for (hook, rules) in [
        ("input", "incoming"),
        ("output", "outgoing"),
        ("forward", "forwarded"),
    ] {
        table(&format!(
            "chain {hook} {{\ntype filter hook {hook} priority {PRIORITY}; policy accept;\nmeta nfproto @switch jump {rules}\n}}"
        ));
    }
    table("}");
    text
}

/// Removes the table. It is added first, so that removing one that is not there is no error.
pub(super) fn lowered() -> String {
    format!("add table {TABLE}\ndelete table {TABLE}\n")
}

/// Whether the table is in a list of them.
pub(super) fn is_listed(tables: &str) -> bool {
    let line = format!("table {TABLE}");
    tables.lines().any(|listed| listed.trim() == line)
}

/// Whole seconds, rounded up, and one at least: a timeout of nothing would be none. nft takes no more than eight digits
/// of milliseconds, little more than a day.
fn switch(lasts: Duration) -> String {
    let seconds = lasts.as_millis().div_ceil(1000).max(1);
    let element = |family: &str| format!("{family} timeout {seconds}s");
    let elements = [element("ipv4"), element("ipv6")];
    set("switch", "type nf_proto; flags timeout", &elements)
}

fn sets(walls: &Walls) -> [String; 6] {
    let (server4, server6) = apart(&walls.server, |address: &SocketAddr| {
        let (ip, port) = (address.ip().to_canonical(), address.port());
        (ip.is_ipv4(), format!("{ip} . {port}"))
    });
    let (name4, name6) = apart(&walls.name_servers, |address: &IpAddr| {
        let address = address.to_canonical();
        (address.is_ipv4(), address.to_string())
    });
    let allow = outermost(&walls.allow);
    let (allow4, allow6) = apart(&allow, |network: &Network| {
        (network.first().is_ipv4(), network.to_string())
    });
    [
        set("server4", "type ipv4_addr . inet_service", &server4),
        set("server6", "type ipv6_addr . inet_service", &server6),
        set("name4", "type ipv4_addr", &name4),
        set("name6", "type ipv6_addr", &name6),
        set("allow4", "type ipv4_addr; flags interval", &allow4),
        set("allow6", "type ipv6_addr; flags interval", &allow6),
    ]
}

/// What is written of each, those of IPv4 and those of IPv6 apart, each once.
fn apart<T>(all: &[T], write: impl Fn(&T) -> (bool, String)) -> (Vec<String>, Vec<String>) {
    let (mut four, mut six) = (Vec::new(), Vec::new());
    for (is_four, text) in all.iter().map(write) {
        let side = if is_four { &mut four } else { &mut six };
        if !side.contains(&text) {
            side.push(text);
        }
    }
    (four, six)
}

/// Without those that lie in another one: intervals of a set must not overlap.
fn outermost(networks: &[Network]) -> Vec<Network> {
    let mut widest = networks.to_vec();
    widest.sort_unstable_by_key(|network| (network.prefix(), *network));
    let mut kept: Vec<Network> = Vec::new();
    for network in widest {
        if !kept.iter().any(|wider| wider.contains(network)) {
            kept.push(network);
        }
    }
    kept
}

fn set(name: &str, kind: &str, elements: &[impl Display]) -> String {
    let mut text = format!("set {name} {{ {kind};");
    if !elements.is_empty() {
        text.push_str(" elements = {");
        for (index, element) in elements.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            // Writing to a string does not fail.
            let _ = write!(text, "{comma} {element}");
        }
        text.push_str(" };");
    }
    text.push_str(" }");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walls() -> Walls {
        Walls {
            server: [
                "192.0.2.1:7443",
                "[2001:db8::1]:7443",
                "[::ffff:192.0.2.2]:7443",
                "192.0.2.1:7443",
            ]
            .map(|text| text.parse().unwrap())
            .to_vec(),
            name_servers: vec!["192.0.2.53".parse().unwrap()],
            allow: ["10.1.2.3", "10.0.0.0/8", "fd00::/8", "10.0.0.0/8"]
                .map(|text| text.parse().unwrap())
                .to_vec(),
        }
    }

    fn lines_of(text: &str, word: &str) -> Vec<String> {
        let lines = text.lines().filter(|line| line.contains(word));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn the_table_is_replaced_in_one_transaction_and_no_other_is_named() {
        let text = raised(&walls(), Duration::from_secs(3600));
        let tables = lines_of(&text, "table");
        assert_eq!(
            tables,
            [
                "add table inet tripline_isolation",
                "delete table inet tripline_isolation",
                "table inet tripline_isolation {"
            ]
        );
        assert!(!text.contains("flush"));
        assert!(text.starts_with(&lowered()));
    }

    #[test]
    fn addresses_go_into_the_set_of_their_family_once() {
        let text = raised(&walls(), Duration::from_secs(3600));
        assert_eq!(
            lines_of(&text, "set "),
            [
                "set switch { type nf_proto; flags timeout; elements = { ipv4 timeout 3600s, ipv6 timeout 3600s }; }",
                "set server4 { type ipv4_addr . inet_service; elements = { 192.0.2.1 . 7443, 192.0.2.2 . 7443 }; }",
                "set server6 { type ipv6_addr . inet_service; elements = { 2001:db8::1 . 7443 }; }",
                "set name4 { type ipv4_addr; elements = { 192.0.2.53 }; }",
                "set name6 { type ipv6_addr; }",
                "set allow4 { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 }; }",
                "set allow6 { type ipv6_addr; flags interval; elements = { fd00::/8 }; }",
            ]
        );
    }

    #[test]
    fn every_way_ends_in_a_drop_behind_the_switch() {
        let text = raised(&Walls::default(), Duration::ZERO);
        assert_eq!(lines_of(&text, "drop").len(), 3);
        assert_eq!(lines_of(&text, "meta nfproto @switch jump").len(), 3);
        assert_eq!(lines_of(&text, "hook").len(), 3);
        assert!(lines_of(&text, "policy drop").is_empty());
        // Nothing passes because it is part of a connection that was there before.
        assert!(!text.contains("ct state"));
        assert!(text.contains("timeout 1s"), "{text}");
    }

    #[test]
    fn it_never_ends_before_its_time_for_want_of_fractions() {
        let text = raised(&Walls::default(), Duration::from_millis(60_001));
        assert!(text.contains("ipv4 timeout 61s"), "{text}");
    }

    #[test]
    fn the_table_is_found_in_a_list_by_its_whole_name() {
        assert!(is_listed("table inet filter\ntable inet tripline_isolation\n"));
        assert!(!is_listed(
            "table inet tripline_isolation2\ntable ip tripline_isolation\n"
        ));
        assert!(!is_listed(""));
    }
}
