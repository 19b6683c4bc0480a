//! A folder with what the examples look for on a host, the examples themselves pointed at it, and a stand-in for `nft`.

use super::expected::FILE;
use crate::harness::Site;
use serde_json::Value;
use sha2::Digest;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tripline_protocol::Sha256;

/// What is on the host; the content of each is its path.
const FILES: [&str; 27] = [
    "etc/os-release",
    "etc/passwd",
    "etc/group",
    "etc/hosts",
    "etc/resolv.conf",
    "etc/crontab",
    "etc/cron.d/updater",
    "etc/cron.daily/backup",
    "var/spool/cron/crontabs/amelie",
    "etc/systemd/system/evil.service",
    "usr/local/lib/systemd/system/own.service",
    "etc/profile",
    "etc/ld.so.preload",
    "etc/profile.d/a.sh",
    "root/.bashrc",
    "root/.ssh/authorized_keys",
    "home/amelie/.bashrc",
    "home/amelie/.bash_history",
    "home/amelie/.ssh/authorized_keys",
    "home/amelie/.ssh/known_hosts",
    "home/amelie/.local/share/recently-used.xbel",
    "home/ben/.profile",
    "home/ben/.zsh_history",
    "home/no-home",
    "var/lib/dpkg/status",
    "var/log/dpkg.log",
    "var/log/wtmp",
];
/// A file that an event names; the pipeline that fetches it asks for this beginning of its path.
const EVIDENCE: &str = "/tmp/";
/// How a job's parameter for the root of its files is written, and where its default stands.
const ROOT: &str = "  root:\n    type: string\n    default: \"\"\n";

/// Loads nothing: it remembers whether the table would be there, and says so.
const NFT: &str = r#"#!/bin/sh
case "$*" in
"-f -")
    rules="$(/bin/cat)"
    case "$rules" in
    *chain*) : > "@state" ;;
    *) /bin/rm -f "@state" ;;
    esac ;;
*) if [ -e "@state" ]; then echo "table inet tripline_isolation"; fi ;;
esac
"#;

pub(super) struct Prepared {
    root: PathBuf,
    folder: PathBuf,
    evidence: tempfile::NamedTempFile,
}

impl Prepared {
    pub(super) fn in_folder(site: &Site) -> Self {
        for file in FILES {
            site.write(&format!("root/{file}"), file);
        }
        let root = site.path("root");
        let wants = root.join("etc/systemd/system/multi-user.target.wants");
        std::fs::create_dir_all(&wants).expect("a folder");
        symlink("../evil.service", wants.join("evil.service")).expect("a link");
        let script = NFT.replace("@state", site.path("isolated").to_str().expect("UTF-8"));
        let nft = site.write("nft", script);
        std::fs::set_permissions(&nft, PermissionsExt::from_mode(0o755)).expect("executable");
        let evidence = tempfile::Builder::new()
            .prefix("tripline-evidence-")
            .tempfile_in(EVIDENCE);
        let evidence = evidence.expect("a file");
        std::fs::write(evidence.path(), "evidence/file").expect("written");
        let prepared = Self {
            folder: site.path(""),
            root,
            evidence,
        };
        prepared.copy_examples(site);
        prepared
    }

    /// The examples as they are, but that their files are looked for in the prepared folder.
    fn copy_examples(&self, site: &Site) {
        let root = self.root.to_str().expect("UTF-8");
        let prepared = ROOT.replace("\"\"", &format!("{root:?}"));
        let mut changed = 0;
        for kind in ["pipelines", "jobs"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(kind);
            for entry in std::fs::read_dir(folder).expect("the examples") {
                let path = entry.expect("an entry").path();
                let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
                let text = std::fs::read_to_string(&path).expect("an example");
                changed += usize::from(text.contains(ROOT));
                site.write(&format!("{kind}/{name}"), text.replace(ROOT, &prepared));
            }
        }
        assert!(changed > 5, "only {changed} jobs have a root");
    }

    /// The folders of pipelines and of named jobs.
    pub(super) fn rules(&self) -> (PathBuf, PathBuf) {
        (self.folder.join("pipelines"), self.folder.join("jobs"))
    }

    pub(super) fn nft(&self) -> PathBuf {
        self.folder.join("nft")
    }

    /// Whether the stand-in would have isolated the host.
    pub(super) fn is_isolated(&self) -> bool {
        self.folder.join("isolated").exists()
    }

    /// With the path of the file that is evidence.
    pub(super) fn with_paths(&self, value: &Value) -> Value {
        let path = self.evidence.path().to_str().expect("UTF-8");
        let text = value.to_string().replace(FILE, path);
        serde_json::from_str(&text).expect("JSON")
    }

    /// Of a file, whose content is its path.
    pub(super) fn sha256(&self, file: &str) -> Sha256 {
        Sha256::from_digest(&sha2::Sha256::digest(file).into())
    }
}

/// Of a file of this machine.
pub(super) fn hash(path: &Path) -> Sha256 {
    let content = std::fs::read(path).expect("to read");
    Sha256::from_digest(&sha2::Sha256::digest(content).into())
}
