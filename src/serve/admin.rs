//! The administrator's token: configured, or made at the first start and kept in the data directory.

use super::Error;
use crate::config::Config;
use crate::private::write_private;
use std::path::Path;
use tripline_actors::access::{Access, generate_admin_token};

/// Puts the administrator's token in force.
pub(super) async fn ensure(access: &Access, config: &Config) -> Result<(), Error> {
    let token = match &config.auth.admin_token {
        Some(secret) => secret.expose().to_owned(),
        None => kept(&config.data_dir().join("admin.token"))?,
    };
    access.ensure_admin(&token).await.map_err(Error::Admin)
}

/// Reads it, or makes it and writes it for its owner only.
fn kept(path: &Path) -> Result<String, Error> {
    let failed = |action| {
        let path = path.to_owned();
        move |source| Error::AdminToken { action, path, source }
    };
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let token = generate_admin_token().map_err(Error::Admin)?;
            write_private(path, format!("{token}\n").as_bytes()).map_err(failed("write"))?;
            tracing::info!(file = %path.display(), "administrator's token made");
            Ok(token)
        }
        Err(error) => Err(failed("read")(error)),
    }
}
