//! Folders that change while they are watched.

use super::*;
use std::io::Write;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// Long enough for any machine; a test that passes does not wait for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells a test what was put in force (the number of pipelines) or refused (the text).
struct TellingTarget(UnboundedSender<Result<usize, String>>);

impl RulesTarget for TellingTarget {
    fn set(&self, rules: RuleSet) {
        self.0.send(Ok(count(&rules).0)).unwrap();
    }

    fn refuse(&self, why: &LoadError) {
        self.0.send(Err(why.to_string())).unwrap();
    }
}

fn pipeline(name: &str) -> String {
    format!("name: {name}\non: [A]\njob:\n  steps:\n    - list_processes: {{}}\n")
}

fn watched(folder: &Path) -> (RulesWatch, UnboundedReceiver<Result<usize, String>>) {
    let (sender, told) = unbounded_channel();
    let folders = Folders {
        pipelines: Some(folder.to_owned()),
        jobs: None,
    };
    let in_force = folders.load().unwrap();
    (RulesWatch::start(TellingTarget(sender), folders, &in_force), told)
}

async fn next(told: &mut UnboundedReceiver<Result<usize, String>>) -> Result<usize, String> {
    timeout(PATIENCE, told.recv())
        .await
        .expect("told in time")
        .expect("still watched")
}

#[tokio::test]
async fn a_changed_folder_comes_into_force_and_a_wrong_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), pipeline("a")).unwrap();
    let (_watch, mut told) = watched(folder.path());
    std::fs::write(folder.path().join("b.yaml"), pipeline("b")).unwrap();
    assert_eq!(next(&mut told).await, Ok(2));
    std::fs::write(folder.path().join("b.yaml"), "name: b\n").unwrap();
    let refused = next(&mut told).await.unwrap_err();
    assert!(refused.contains("b.yaml:1:"), "{refused}");
    std::fs::remove_file(folder.path().join("a.yaml")).unwrap();
    std::fs::write(folder.path().join("b.yaml"), pipeline("b")).unwrap();
    // The two changes may be seen one by one.
    while next(&mut told).await != Ok(1) {}
}

#[tokio::test]
async fn going_back_to_the_rules_in_force_after_a_refusal_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    std::fs::write(&file, pipeline("a")).unwrap();
    let (_watch, mut told) = watched(folder.path());
    std::fs::write(&file, "name: a\n").unwrap();
    assert!(next(&mut told).await.is_err());
    std::fs::write(&file, pipeline("a")).unwrap();
    assert_eq!(next(&mut told).await, Ok(1));
}

#[tokio::test]
async fn a_file_written_by_half_changes_nothing_until_the_rest_is_there() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), pipeline("a")).unwrap();
    let (_watch, mut told) = watched(folder.path());
    let whole = pipeline("b");
    let (half, rest) = whole.split_at(whole.find("steps").unwrap());
    let file = folder.path().join("b.yaml");
    std::fs::write(&file, half).unwrap();
    let refused = next(&mut told).await.unwrap_err();
    assert!(refused.contains("b.yaml:"), "{refused}");
    let mut written = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
    written.write_all(rest.as_bytes()).unwrap();
    drop(written);
    assert_eq!(next(&mut told).await, Ok(2));
}

#[test]
fn a_set_whose_files_change_while_they_are_read_is_not_put_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let folders = Folders {
        pipelines: Some(folder.path().to_owned()),
        jobs: None,
    };
    let write = |name: &str| {
        std::fs::write(folder.path().join(format!("{name}.yaml")), pipeline(name)).unwrap();
    };
    write("a");
    let load = || count(&folders.load().unwrap()).0;
    assert_eq!(undisturbed(|| folders.stamps(), load), Some(1));
    let changing = || {
        let read = load();
        write("b");
        read
    };
    assert_eq!(undisturbed(|| folders.stamps(), changing), None);
    assert_eq!(undisturbed(Vec::new, changing), Some(2), "only changes matter");
    // What is no rule file is none of its business: a log that is always written would keep rules from coming into force.
    let others = || {
        for (count, name) in ["log", ".a.yaml.swp", ".hidden.yaml"].into_iter().enumerate() {
            std::fs::write(folder.path().join(name), vec![b'x'; count + 1]).unwrap();
        }
        std::fs::create_dir(folder.path().join("folder.yaml")).unwrap();
        load()
    };
    assert_eq!(undisturbed(|| folders.stamps(), others), Some(2));
}

#[test]
fn files_that_change_whenever_they_are_read_are_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let (sender, mut told) = unbounded_channel();
    let mut keeper = Keeper {
        target: TellingTarget(sender),
        folders: Folders {
            pipelines: Some(folder.path().to_owned()),
            jobs: None,
        },
        seen: Seen::InForce(RuleSet::default().version()),
        disturbed: 0,
    };
    for _ in 0..DISTURBED_MAX {
        assert!(told.try_recv().is_err());
        keeper.disturbed();
    }
    let refused = told.try_recv().unwrap().unwrap_err();
    assert!(refused.contains("changed each of the last 5 times"), "{refused}");
    keeper.disturbed();
    assert!(told.try_recv().is_err(), "it is told once");
    std::fs::write(folder.path().join("a.yaml"), pipeline("a")).unwrap();
    keeper.read(Why::Told);
    assert_eq!(told.try_recv().unwrap(), Ok(1));
    assert_eq!(keeper.disturbed, 0);
}

#[test]
fn a_file_that_was_renamed_is_shown_under_its_new_name() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("a.yaml"), folder.path().join("b.yaml"));
    std::fs::write(&old, pipeline("a")).unwrap();
    let folders = Folders {
        pipelines: Some(folder.path().to_owned()),
        jobs: None,
    };
    let before = folders.load().unwrap();
    std::fs::rename(old, new).unwrap();
    let after = folders.load().unwrap();
    assert_ne!(before.version(), after.version(), "it is put in force");
    let version = |rules: &RuleSet| rules.pipelines().next().unwrap().version().clone();
    assert_eq!(version(&before), version(&after), "the pipeline is the same");
}

#[test]
fn no_folders_are_an_empty_set() {
    assert_eq!(count(&Folders::default().load().unwrap()), (0, 0));
}
