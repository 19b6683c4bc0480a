//! The agent's configuration file.

use crate::input::file_with;
use tripline_agent::config::{Config, Options};

/// It is taken or refused with words.
pub fn run(data: &[u8]) {
    let file = file_with(data, "toml");
    let options = Options {
        config: Some(file.path().to_owned()),
        ..Options::default()
    };
    if let Err(error) = Config::load(options) {
        assert!(!error.to_string().is_empty(), "an error without a word");
    }
}
