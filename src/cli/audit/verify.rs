//! `tripline audit verify`: reads every record and says whether the chains are as they were written.

use super::super::connection::data_dir;
use super::super::{Client, Failure, Global, chain as causes};
use super::finding::{Finding, Outcome, tell};
use super::{chains, chunk, lines};
use crate::audit::{Broken, FileError, Verified, Verifier, verify_lines};
use crate::nats::ConnectionInfo;
use crate::nats::audit::{Copy, CopyOptions};
use clap::Args;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use tripline_protocol::Subjects;
use tripline_protocol::audit::{AuditChain, AuditMark, AuditRecord};

pub(super) const EXAMPLES: &str = "The head that it prints is worth noting: with it, a tail that somebody cuts off later is found.\n\n\
    Examples:\n  tripline audit verify\n  tripline audit verify --org acme --head 4711:9f86d0…\n  \
    tripline audit verify --copy\n  tripline audit verify --file acme.jsonl";

#[derive(Debug, Args)]
pub(in super::super) struct Verify {
    /// Only this chain: an org, or _ for what concerns the server itself [default: all]
    #[arg(long, value_name = "ORG|_")]
    org: Option<String>,
    /// A place in the chain that was noted before, as verify prints it; several of them in several options
    #[arg(long, value_name = "N:SHA256", value_parser = mark, requires = "org")]
    head: Vec<AuditMark>,
    /// Verify an export, without a server
    #[arg(long, value_name = "FILE", conflicts_with_all = ["copy", "nats_url"])]
    file: Option<PathBuf>,
    /// Verify the copy on NATS too, and that the server's own is the same as far as the copy reaches
    #[arg(long)]
    copy: bool,
    /// The broker with the copy [default: that of a local data directory]
    #[arg(long, value_name = "URL", requires = "copy")]
    nats_url: Option<String>,
    /// Who may read it there; the password is taken from TRIPLINE_NATS_PASSWORD
    #[arg(long, value_name = "USER", requires = "nats_url")]
    nats_user: Option<String>,
    /// CA (PEM) of the broker's certificate
    #[arg(long, value_name = "FILE", requires = "nats_url")]
    nats_ca: Option<PathBuf>,
    /// First words of the subjects there
    #[arg(long, value_name = "WORDS", default_value = "tripline", requires = "copy")]
    nats_subject_prefix: String,
}

fn mark(text: &str) -> Result<AuditMark, String> {
    let expected = || "expected a number, a colon and the 64 digits of a SHA-256".to_owned();
    let (n, sha256) = text.split_once(':').ok_or_else(expected)?;
    Ok(AuditMark {
        n: n.parse().map_err(|_| expected())?,
        sha256: sha256.parse().map_err(|_| expected())?,
    })
}

pub(super) async fn run(global: &Global, arguments: Verify) -> Result<(), Failure> {
    let mut findings = match &arguments.file {
        Some(path) => of_file(path, &arguments)?,
        None => of_server(global, &arguments).await?,
    };
    if findings.is_empty() {
        let source = if arguments.file.is_some() { "file" } else { "store" };
        findings.push(Finding::nothing(arguments.org.as_deref(), source));
    }
    tell(global.output, &findings)
}

/// Every chain in a file of lines.
fn of_file(path: &Path, arguments: &Verify) -> Result<Vec<Finding>, Failure> {
    let unreadable =
        |error: std::io::Error| Failure::Input(format!("cannot read {}: {error}", path.display()));
    let lines = BufReader::new(File::open(path).map_err(unreadable)?);
    let only = arguments.org.as_deref().map(|org| (org, arguments.head.clone()));
    let chains = verify_lines(lines, only).map_err(|error| match error {
        FileError::Io(error) => unreadable(error),
        other => Failure::Failed(format!("{}: {}", path.display(), causes(&other))),
    })?;
    let findings = chains
        .into_iter()
        .map(|(chain, outcome)| Finding::new(&chain, "file", &Outcome::of(outcome, 1)));
    Ok(findings.collect())
}

/// The chains that the server names, that the copy has, and that is asked for with a place in it or its copy: one that
/// the server does not know may be one that it lost.
async fn of_server(global: &Global, arguments: &Verify) -> Result<Vec<Finding>, Failure> {
    let client = Client::find(global)?;
    let wanted = |org: &str| arguments.org.as_deref().is_none_or(|only| only == org);
    let mut orgs = BTreeSet::new();
    if arguments.copy {
        let options = options(global, arguments)?;
        orgs.extend(Copy::chains(&options).await.map_err(unread)?);
    }
    if arguments.copy || !arguments.head.is_empty() {
        orgs.extend(arguments.org.clone());
    }
    let known = match orgs.is_empty() {
        true => chains(&client, arguments.org.as_deref()).await?,
        false => chains(&client, None).await?,
    };
    orgs.extend(known.iter().map(|chain| chain.org.clone()));
    let mut findings = Vec::new();
    for org in orgs.iter().filter(|org| wanted(org)) {
        let found = match known.iter().find(|chain| chain.org == *org) {
            Some(chain) => of_chain(&client, global, arguments, chain).await?,
            None => of_lost(&client, global, arguments, org).await?,
        };
        findings.extend(found);
    }
    Ok(findings)
}

async fn of_chain(
    client: &Client,
    global: &Global,
    arguments: &Verify,
    chain: &AuditChain,
) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    let mut marks = arguments.head.clone();
    if arguments.copy {
        let copy = of_copy(global, arguments, &chain.org).await?;
        let outcome = Outcome::of(copy, chain.published);
        marks.extend(outcome.sound().map(|sound| sound.last.clone()));
        put_on_record(client, &chain.org, "nats", &outcome).await?;
        findings.push(Finding::new(&chain.org, "nats", &outcome));
    }
    let outcome = Outcome::of(of_store_now(client, chain.clone(), &marks).await?, 1);
    put_on_record(client, &chain.org, "store", &outcome).await?;
    findings.push(Finding::new(&chain.org, "store", &outcome));
    Ok(findings)
}

/// A chain that the server did not name. Nothing of it goes on the server's record: that would begin the chain anew.
async fn of_lost(
    client: &Client,
    global: &Global,
    arguments: &Verify,
    org: &str,
) -> Result<Vec<Finding>, Failure> {
    match chunk(client, org, 1).await {
        // It began a moment ago.
        Ok(found) if !found.is_empty() => {
            let mut findings = Vec::new();
            for chain in chains(client, Some(org)).await? {
                findings.extend(of_chain(client, global, arguments, &chain).await?);
            }
            return Ok(findings);
        }
        Ok(_) => {}
        // The copy is of all orgs, and this token is of one.
        Err(error) if arguments.org.is_none() && error.is_not_allowed() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    }
    let mut findings = Vec::new();
    let mut number = 1;
    if arguments.copy {
        let outcome = Outcome::of(of_copy(global, arguments, org).await?, 1);
        number = outcome.sound().map_or(1, |sound| sound.first);
        findings.push(Finding::new(org, "nats", &outcome));
    }
    let what = "missing, and all others: the server has no such chain".to_owned();
    let lost = Outcome::Broken(Broken { number, what });
    findings.push(Finding::new(org, "store", &lost));
    Ok(findings)
}

/// The server keeps on record what was found.
async fn put_on_record(client: &Client, chain: &str, source: &str, outcome: &Outcome) -> Result<(), Failure> {
    let verified = outcome.to_verified(source);
    client.tell(&["audit", chain, "verified"], &verified).await
}

fn unread(error: crate::nats::audit::Error) -> Failure {
    Failure::Unavailable(format!("cannot {}", causes(&error)))
}

/// What is pruned while it is read is missing and not wrong: then it is read once more.
async fn of_store_now(
    client: &Client,
    chain: AuditChain,
    marks: &[AuditMark],
) -> Result<Result<Option<Verified>, Broken>, Failure> {
    let outcome = of_store(client, &chain, marks.to_vec()).await?;
    if outcome.is_ok() {
        return Ok(outcome);
    }
    let now = chains(client, Some(&chain.org)).await?.into_iter().next();
    match now.filter(|now| now.first != chain.first) {
        Some(now) => of_store(client, &now, marks.to_vec()).await,
        None => Ok(outcome),
    }
}

async fn of_store(
    client: &Client,
    chain: &AuditChain,
    marks: Vec<AuditMark>,
) -> Result<Result<Option<Verified>, Broken>, Failure> {
    // The head that the server names is one more place that must be met.
    let mut verifier = Verifier::new(marks.into_iter().chain([chain.head.clone()]));
    let mut next = chain.first.unwrap_or(1);
    loop {
        let found = chunk(client, &chain.org, next).await?;
        if found.is_empty() {
            return Ok(verifier.end(false));
        }
        for line in lines(&found) {
            if let Err(broken) = verifier.take(line) {
                return Ok(Err(broken));
            }
        }
        let reached = verifier.reached();
        if reached >= chain.head.n || reached < next {
            return Ok(verifier.end(false));
        }
        next = reached + 1;
    }
}

/// The copy keeps what its stream's limits leave, so it may begin anywhere. A record that was published twice is
/// there twice and the same, and one that was late is behind its place.
async fn of_copy(
    global: &Global,
    arguments: &Verify,
    chain: &str,
) -> Result<Result<Option<Verified>, Broken>, Failure> {
    let mut copy = Copy::open(&options(global, arguments)?, chain)
        .await
        .map_err(unread)?;
    let mut verifier = Verifier::new(arguments.head.clone());
    let mut seen: BTreeMap<u64, [u8; 32]> = BTreeMap::new();
    let mut early: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    while let Some(line) = copy.next().await.map_err(unread)? {
        let record: Result<AuditRecord, _> = serde_json::from_slice(&line);
        let number = record.map_or(verifier.reached() + 1, |record| record.n);
        let sha256: [u8; 32] = Sha256::digest(&line).into();
        match seen.insert(number, sha256) {
            Some(known) if known == sha256 => continue,
            Some(_) => {
                let what = "there are two of this number, and they differ".to_owned();
                return Ok(Err(Broken { number, what }));
            }
            None => {}
        }
        early.insert(number, line);
        if early.len() >= EARLY_MAX
            && let Err(broken) = take(&mut verifier, &mut early, EARLY_MAX / 2)
        {
            return Ok(Err(broken));
        }
    }
    Ok(take(&mut verifier, &mut early, usize::MAX).and_then(|()| verifier.end(true)))
}

/// Records of the copy that are sorted before they are verified.
const EARLY_MAX: usize = 4096;

fn take(verifier: &mut Verifier, early: &mut BTreeMap<u64, Vec<u8>>, count: usize) -> Result<(), Broken> {
    for _ in 0..count {
        let Some((_, line)) = early.pop_first() else { break };
        verifier.take(&line)?;
    }
    Ok(())
}

fn options(global: &Global, arguments: &Verify) -> Result<CopyOptions, Failure> {
    let subjects: Subjects = arguments
        .nats_subject_prefix
        .parse()
        .map_err(|error| Failure::input(&error))?;
    let Some(url) = arguments.nats_url.clone() else {
        let info = ConnectionInfo::read(&data_dir(global))
            .map_err(|error| Failure::Unavailable(format!("cannot {}", causes(&error))))?;
        return Ok(CopyOptions {
            url: info.url,
            login: Some((info.subscriber.user, info.subscriber.password)),
            ca: None,
            subjects,
        });
    };
    let password = || std::env::var("TRIPLINE_NATS_PASSWORD").unwrap_or_default();
    Ok(CopyOptions {
        url,
        login: arguments.nats_user.clone().map(|user| (user, password())),
        ca: arguments.nats_ca.clone(),
        subjects,
    })
}
