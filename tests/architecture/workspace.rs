//! Manifests and the lock file, read once.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A member of the workspace, as `cargo metadata` tells it.
#[derive(Deserialize)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) license: Option<String>,
    pub(crate) edition: String,
    pub(crate) rust_version: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
    manifest_path: PathBuf,
}

/// A dependency that a manifest names.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) req: String,
    /// `dev`, `build`, or none for those of the program itself.
    pub(crate) kind: Option<String>,
    pub(crate) features: Vec<String>,
}

impl Member {
    /// Names of the dependencies that the program itself has, in manifests order.
    pub(crate) fn shipped(&self) -> impl Iterator<Item = &Dependency> {
        self.dependencies
            .iter()
            .filter(|dependency| dependency.kind.as_deref() != Some("dev"))
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap()
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Member>,
}

/// All members.
pub(crate) fn members() -> &'static [Member] {
    static MEMBERS: OnceLock<Vec<Member>> = OnceLock::new();
    MEMBERS.get_or_init(|| {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
            .current_dir(root())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice::<Metadata>(&output.stdout)
            .unwrap()
            .packages
    })
}

/// The member of that name.
pub(crate) fn member(name: &str) -> &'static Member {
    members()
        .iter()
        .find(|member| member.name == name)
        .unwrap_or_else(|| panic!("no member {name}"))
}

/// The folder of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    #[serde(default)]
    dependencies: Vec<String>,
}

fn lock() -> &'static Lock {
    static LOCK: OnceLock<Lock> = OnceLock::new();
    LOCK.get_or_init(|| toml::from_str(&std::fs::read_to_string(root().join("Cargo.lock")).unwrap()).unwrap())
}

/// Names and versions of everything that is built.
pub(crate) fn locked() -> BTreeSet<(&'static str, &'static str)> {
    lock()
        .package
        .iter()
        .map(|package| (package.name.as_str(), package.version.as_str()))
        .collect()
}

/// Everything that `member` is made of, down to the last, without what only its tests use.
pub(crate) fn made_of(member: &Member) -> BTreeSet<&'static str> {
    let mut below: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in &lock().package {
        // An entry is a name, and a version where the name is there twice; taken together, that finds
        // rather more than less.
        let names = package
            .dependencies
            .iter()
            .filter_map(|entry| entry.split(' ').next());
        below.entry(&package.name).or_default().extend(names);
    }
    let direct: BTreeSet<&str> = member
        .shipped()
        .map(|dependency| dependency.name.as_str())
        .collect();
    let mut found = BTreeSet::new();
    let mut open: Vec<&'static str> = below[member.name.as_str()]
        .iter()
        .copied()
        .filter(|name| direct.contains(name))
        .collect();
    while let Some(name) = open.pop() {
        if found.insert(name) {
            open.extend(below.get(name).into_iter().flatten());
        }
    }
    found
}
