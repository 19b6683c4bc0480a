//! Certificates: made, kept, made again.

use super::*;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls_pki_types::{ServerName, UnixTime};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tripline_protocol::Span;

const DAY: u64 = 24 * 3600;

fn start() -> Timestamp {
    "2026-11-20T14:00:00Z".parse().expect("a time")
}

fn options(dir: &Path, names: &[&str]) -> TlsOptions {
    TlsOptions {
        cert: None,
        key: None,
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        dir: dir.join("tls"),
    }
}

/// Whether a client that trusts `ca.pem` and nothing else accepts the certificate under `name` at `now`.
fn is_accepted(options: &TlsOptions, name: &str, now: Timestamp) -> bool {
    let ca = std::fs::read(options.dir.join("ca.pem")).expect("ca.pem");
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&ca).expect("a certificate"))
        .expect("an authority");
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider)
        .build()
        .expect("a verifier");
    let presented = load(options, now).expect("a certificate");
    let seconds = u64::try_from(now.as_micros() / 1_000_000).expect("after 1970");
    let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    verifier
        .verify_server_cert(&presented.cert[0], &[], &name, &[], at)
        .is_ok()
}

fn files(options: &TlsOptions) -> [Vec<u8>; 3] {
    ["ca.pem", "server.pem", "server.key"].map(|name| std::fs::read(options.dir.join(name)).expect(name))
}

#[test]
fn a_self_made_certificate_is_accepted_by_who_trusts_its_authority() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = options(dir.path(), &["tripline.example", "192.0.2.7"]);
    load(&options, start()).expect("made");
    for name in ["localhost", "127.0.0.1", "::1", "tripline.example", "192.0.2.7"] {
        assert!(is_accepted(&options, name, start()), "{name}");
    }
    assert!(!is_accepted(&options, "other.example", start()));
}

#[test]
fn private_keys_are_readable_by_their_owner_only() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = options(dir.path(), &[]);
    load(&options, start()).expect("made");
    for name in ["server.key", "ca.key"] {
        let mode = std::fs::metadata(options.dir.join(name))
            .expect(name)
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_certificate_in_force_is_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = options(dir.path(), &["a.example"]);
    load(&options, start()).expect("made");
    let before = files(&options);
    load(&options, start().after(Span::from_secs(300 * DAY))).expect("kept");
    assert_eq!(files(&options), before);
}

#[test]
fn other_names_make_another_certificate_of_the_same_authority() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = options(dir.path(), &["a.example"]);
    load(&first, start()).expect("made");
    let before = files(&first);
    let second = options(dir.path(), &["b.example"]);
    load(&second, start()).expect("made again");
    let after = files(&second);
    assert_eq!(after[0], before[0]);
    assert_ne!(after[1], before[1]);
    assert!(is_accepted(&second, "b.example", start()));
    assert!(!is_accepted(&second, "a.example", start()));
}

#[test]
fn a_certificate_near_its_end_is_made_again_and_a_running_server_presents_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = options(dir.path(), &[]);
    let certificates = Certificates::load(options.clone(), start()).expect("made");
    let first = certificates.current.load_full();
    let later = start().after(Span::from_secs(365 * DAY));
    certificates.renew(later).expect("renewed");
    let second = certificates.current.load_full();
    assert_ne!(first.cert, second.cert);
    assert!(is_accepted(&options, "localhost", later));
    assert!(is_accepted(
        &options,
        "localhost",
        later.after(Span::from_secs(60 * DAY))
    ));
}

#[test]
fn a_torn_making_is_repaired() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = options(dir.path(), &[]);
    load(&options, start()).expect("made");
    let other = tempfile::tempdir().expect("a folder");
    let others = self::options(other.path(), &[]);
    load(&others, start()).expect("made");
    std::fs::copy(others.dir.join("server.key"), options.dir.join("server.key")).expect("torn");
    load(&options, start()).expect("made again");
    assert!(is_accepted(&options, "localhost", start()));
}

#[test]
fn an_authority_without_its_key_is_not_replaced_in_silence() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = options(dir.path(), &[]);
    load(&options, start()).expect("made");
    std::fs::remove_file(options.dir.join("ca.key")).expect("removed");
    load(&options, start()).expect("still in force");
    let other = TlsOptions {
        names: vec!["b.example".into()],
        ..options.clone()
    };
    assert!(matches!(
        load(&other, start()),
        Err(Error::AuthorityKeyMissing { .. })
    ));
}

#[test]
fn a_name_that_no_certificate_can_carry_changes_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = options(dir.path(), &["bücher.example"]);
    assert!(matches!(load(&options, start()), Err(Error::Make { .. })));
    assert_eq!(std::fs::read_dir(&options.dir).expect("the folder").count(), 0);
}

#[test]
fn own_files_are_used_and_must_fit_each_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let made = options(dir.path(), &[]);
    load(&made, start()).expect("made");
    let own = TlsOptions {
        cert: Some(made.dir.join("server.pem")),
        key: Some(made.dir.join("server.key")),
        ..options(&dir.path().join("unused"), &[])
    };
    load(&own, start()).expect("used");
    assert!(!own.dir.exists());
    let foreign = TlsOptions {
        key: Some(made.dir.join("ca.key")),
        ..own.clone()
    };
    assert!(matches!(load(&foreign, start()), Err(Error::Unusable { .. })));
    let half = TlsOptions {
        key: None,
        ..own.clone()
    };
    assert!(matches!(
        load(&half, start()),
        Err(Error::HalfConfigured {
            missing: "tls_key",
            ..
        })
    ));
    let no_pem = TlsOptions {
        cert: Some(made.dir.join("server.json")),
        ..own
    };
    assert!(matches!(
        load(&no_pem, start()),
        Err(Error::NotPem {
            expected: "a certificate",
            ..
        })
    ));
}
