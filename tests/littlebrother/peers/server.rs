//! The real server.

use super::ini::Ini;
use super::programs::little_brother;
use super::{Database, PATIENT_SECONDS, Person, SECRET};
use crate::harness::{Process, Site, eventually, free_port};
use serde_json::Value;
use std::path::PathBuf;

/// Letters only, as it goes through a form.
const ADMIN_PASSWORD: &str = "administrator";

/// What a person may do, by the server's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Anything at any time, apart from what is prohibited.
    Free,
    /// Nothing: no time at all on any day.
    Never,
}

/// `run_little_brother.py` as a server, with its database; it looks every second.
pub(crate) struct RealServer {
    process: Process,
    folder: PathBuf,
    config: PathBuf,
    port: u16,
    database: Option<Database>,
}

impl RealServer {
    /// Starts one that knows these people, and waits until it answers.
    pub(crate) async fn start(site: &Site, people: &[(&Person, Rule)]) -> Self {
        Self::start_with(site, people, PATIENT_SECONDS).await
    }

    /// The same with the longest time that clients may be without it.
    pub(crate) async fn start_with(site: &Site, people: &[(&Person, Rule)], silence_seconds: u64) -> Self {
        let mut server = Self::prepare(site, people, silence_seconds);
        server.make_database(people).await;
        server.spawn().await;
        server
    }

    fn prepare(site: &Site, people: &[(&Person, Rule)], silence_seconds: u64) -> Self {
        let folder = site.path("real-server");
        let port = free_port();
        let users: Vec<String> = people
            .iter()
            .map(|(person, _)| format!("{}:{}", person.login, person.uid))
            .collect();
        let silence = silence_seconds.to_string();
        let mut ini = Ini::default()
            .section("MasterConnector", &[("access_token", SECRET)])
            .section(
                "StatusServer",
                &[
                    ("host", "127.0.0.1"),
                    ("port", &port.to_string()),
                    ("app_secret", "of the session cookies"),
                ],
            )
            .section(
                "UnixUserHandler",
                &[
                    ("admin_username", "admin"),
                    ("admin_password", ADMIN_PASSWORD),
                    ("user_list", &users.join(",")),
                ],
            )
            .section(
                "Persistence",
                &[
                    ("database_driver", "sqlite"),
                    ("sqlite_dir", folder.to_str().expect("UTF-8")),
                    ("sqlite_filename", "server.sqlite"),
                ],
            )
            .section(
                "AppControl",
                &[
                    ("hostname", "the-real-server"),
                    ("scan_active", "False"),
                    ("check_interval", "1"),
                    ("kill_process_delay", "4"),
                    ("maximum_time_without_send_events", &silence),
                    ("min_activity_duration", "0"),
                ],
            )
            .section("VersionChecker", &[("check_interval_in_days", "0")]);
        for (person, rule) in people {
            let pattern = person.games();
            let mut entries = vec![("username", person.login), ("process_name_pattern", &pattern)];
            if *rule == Rule::Never {
                entries.push(("max_time_per_day", "0s"));
            }
            ini = ini.section(&format!("RuleSet{}", person.login), &entries);
        }
        let mut mapping = vec![("server_group".to_owned(), "default-group".to_owned())];
        for (index, user) in users.iter().enumerate() {
            mapping.push((format!("mapping_entries[{index}]"), user.clone()));
        }
        let mapping: Vec<(&str, &str)> = mapping.iter().map(|(key, value)| (&**key, &**value)).collect();
        Self {
            process: Process::new("the real server", site.path("real-server.log")),
            config: site.write(
                "real-server/server.config",
                ini.section("LoginMapping", &mapping).text(),
            ),
            folder,
            port,
            database: None,
        }
    }

    /// The program makes the tables and, from the rule sets, the users, which are not active at first and have no
    /// prohibited pattern.
    async fn make_database(&mut self, people: &[(&Person, Rule)]) {
        self.run(&["--create-databases", "--upgrade-databases=head", "--single-run"]);
        let status = self.process.end().await;
        assert!(status.success(), "no database: {status}\n{}", self.process.log());
        let database = Database::open(&self.folder.join("server.sqlite"));
        for (person, _) in people {
            database.rows(&format!(
                "update user set active = 1, prohibited_process_name_pattern = '{}' where username = '{}'",
                person.bad_ones(),
                person.login
            ));
        }
        self.database = Some(database);
    }

    fn run(&mut self, options: &[&str]) {
        let mut command = little_brother();
        command
            .args(["--config".as_ref(), self.config.as_os_str()])
            .args(["--no-log-filter", "--loglevel", "WARN", "--pidfile"])
            .arg(self.folder.join("pid"))
            .args(options)
            .current_dir(&self.folder);
        self.process.spawn(command);
    }

    /// Starts it and waits until it answers.
    pub(crate) async fn spawn(&mut self) {
        self.run(&[]);
        let url = format!("{}/health", self.url());
        eventually("the real server answers", async || {
            if let Some(status) = self.process.has_ended() {
                panic!("the real server ended: {status}\n{}", self.process.log());
            }
            let answer = reqwest::get(&url).await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// The page that shows its clients, as the administrator sees it.
    pub(crate) async fn topology(&self) -> String {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client");
        let url = format!("{}/login", self.url());
        let form = client.get(&url).send().await.expect("a form");
        let session = cookie(&form);
        let token = between(
            &form.text().await.expect("a text"),
            "name=\"csrf_token\" value=\"",
            "\"",
        );
        let body = format!("csrf_token={token}&username=admin&password={ADMIN_PASSWORD}");
        let login = client
            .post(&url)
            .header("cookie", session)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        let login = login.send().await.expect("an answer");
        let page = client
            .get(format!("{}/topology", self.url()))
            .header("cookie", cookie(&login));
        let page = page.send().await.expect("an answer");
        assert_eq!(page.status().as_u16(), 200, "the login was taken");
        page.text().await.expect("a text")
    }

    fn database(&self) -> &Database {
        self.database.as_ref().expect("it was made")
    }

    /// Its process table of a host: who, pid, start, end, downtime.
    pub(crate) fn processes(&self, hostname: &str) -> Vec<Value> {
        self.database().rows(&format!(
            "select * from process_info where hostname = '{hostname}' order by id"
        ))
    }

    /// Its log of events from and to a host.
    pub(crate) fn events(&self, hostname: &str, event_type: &str) -> Vec<Value> {
        self.database().rows(&format!(
            "select * from admin_event where hostname = '{hostname}' and event_type = '{event_type}' order by id"
        ))
    }

    /// Waits for an entry of its process table.
    pub(crate) async fn process_of(
        &self,
        hostname: &str,
        pid: u32,
        what: &str,
        is_it: impl Fn(&Value) -> bool,
    ) -> Value {
        eventually(&format!("the real server's entry of {pid} {what}"), async || {
            self.processes(hostname)
                .into_iter()
                .find(|row| row["pid"] == pid && is_it(row))
        })
        .await
    }
}

/// The cookie that an answer sets.
fn cookie(answer: &reqwest::Response) -> String {
    let header = answer.headers().get("set-cookie").expect("a cookie");
    let text = header.to_str().expect("ASCII");
    text.split(';').next().unwrap_or_default().to_owned()
}

fn between(text: &str, before: &str, after: &str) -> String {
    let (_, rest) = text.split_once(before).expect("the beginning");
    let (found, _) = rest.split_once(after).expect("the end");
    found.to_owned()
}
