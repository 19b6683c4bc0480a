//! The self-made authority and certificate: made once, kept, and the certificate made again when its names
//! change or its end is near. The authority stays, so that who trusts `ca.pem` goes on doing so.

use super::files::{self, Readers};
use super::{Error, read_pair};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256 as Hasher};
use std::path::{Path, PathBuf};
use time::{Duration, OffsetDateTime};
use tripline_protocol::{Sha256, Span, Timestamp};

const DAY: Span = Span::from_secs(24 * 3600);
/// How long the authority is valid.
const AUTHORITY_DAYS: i64 = 20 * 365;
/// How long the certificate is valid; less than the 398 days that some clients insist on.
const CERTIFICATE_DAYS: i64 = 390;
/// How long before its end it is made again.
const RENEW_BEFORE: Span = Span::from_secs(30 * 24 * 3600);
/// Clocks of clients may be this much behind.
const BACKDATE: Duration = Duration::days(1);
/// Names that every self-made certificate has.
const OWN_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

struct Paths {
    ca: PathBuf,
    ca_key: PathBuf,
    cert: PathBuf,
    key: PathBuf,
    record: PathBuf,
}

impl Paths {
    fn within(dir: &Path) -> Self {
        Self {
            ca: dir.join("ca.pem"),
            ca_key: dir.join("ca.key"),
            cert: dir.join("server.pem"),
            key: dir.join("server.key"),
            record: dir.join("server.json"),
        }
    }
}

/// What is known of the certificate without taking it apart; written after it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    names: Vec<String>,
    not_after: Timestamp,
    /// Of authority, certificate and key: files of different makings do not pass as one.
    files_sha256: Sha256,
}

/// The certificate for `names` in `dir`, made now if it is not there, is for other names or ends soon.
pub(super) fn load(
    dir: &Path,
    names: &[String],
    now: Timestamp,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, Error> {
    let paths = Paths::within(dir);
    let names = all_names(names);
    if !is_current(&paths, &names, now) {
        make(dir, &paths, &names, now)?;
        tracing::info!(names = ?names, ca = %paths.ca.display(), "made a certificate");
    }
    read_pair(&paths.cert, &paths.key, provider)
}

fn all_names(names: &[String]) -> Vec<String> {
    let own = OWN_NAMES.iter().map(|name| (*name).to_owned());
    let mut all: Vec<String> = own.chain(names.iter().cloned()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn is_current(paths: &Paths, names: &[String], now: Timestamp) -> bool {
    let record = files::read(&paths.record)
        .ok()
        .and_then(|text| serde_json::from_slice::<Record>(&text).ok());
    record.is_some_and(|record| {
        record.names == names
            && record.not_after > now.after(RENEW_BEFORE)
            && digest(paths).is_ok_and(|found| found == record.files_sha256)
    })
}

fn digest(paths: &Paths) -> Result<Sha256, Error> {
    let mut hasher = Hasher::new();
    for path in [&paths.ca, &paths.cert, &paths.key] {
        hasher.update(files::read(path)?);
        hasher.update([0]);
    }
    Ok(Sha256::from_digest(&hasher.finalize().into()))
}

fn make(dir: &Path, paths: &Paths, names: &[String], now: Timestamp) -> Result<(), Error> {
    files::make_dir(dir)?;
    let failed = |source| Error::Make {
        names: names.to_vec(),
        source,
    };
    let begin = date(now);
    // Asked for before anything is written: a name that no certificate can carry changes nothing.
    let mut params = CertificateParams::new(names.to_vec()).map_err(failed)?;
    let issuer = authority(paths, begin)?;
    let end = begin + Duration::days(CERTIFICATE_DAYS);
    params.distinguished_name.push(DnType::CommonName, "Tripline");
    (params.not_before, params.not_after) = (begin - BACKDATE, end);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.signed_by(&key, &issuer).map_err(failed)?;
    files::write(&paths.key, key.serialize_pem().as_bytes(), Readers::Owner)?;
    files::write(&paths.cert, certificate.pem().as_bytes(), Readers::All)?;
    let not_after = now.after(Span::from_millis(
        DAY.as_millis() * CERTIFICATE_DAYS.unsigned_abs(),
    ));
    let record = Record {
        names: names.to_vec(),
        not_after,
        files_sha256: digest(paths)?,
    };
    let text = serde_json::to_vec_pretty(&record).map_err(|error| Error::File {
        action: "write",
        path: paths.record.clone(),
        source: error.into(),
    })?;
    files::write(&paths.record, &text, Readers::All)
}

/// The authority that is there, or a new one. Its name is derived from its key, so that it need not be read
/// back from the certificate, and two authorities never share a name.
fn authority(paths: &Paths, begin: OffsetDateTime) -> Result<Issuer<'static, KeyPair>, Error> {
    let failed = |source| Error::Make {
        names: vec!["authority".to_owned()],
        source,
    };
    let key = match (paths.ca.exists(), paths.ca_key.exists()) {
        (true, false) => {
            return Err(Error::AuthorityKeyMissing {
                ca: paths.ca.clone(),
                key: paths.ca_key.clone(),
            });
        }
        (_, true) => {
            KeyPair::from_pem(&String::from_utf8_lossy(&files::read(&paths.ca_key)?)).map_err(failed)?
        }
        (false, false) => {
            let key = KeyPair::generate().map_err(failed)?;
            files::write(&paths.ca_key, key.serialize_pem().as_bytes(), Readers::Owner)?;
            key
        }
    };
    let params = authority_params(&key, begin).map_err(failed)?;
    if !paths.ca.exists() {
        let certificate = params.self_signed(&key).map_err(failed)?;
        files::write(&paths.ca, certificate.pem().as_bytes(), Readers::All)?;
    }
    Ok(Issuer::new(params, key))
}

fn authority_params(key: &KeyPair, begin: OffsetDateTime) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    let print = Sha256::from_digest(&Hasher::digest(key.subject_public_key_info()).into());
    let short: String = print.as_str().chars().take(12).collect();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("Tripline authority {short}"));
    params.not_before = begin - BACKDATE;
    params.not_after = begin + Duration::days(AUTHORITY_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn date(now: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(now.as_micros()) * 1000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
