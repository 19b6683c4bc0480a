//! The server's configuration file.

use crate::input::file_with;
use tripline::config::Config;

/// What is taken can be shown, and an error says something.
pub fn run(data: &[u8]) {
    let file = file_with(data, "toml");
    match Config::load(Some(file.path()), std::iter::empty()) {
        Ok(config) => assert!(!config.to_toml().is_empty(), "nothing is in force"),
        Err(error) => assert!(!error.to_string().is_empty(), "an error without a word"),
    }
}
