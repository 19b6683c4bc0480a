//! The grammar of the command line.

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

fn refused(line: &str) -> String {
    let error = parse(line).expect_err("this usage is wrong");
    assert_eq!(error.exit_code(), 2, "{line}");
    error.to_string()
}

#[test]
fn the_definition_of_the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_is_understood() {
    for line in [
        "tripline serve",
        "tripline serve --config tripline.toml",
        "tripline demo --keep --verbose",
        "tripline host list --output json",
        "tripline host show web01 --server https://x:1",
        "tripline host list --wide",
        "tripline host link web01 web01.example.org",
        "tripline host unlink web01",
        "tripline host label --output json web01 +dmz -old",
        "tripline host list --label dmz",
        "tripline user list --config tripline.toml",
        "tripline user match amelie --name bash",
        "tripline user match amelie --name java --command-line net.minecraft --config tripline.toml",
        "tripline job submit web01 --file job.yaml --watch",
        "tripline job submit web01 --named contain --param pid=42 --param why=miner",
        "tripline job submit web01 --verb list_processes --args {}",
        "tripline job list --state running --limit 5",
        "tripline job show 7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11",
        "tripline job watch 7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11",
        "tripline job watch --host web01 --state failed --state expired --name contain --org acme",
        "tripline host watch --label dmz --label hot --platform linux --hostname web-* --attached agent",
        "tripline job cancel 7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11",
        "tripline session open web01",
        "tripline session open web01 -c ps --command pwd --idle-timeout 1m --org acme --output json",
        "tripline session list --open --host web01 --state active --owner abc --limit 5",
        "tripline session show 12",
        "tripline session close 7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11",
        "tripline event publish acme.alert.high --data {} --id 7",
        "tripline pipeline check a b --jobs c",
        "tripline pipeline list",
        "tripline pipeline try a.yaml --event - --host none --jobs j --etype a.b --org acme --repeat 3 --every 10s",
        "tripline pipeline schema --jobs",
        "tripline token create --name web --role enrol --uses 3 --expires 24h",
        "tripline token list",
        "tripline token revoke abc",
        "tripline health",
        "tripline health --server https://x:1 --output json",
        "tripline nats info",
        "tripline config check --config tripline.toml",
        "tripline openapi",
        "tripline completion bash",
    ] {
        parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn wrong_usage_is_refused_and_says_what_was_expected() {
    for (line, expected) in [
        ("tripline", "Usage"),
        ("tripline hosts list", "host"),
        (
            "tripline host list --output xml",
            "[possible values: table, json]",
        ),
        ("tripline job submit web01", "--file"),
        (
            "tripline job submit web01 --file a --verb list_processes",
            "cannot be used with",
        ),
        ("tripline job submit web01 --verb list_proceses", "list_processes"),
        (
            "tripline job submit web01 --verb list_processes --param a=1",
            "--named",
        ),
        (
            "tripline job submit web01 --named contain --args {}",
            "cannot be used with",
        ),
        ("tripline job submit web01 --named Contain", "1 to 64 of a-z"),
        (
            "tripline job submit web01 --named contain --param pid",
            "expected KEY=VALUE",
        ),
        ("tripline job show 42", "a UUID"),
        ("tripline job list --state done", "expected queued"),
        ("tripline event publish acme.*", "dot-separated words"),
        ("tripline event publish x --host web01", "a UUID"),
        ("tripline event publish x --time now", "2026-11-20T14:00:00Z"),
        ("tripline pipeline check", "<DIR>"),
        ("tripline pipeline try a.yaml", "--event"),
        (
            "tripline token create --name a --role boss",
            "expected enrol, viewer, operator or admin",
        ),
        (
            "tripline token create --name a --role enrol --expires soon",
            "30s",
        ),
        ("tripline host link web01", "<LITTLEBROTHER_HOST>"),
        ("tripline host label web01", "<CHANGE>"),
        ("tripline host label web01 dmz", "+LABEL"),
        ("tripline user match amelie", "--name"),
        ("tripline completion tcl", "possible values"),
    ] {
        let text = refused(line);
        assert!(text.contains(expected), "{line}: {text}");
    }
}

#[test]
fn every_command_has_help() {
    fn check(command: &clap::Command) {
        assert!(
            command.get_about().is_some(),
            "{} has no help",
            command.get_name()
        );
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let helped = argument.get_help().is_some();
            assert!(helped, "{} {} has no help", command.get_name(), argument.get_id());
        }
        command.get_subcommands().for_each(check);
    }
    check(&Cli::command());
}
