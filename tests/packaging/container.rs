//! The container and the compose file, as far as they can be checked without a daemon: files, names and ports are
//! those of the repository and of the programs.

use crate::settings::packaged;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use tripline::config::Config;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What is built for containers: the server, and the example of a service.
const DOCKERFILES: [&str; 2] = ["Dockerfile", "greeter.Dockerfile"];

/// The instructions of a Dockerfile, continued lines joined, comments left out.
fn instructions(file: &str) -> Vec<(String, String)> {
    let text = packaged(&format!("docker/{file}")).replace("\\\n", " ");
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(' '))
        .map(|(instruction, rest)| (instruction.to_owned(), rest.trim().to_owned()))
        .collect()
}

/// What follows an instruction in the server's, wherever it stands.
fn all(instruction: &str) -> Vec<String> {
    all_of("Dockerfile", instruction)
}

/// The same in one of them.
fn all_of(file: &str, instruction: &str) -> Vec<String> {
    let found = instructions(file)
        .into_iter()
        .filter(|(name, _)| name == instruction);
    let found: Vec<String> = found.map(|(_, rest)| rest).collect();
    assert!(!found.is_empty(), "no {instruction} in {file}");
    found
}

/// The variables that the image sets.
fn environment() -> Vec<(String, String)> {
    let words = all("ENV").join(" ");
    words
        .split_whitespace()
        .map(|word| word.split_once('=').unwrap_or_else(|| panic!("{word}")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn compose() -> Value {
    serde_saphyr::from_str(&packaged("docker/compose.yaml")).expect("YAML")
}

/// A text with its variables replaced: `${NAME:-default}` and `${NAME:?why}`, which becomes `sesame`.
fn replaced(text: &str) -> String {
    let Some((before, rest)) = text.split_once("${") else {
        return text.to_owned();
    };
    let (variable, after) = rest.split_once('}').expect("a closing brace");
    let value = variable.split_once(":-").map_or("sesame", |(_, default)| default);
    format!("{before}{value}{}", replaced(after))
}

/// The texts of a list.
fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
    items
        .iter()
        .map(|item| replaced(item.as_str().expect("a text")))
        .collect()
}

/// A path of the compose file, from its folder.
fn beside_compose(path: &str) -> PathBuf {
    root().join("packaging/docker").join(path)
}

#[test]
fn what_images_copy_is_there_and_reaches_the_builder() {
    let copies = DOCKERFILES
        .iter()
        .flat_map(|file| all_of(file, "COPY").into_iter().map(move |copy| (file, copy)));
    for (file, copy) in copies {
        let ignored = packaged(&format!("docker/{file}.dockerignore"));
        if copy.starts_with("--from=") {
            continue;
        }
        let words: Vec<&str> = copy.split_whitespace().collect();
        for source in &words[..words.len() - 1] {
            assert!(root().join(source).exists(), "COPY {source}");
            let allowed = |line: &str| {
                let pattern = line.strip_prefix('!').unwrap_or_default();
                pattern == *source
                    || pattern
                        .strip_suffix('*')
                        .is_some_and(|start| source.starts_with(start))
            };
            assert!(
                ignored.lines().any(allowed),
                "{source} is not sent to the builder"
            );
        }
    }
}

#[test]
fn the_builder_gets_every_file_that_the_manifests_name() {
    // A workspace is read whole, so every member, and what is beside its sources in a manifest, has to be there.
    let copied = DOCKERFILES.map(|file| all_of(file, "COPY").join(" "));
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo");
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("JSON");
    let mut seen = 0;
    for package in metadata["packages"].as_array().expect("packages") {
        for target in package["targets"].as_array().expect("targets") {
            let kinds = texts(&target["kind"]);
            // Tests are found by their folders, and a folder that is not there has none.
            if kinds.iter().any(|kind| kind == "test" || kind == "example") {
                continue;
            }
            let path = Path::new(target["src_path"].as_str().expect("a path"));
            let below = path.strip_prefix(root()).expect("in the repository");
            let first = below
                .iter()
                .next()
                .and_then(|name| name.to_str())
                .expect("a folder");
            let is_copied = |copied: &String| copied.split_whitespace().any(|word| word == first);
            assert!(copied.iter().all(is_copied), "{} is missing", below.display());
            seen += 1;
        }
    }
    assert!(seen > 5, "only {seen} targets");
}

#[test]
fn images_have_tags_and_the_server_runs_as_nobody_special() {
    let mut images: Vec<String> = DOCKERFILES.iter().flat_map(|file| all_of(file, "ARG")).collect();
    images.push(
        compose()["services"]["nats"]["image"]
            .as_str()
            .expect("an image")
            .replacen("nats", "NATS=nats", 1),
    );
    for image in images {
        let (_, image) = image.split_once('=').unwrap_or_else(|| panic!("{image}"));
        let (_, tag) = image
            .split_once(':')
            .unwrap_or_else(|| panic!("{image} has no tag"));
        assert!(tag.starts_with(|first: char| first.is_ascii_digit()), "{image}");
    }
    assert_eq!(all("USER"), ["7443:7443"]);
    assert!(
        all("RUN")
            .iter()
            .any(|run| run.contains("useradd --system --uid 7443"))
    );
}

#[test]
fn the_service_listens_where_its_image_says_and_runs_as_nobody_special() {
    let file = "greeter.Dockerfile";
    assert_eq!(all_of(file, "ENV"), ["PORT=8080"]);
    assert_eq!(all_of(file, "EXPOSE"), ["8080"]);
    assert_eq!(all_of(file, "USER"), ["7444:7444"]);
    assert!(
        all_of(file, "RUN")
            .iter()
            .any(|run| run.contains("useradd --system --uid 7444"))
    );
    let manifest = std::fs::read_to_string(root().join("service/Cargo.toml")).expect("a manifest");
    assert!(
        manifest.contains("name = \"greeter\""),
        "there is such an example"
    );
    assert!(
        all_of(file, "RUN")
            .iter()
            .any(|run| run.contains("--features server --example greeter"))
    );
}

#[test]
fn the_images_variables_and_its_port_are_the_servers() {
    let config = Config::load(None, environment()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.http.tls_listen.to_string(), "0.0.0.0:7443");
    assert_eq!(all("EXPOSE"), [config.http.tls_listen.port().to_string()]);
    assert_eq!(all("VOLUME"), [config.data_dir().display().to_string()]);
}

#[test]
fn the_image_asks_its_health_by_a_command_that_the_server_has() {
    use clap::Parser;
    let health = all("HEALTHCHECK").join(" ");
    let (_, command) = health.split_once("CMD ").expect("a command");
    for arguments in [
        command.to_owned(),
        all("ENTRYPOINT").join("").replace(']', ",") + &all("CMD").join("")[1..],
    ] {
        let arguments: Vec<String> =
            serde_json::from_str(&arguments).unwrap_or_else(|error| panic!("{arguments}: {error}"));
        let known = tripline::cli::Cli::try_parse_from(&arguments);
        assert!(known.is_ok(), "{arguments:?}: {}", known.expect_err("an error"));
    }
    assert!(command.contains("health"), "{command}");
}

#[test]
fn the_compose_files_server_is_configured_by_names_that_it_knows() {
    let server = &compose()["services"]["server"];
    let mut variables = environment();
    for (name, value) in server["environment"].as_object().expect("variables") {
        variables.push((name.clone(), replaced(value.as_str().expect("a text"))));
    }
    let config = Config::load(None, variables).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.nats.user.as_deref(), Some("server"));
    assert_eq!(texts(&server["ports"]), ["7443:7443"]);
    let grace = server["stop_grace_period"].as_str().expect("a time");
    let grace: u64 = grace.trim_end_matches('s').parse().expect("seconds");
    assert!(grace > config.drain.timeout.to_duration().as_secs());
}

#[test]
fn the_compose_files_folders_volumes_and_networks_are_there() {
    let compose = compose();
    let names =
        |key: &str| -> Vec<String> { compose[key].as_object().expect("names").keys().cloned().collect() };
    let (volumes, networks) = (names("volumes"), names("networks"));
    for service in compose["services"].as_object().expect("services").values() {
        for volume in texts(&service["volumes"]) {
            let (source, _) = volume.split_once(':').expect("a place");
            let known = volumes.iter().any(|name| name == source) || beside_compose(source).exists();
            assert!(known, "{volume}");
        }
        for network in texts(&service["networks"]) {
            assert!(networks.contains(&network), "{network}");
        }
    }
    let build = &compose["services"]["server"]["build"];
    let context = beside_compose(build["context"].as_str().expect("a folder"));
    assert!(
        context
            .join(build["dockerfile"].as_str().expect("a file"))
            .is_file()
    );
}

#[test]
fn no_port_of_the_broker_is_published_and_its_configuration_is_whole() {
    let compose = compose();
    let nats = &compose["services"]["nats"];
    assert_eq!(nats["ports"], Value::Null);
    assert_eq!(compose["networks"]["broker"]["internal"], Value::Bool(true));
    assert_eq!(texts(&nats["networks"]), ["broker"]);
    let configuration = std::fs::read_to_string(root().join("nats.conf")).expect("nats.conf");
    let given = nats["environment"].as_object().expect("variables");
    for word in configuration
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("$NATS"))
    {
        assert!(given.contains_key(&format!("NATS{word}")), "$NATS{word}");
    }
    let example = packaged("docker/env.example");
    for name in given.keys() {
        assert!(
            example.contains(&format!("{name}=")),
            "{name} is missing in env.example"
        );
    }
}
