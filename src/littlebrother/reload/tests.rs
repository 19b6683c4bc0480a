//! A configuration file that changes while it is watched.

use super::*;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// Long enough for any machine; a test that passes does not wait for it.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, PartialEq)]
enum Told {
    Set(Option<Settings>),
    Refused(Option<String>),
    /// Names with secrets.
    Services(Vec<(String, String)>),
}

/// A service that is refused though nothing is wrong with the file.
const UNWELCOME: &str = "unwelcome";

struct TellingTarget(UnboundedSender<Told>);

impl SettingsTarget for TellingTarget {
    fn set(&self, settings: Option<Settings>) {
        self.0.send(Told::Set(settings)).unwrap();
    }

    fn set_services(&self, services: Configured) -> Result<(), String> {
        let mut names = services.services.iter().map(|service| &service.spec.name);
        if names.any(|name| name.as_str() == UNWELCOME) {
            return Err("there are too many services".to_owned());
        }
        let named = services.services.iter().map(|service| {
            let secret = service.secret.reveal().to_owned();
            (service.spec.name.to_string(), secret)
        });
        self.0.send(Told::Services(named.collect())).unwrap();
        Ok(())
    }

    fn loaded(&self, changed: &[String], _: &Sha256) {
        assert!(!changed.is_empty());
    }

    fn refuse(&self, why: Option<String>) {
        self.0.send(Told::Refused(why)).unwrap();
    }
}

struct World {
    folder: tempfile::TempDir,
    watch: ConfigWatch,
    told: UnboundedReceiver<Told>,
}

const START: &str = "[littlebrother]\nsecret = \"sesame\"\n";

fn user(login: &str) -> String {
    format!("[[littlebrother.users]]\nlogin = {login:?}\nprocess_name_pattern = \"bash\"\nuid = 7\n")
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tripline.toml");
        std::fs::write(&file, START).unwrap();
        let source = Source {
            file: Some(file),
            ..Source::default()
        };
        let config = source.load().unwrap();
        let (sender, told) = unbounded_channel();
        let watch = ConfigWatch::start(TellingTarget(sender), source, config, Zone::utc());
        Self { folder, watch, told }
    }

    /// Replaces the file, as editors do.
    fn write(&self, text: &str) {
        let new = self.folder.path().join("tripline.toml.new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.folder.path().join("tripline.toml")).unwrap();
    }

    async fn next(&mut self) -> Told {
        timeout(PATIENCE, self.told.recv())
            .await
            .expect("told in time")
            .expect("still watched")
    }

    async fn logins(&mut self) -> Vec<String> {
        match self.next().await {
            Told::Set(Some(settings)) => settings.users.into_iter().map(|user| user.login).collect(),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn changed_users_come_into_force_as_a_whole() {
    let mut world = World::new();
    world.write(&format!(
        "{START}kill_prohibited = false\ncheck_interval = \"7s\"\n{}",
        user("amelie")
    ));
    match world.next().await {
        Told::Set(Some(settings)) => {
            assert_eq!(settings.users[0].login, "amelie");
            assert_eq!(settings.mappings[0].entries, [("amelie".to_owned(), 7)]);
            assert_eq!(settings.check_interval.to_string(), "7s");
            assert!(!settings.kill_prohibited);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_wrong_file_changes_nothing_and_says_why_until_it_is_right() {
    let mut world = World::new();
    world.write(&format!("{START}{}", user("amelie")));
    assert_eq!(world.logins().await, ["amelie"]);
    world.write(&format!(
        "{START}{}",
        user("bela").replace("\"bash\"", "\"(bash\"")
    ));
    match world.next().await {
        Told::Refused(Some(why)) => assert!(why.contains("tripline.toml:5: littlebrother.users[0]"), "{why}"),
        other => panic!("{other:?}"),
    }
    world.write(&format!("{START}{}", user("cem")));
    assert_eq!(world.next().await, Told::Refused(None));
    assert_eq!(world.logins().await, ["cem"]);
}

#[tokio::test]
async fn other_keys_wait_for_the_next_start() {
    let mut world = World::new();
    let text = "[slots]\ntotal = 30\n[littlebrother]\nsecret = \"other\"\norg = \"family\"\ntime_zone = \"Asia/Tokyo\"\n";
    world.write(&format!("{text}{}", user("amelie")));
    match world.next().await {
        Told::Set(Some(settings)) => {
            assert_eq!(settings.users[0].login, "amelie");
            assert_eq!(
                (settings.org.to_string(), settings.zone),
                ("default".to_owned(), Zone::utc())
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_asks_is_told_again_why_the_file_is_refused() {
    let mut world = World::new();
    world.write("[littlebrother\n");
    assert!(matches!(world.next().await, Told::Refused(Some(_))));
    world.watch.reload();
    assert!(matches!(world.next().await, Told::Refused(Some(_))));
}

#[tokio::test]
async fn without_a_file_there_is_nothing_to_read_again() {
    let (sender, mut told) = unbounded_channel();
    let watch = ConfigWatch::start(
        TellingTarget(sender),
        Source::default(),
        Config::default(),
        Zone::utc(),
    );
    watch.reload();
    assert_eq!(told.recv().await, None);
}

fn service(secret: &str) -> String {
    format!("[[services]]\nname = \"yara\"\nurl = \"https://svc.example/\"\n{secret}\n")
}

fn yara(secret: &str) -> Told {
    Told::Services(vec![("yara".to_owned(), secret.to_owned())])
}

#[tokio::test]
async fn changed_services_come_into_force_and_users_are_left_alone() {
    let mut world = World::new();
    world.write(&format!("{}{START}", service("secret = \"a\"")));
    assert_eq!(world.next().await, yara("a"));
    world.write(START);
    assert_eq!(world.next().await, Told::Services(Vec::new()));
    world.write(&format!("{START}{}", user("amelie")));
    assert_eq!(world.logins().await, ["amelie"]);
}

#[tokio::test]
async fn services_that_are_refused_leave_all_the_rest_as_it_was_and_come_when_they_are_right() {
    let mut world = World::new();
    let text = format!("{}{START}{}", service("secret = \"a\""), user("amelie"));
    world.write(&text.replace("yara", UNWELCOME));
    match world.next().await {
        Told::Refused(Some(why)) => assert!(why.contains("too many"), "{why}"),
        other => panic!("{other:?}"),
    }
    // Nobody counts as in force who was refused: asked again, it is refused again.
    world.watch.reload();
    assert!(matches!(world.next().await, Told::Refused(Some(_))));
    world.write(&text);
    assert_eq!(world.next().await, yara("a"));
    assert_eq!(world.next().await, Told::Refused(None));
    assert_eq!(world.logins().await, ["amelie"]);
}

#[tokio::test]
async fn a_secret_that_changed_in_its_file_is_in_force_when_somebody_asks() {
    let mut world = World::new();
    let file = world.folder.path().join("yara.secret");
    let of_file = service(&format!("secret_file = {:?}", file.display().to_string()));
    world.write(&format!("{of_file}{START}"));
    match world.next().await {
        Told::Refused(Some(why)) => assert!(why.contains("read secret_file"), "{why}"),
        other => panic!("{other:?}"),
    }
    std::fs::write(&file, "a\n").unwrap();
    world.watch.reload();
    assert_eq!(world.next().await, yara("a"));
    assert_eq!(world.next().await, Told::Refused(None));
    std::fs::write(&file, "b\n").unwrap();
    world.watch.reload();
    assert_eq!(world.next().await, yara("b"));
}
