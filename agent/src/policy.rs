//! What the agent's own configuration allows, whatever a server asks for.
//!
//! `paths_denied` limits the verbs that name a path. It cannot limit what a program started by
//! `create_process` opens: whoever wants that leaves the verb out of `verbs_allowed`.

use std::path::{Component, Path, PathBuf};
use tripline_protocol::Fault;
use tripline_protocol::limit::OUTPUT_BYTES_MAX;
use tripline_protocol::verb::{Effect, Verb};

/// The limits in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The only verbs offered; `None`: all that the platform has.
    pub verbs_allowed: Option<Vec<Verb>>,
    /// Nothing at or below these absolute paths is read, written or listed.
    pub paths_denied: Vec<PathBuf>,
    /// Refuses every verb that changes the host.
    pub read_only: bool,
    /// Most bytes captured of stdout and of stderr.
    pub output_bytes_max: u64,
    /// Largest file fetched or written, in bytes; also the largest image of memory.
    pub file_bytes_max: u64,
    /// Whether `get_raw_file` reads block devices. Their content is that of every file on them, whatever
    /// `paths_denied` says.
    pub raw_devices: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            verbs_allowed: None,
            paths_denied: Vec::new(),
            read_only: false,
            output_bytes_max: OUTPUT_BYTES_MAX as u64,
            file_bytes_max: u64::MAX,
            raw_devices: false,
        }
    }
}

impl Policy {
    /// Those of `supported` that may be used, which the agent announces.
    pub fn announced(&self, supported: &[Verb]) -> Vec<Verb> {
        supported
            .iter()
            .copied()
            .filter(|verb| self.admit(*verb, supported).is_ok())
            .collect()
    }

    /// Refuses a verb with `unsupported_verb` or `read_only`.
    pub fn admit(&self, verb: Verb, supported: &[Verb]) -> Result<(), Fault> {
        let allowed = self
            .verbs_allowed
            .as_ref()
            .is_none_or(|allowed| allowed.contains(&verb));
        if !allowed || !supported.contains(&verb) {
            let why = if allowed {
                "this host does not offer"
            } else {
                "this agent's configuration does not allow"
            };
            return Err(Fault::unsupported("unsupported_verb", format!("{why} {verb}")));
        }
        if self.read_only && verb.effect() == Effect::Mutates {
            return Err(Fault::unsupported(
                "read_only",
                format!("this agent only reads, and {verb} changes the host"),
            ));
        }
        Ok(())
    }

    /// Refuses a path that lies at or below a denied one. `resolved` has no symlinks and no `..` left.
    pub fn admit_path(&self, resolved: &Path) -> Result<(), Fault> {
        if self.denies(resolved) {
            let text = format!("this agent's configuration denies {}", resolved.display());
            return Err(Fault::unsupported("path_denied", text));
        }
        Ok(())
    }

    /// Whether a resolved path lies at or below a denied one.
    pub fn denies(&self, resolved: &Path) -> bool {
        // Denied paths are resolved at each use: what they name may have become a symlink since the start.
        self.paths_denied
            .iter()
            .any(|denied| resolved.starts_with(denied) || resolved.starts_with(resolve_existing(denied)))
    }

    /// Refuses a file larger than this agent moves.
    pub fn admit_size(&self, bytes: u64) -> Result<(), Fault> {
        if bytes > self.file_bytes_max {
            let text = format!(
                "the file has {bytes} bytes, this agent moves at most {}",
                self.file_bytes_max
            );
            return Err(Fault::unsupported("file_too_large", text));
        }
        Ok(())
    }
}

/// Resolves symlinks and `..` in the longest part of `path` that exists, and keeps the rest.
fn resolve_existing(path: &Path) -> PathBuf {
    path.ancestors()
        .find_map(|ancestor| {
            let real = ancestor.canonicalize().ok()?;
            let rest = path.strip_prefix(ancestor).ok()?;
            Some(real.join(rest))
        })
        .unwrap_or_else(|| path.to_path_buf())
}

/// Whether a configured path can be compared: absolute and without `..`.
pub(crate) fn is_plain_absolute(path: &Path) -> bool {
    path.is_absolute() && !path.components().any(|part| part == Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_compared_by_whole_names() {
        let policy = Policy {
            paths_denied: vec!["/nonexistent/secret".into()],
            ..Policy::default()
        };
        assert!(policy.denies(Path::new("/nonexistent/secret")));
        assert!(policy.denies(Path::new("/nonexistent/secret/key")));
        assert!(!policy.denies(Path::new("/nonexistent/secrets")));
    }

    #[test]
    fn a_denied_symlink_denies_what_it_points_to() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap().join("real");
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, dir.path().join("link")).unwrap();
        let policy = Policy {
            paths_denied: vec![dir.path().join("link/inner")],
            ..Policy::default()
        };
        assert!(policy.denies(&real.join("inner/file")));
        assert!(!policy.denies(&real.join("other")));
    }

    #[test]
    fn read_only_announces_and_admits_only_what_reads() {
        let supported = [Verb::GetFile, Verb::PutFile, Verb::ListProcesses];
        let policy = Policy {
            read_only: true,
            verbs_allowed: Some(vec![Verb::GetFile, Verb::PutFile]),
            ..Policy::default()
        };
        assert_eq!(policy.announced(&supported), [Verb::GetFile]);
        assert_eq!(
            policy.admit(Verb::PutFile, &supported).unwrap_err().code,
            "read_only"
        );
        assert_eq!(
            policy.admit(Verb::ListProcesses, &supported).unwrap_err().code,
            "unsupported_verb"
        );
        assert_eq!(
            policy.admit(Verb::Memdump, &supported).unwrap_err().code,
            "unsupported_verb"
        );
    }
}
