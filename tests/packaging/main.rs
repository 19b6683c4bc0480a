//! What is in `packaging`: the units, the packages, the container, held to the programs they are for.
//!
//! `packages` installs the `.deb` of server and agent on a machine of its own with a booted systemd (namespaces,
//! see `machine.sh`) and lives with them until they are purged. It needs cargo-deb, which `make cargo-deb` puts into
//! `.tools`. Where such a machine cannot be had, or systemd-analyze is missing, a test says SKIPPED and why.
//! Deliberately not here: building images, for which there is no daemon.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; clippy excuses only functions marked as tests"
)]

mod container;
mod drop_ins;
#[expect(
    dead_code,
    unused_imports,
    reason = "tests/system uses all of it, this binary a part"
)]
#[path = "../harness/mod.rs"]
mod harness;
mod installed;
mod isolation;
mod machine;
mod packages;
mod settings;
mod units;
mod walk_through;
