//! The agent that other tests give a script to, over `/v1`: it is what they take it for.

use crate::harness::scripted::{Behaviour, Content, Data, Persona, ScriptedAgent, start_all};
use crate::harness::{Api, Server, Site, eventually};
use crate::sessions::{active, bytes, run};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tripline_protocol::Fault;
use tripline_protocol::verb::Verb;

/// A server, its API, one host, and a session with it. Dropped from the last to the first.
struct Scene {
    session: String,
    agent: ScriptedAgent,
    api: Api,
    _server: Server,
    _site: Site,
}

impl Scene {
    async fn with(persona: Persona) -> Self {
        let site = Site::new().await;
        let server = Server::start(&site, &[]).await;
        let api = server.api();
        let token = api.enrol_token().await;
        let agent = ScriptedAgent::start(&server.url(), &token, persona).await;
        let agent = agent.expect("an agent");
        let session = active(&api, agent.host_id()).await;
        Self {
            session,
            agent,
            api,
            _server: server,
            _site: site,
        }
    }

    async fn windows() -> Self {
        Self::with(Persona::windows("win01")).await
    }

    /// A command to its end.
    async fn run(&self, verb: &str, arguments: Value) -> Value {
        run(&self.api, &self.session, verb, arguments).await
    }

    /// The output of a command that succeeds.
    async fn output(&self, verb: &str, arguments: Value) -> Value {
        let mut command = self.run(verb, arguments).await;
        assert_eq!(command["state"], "succeeded", "{command}");
        command["output"].take()
    }

    /// The fault's class and code of a command that fails.
    async fn fault(&self, verb: &str, arguments: Value) -> (String, String) {
        let command = self.run(verb, arguments).await;
        assert_eq!(command["state"], "failed", "{command}");
        let word = |name: &str| command["error"][name].as_str().expect("a word").to_owned();
        (word("class"), word("code"))
    }

    /// The content that a command fetches.
    async fn fetched(&self, verb: &str, arguments: Value) -> Vec<u8> {
        let command = self.run(verb, arguments).await;
        assert_eq!(command["state"], "succeeded", "{command}");
        bytes(
            &self.api,
            &format!("{}/files/{}/content", self.session, command["file"]),
        )
        .await
    }

    /// The SHA-256 of an upload.
    async fn upload(&self, content: Vec<u8>) -> Value {
        let upload = self
            .api
            .request(Method::POST, &format!("{}/files?name=x", self.session));
        let uploaded = upload.body(content).send().await.expect("an answer");
        let mut file: Value = uploaded.json().await.expect("a file");
        file["sha256"].take()
    }

    /// Starts a command and does not wait; its path.
    async fn begin(&self, verb: &str, arguments: Value) -> String {
        let command = json!({"verb": verb, "arguments": arguments});
        let accepted = self
            .api
            .post(&format!("{}/commands", self.session), &command)
            .await;
        assert_eq!(accepted.status, 201, "{accepted:?}");
        format!("{}/commands/{}", self.session, accepted.body["number"])
    }
}

fn of_host(code: &str) -> (String, String) {
    ("live_response".to_owned(), code.to_owned())
}

#[tokio::test]
async fn a_registry_keeps_what_is_written_with_its_type() {
    let scene = Scene::windows().await;
    let key = r"HKLM\Software\Acme";
    let at = |name: &str| json!({"path": format!(r"{key}\{name}")});
    assert_eq!(
        scene.fault("get_registry_value", at("No")).await,
        of_host("0x80070002")
    );
    scene.output("create_registry_key", json!({"path": key})).await;
    for (name, value_type, value) in [
        ("Text", "REG_SZ", json!("it")),
        ("Expandable", "REG_EXPAND_SZ", json!("%TEMP%")),
        ("Number", "REG_DWORD", json!(u32::MAX)),
        ("Long", "REG_QWORD", json!(u64::from(u32::MAX) + 1)),
        ("Texts", "REG_MULTI_SZ", json!(["a", "b"])),
        ("Bytes", "REG_BINARY", json!("AAH/")),
    ] {
        let mut set = at(name);
        set["value"] = value.clone();
        set["value_type"] = json!(value_type);
        scene.output("set_registry_value", set).await;
        let read = scene.output("get_registry_value", at(&name.to_uppercase())).await;
        let expected = json!({"value_name": name, "value_type": value_type, "value_data": value});
        assert_eq!(read, expected);
    }
    let data = scene
        .agent
        .machine()
        .registry
        .get(&format!(r"{key}\bytes"))
        .cloned();
    assert_eq!(data, Ok(Data::Binary(vec![0, 1, 255])));
    for (value, fault) in [
        (
            json!({"path": format!(r"{key}\Text"), "value": 1, "overwrite": false}),
            "0x800700b7",
        ),
        (
            json!({"path": format!(r"{key}\Text"), "value": "x", "value_type": "REG_DWORD"}),
            "0x80070057",
        ),
        (
            json!({"path": r"HKLM\Software\Nobody\Text", "value": "x"}),
            "0x80070002",
        ),
    ] {
        assert_eq!(scene.fault("set_registry_value", value).await, of_host(fault));
    }
    scene
        .output(
            "create_registry_key",
            json!({"path": format!(r"{key}\Below\Deeper")}),
        )
        .await;
    let listed = scene
        .output("list_registry_keys_and_values", json!({"path": key}))
        .await;
    assert_eq!(listed["sub_keys"], json!(["Below"]));
    assert_eq!(listed["values"].as_array().map(Vec::len), Some(6));
    let keys = scene
        .output(
            "list_registry_keys",
            json!({"path": r"HKEY_LOCAL_MACHINE\software"}),
        )
        .await;
    assert_eq!(keys, json!({"sub_keys": ["Acme"]}));
    assert_eq!(
        scene.fault("delete_registry_key", json!({"path": key})).await,
        of_host("0x80070005")
    );
    for below in [r"Below\Deeper", "Below"] {
        scene.output("delete_registry_key", at(below)).await;
    }
    scene.output("delete_registry_value", at("text")).await;
    assert_eq!(
        scene.fault("delete_registry_value", at("text")).await,
        of_host("0x80070002")
    );
}

#[tokio::test]
async fn files_and_dumps_of_a_windows_host_have_the_content_that_was_put_or_made() {
    let scene = Scene::windows().await;
    let generated = Content::Generated {
        seed: 9,
        bytes: 3_000_001,
    };
    scene
        .agent
        .machine()
        .files
        .write(r"C:\Data\big.bin", generated.clone());
    scene.agent.machine().files.lock(r"C:\Data\big.bin");
    let big = json!({"path": r"c:\data\BIG.bin"});
    assert_eq!(scene.fault("get_file", big.clone()).await, of_host("0x80070020"));
    assert!(scene.fetched("get_raw_file", big).await == generated.to_vec());
    let part = json!({"path": "c:/data/big.bin", "offset": 1_000_000, "bytes_max": 300_000});
    assert!(scene.fetched("get_raw_file", part).await == generated.read(1_000_000, 300_000));

    scene.agent.machine().memory_bytes = 2_000_000;
    let dump = r"C:\Windows\Temp\dump";
    scene
        .output("memdump", json!({"path": dump, "compress": true, "pid": 4}))
        .await;
    let memory = scene.agent.machine().memory(Some(4)).to_vec();
    assert!(
        scene
            .fetched("get_file", json!({"path": format!("{dump}.zip")}))
            .await
            == memory
    );

    let content: Vec<u8> = (0..2_500_000_u32).map(|at| (at % 249) as u8).collect();
    let sha256 = scene.upload(content.clone()).await;
    scene
        .output("create_directory", json!({"path": r"C:\Data\In"}))
        .await;
    let put = json!({"path": r"C:\Data\In\x", "artifact": sha256});
    scene.output("put_file", put.clone()).await;
    assert!(scene.fetched("get_file", json!({"path": r"C:\Data\In\x"})).await == content);
    let kept = json!({"path": r"C:\Data\In\x", "content": "other", "overwrite": false});
    assert_eq!(scene.fault("put_file", kept).await, of_host("0x800700b7"));
    scene
        .output(
            "put_file",
            json!({"path": r"C:\Data\In\x", "content_b64": "b3RoZXI="}),
        )
        .await;
    let listed = scene.output("list_directory", json!({"path": r"c:\data"})).await;
    let names: Vec<&Value> = listed["files"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|f| &f["filename"])
        .collect();
    assert_eq!(names, ["big.bin", "In"]);
    let walked = scene.output("walk", json!({"path": r"C:\Data"})).await;
    assert_eq!(walked["files"][2]["filename"], r"In\x");
    assert_eq!(walked["files"][2]["size"], 5);
    assert_eq!(
        scene.fault("delete_file", json!({"path": r"C:\Data\In"})).await,
        of_host("0x80070091")
    );
    scene
        .output("delete_file", json!({"path": r"C:\Data\In\x"}))
        .await;
    let gone = json!({"path": r"C:\Data\In\x"});
    assert_eq!(scene.fault("get_file", gone).await, of_host("0x80070002"));
    assert_eq!(scene.agent.seen().farewells, Vec::<String>::new());
}

#[tokio::test]
async fn programs_run_and_processes_end_and_a_linux_host_has_names_for_errors() {
    let scene = Scene::with(Persona::linux("lin01")).await;
    assert_eq!(
        scene
            .fault("get_registry_value", json!({"path": r"HKLM\x"}))
            .await,
        ("unsupported".to_owned(), "unsupported_verb".to_owned())
    );
    assert_eq!(
        scene.fault("get_file", json!({"path": "/no"})).await,
        of_host("ENOENT")
    );
    assert_eq!(
        scene.fault("list_directory", json!({"path": "/TMP"})).await,
        of_host("ENOENT")
    );
    let pid = scene.agent.machine().processes.start("/bin/miner -x");
    scene.agent.machine().processes.program("id -u", "0\n", 3);
    let listed = scene.output("list_processes", json!({})).await;
    assert_eq!(listed["processes"][1]["command_line"], "/bin/miner -x");
    let recycled = json!({"pid": pid, "start_time": 1});
    assert_eq!(
        scene.fault("kill_process", recycled).await,
        of_host("recycled_pid")
    );
    scene.output("kill_process", json!({"pid": pid})).await;
    assert!(!scene.agent.machine().processes.has(pid));
    assert_eq!(
        scene.fault("kill_process", json!({"pid": pid})).await,
        of_host("ESRCH")
    );
    let protected = ("unsupported".to_owned(), "protected_process".to_owned());
    assert_eq!(scene.fault("kill_process", json!({"pid": 4})).await, protected);
    let directory = json!({"path": "/tmp"});
    assert_eq!(scene.fault("get_file", directory).await, of_host("EISDIR"));
    let ran = scene.output("create_process", json!({"command": "id -u"})).await;
    assert_eq!(
        (&ran["stdout"]["text"], &ran["exit_code"]),
        (&json!("0\n"), &json!(3))
    );
    let started = scene
        .output("create_process", json!({"argv": ["id", "-u"], "wait": false}))
        .await;
    assert_eq!(started["exit_code"], Value::Null);
    assert!(
        scene
            .agent
            .machine()
            .processes
            .has(started["pid"].as_u64().expect("a pid") as u32)
    );
    assert_eq!(
        scene.fault("create_process", json!({"command": "ls"})).await,
        of_host("ENOENT")
    );
}

#[tokio::test]
async fn a_script_says_how_slow_a_host_is_and_how_it_fails() {
    let scene = Scene::windows().await;
    let denied = Fault::live_response("0x80070005", "Access is denied.");
    let slow = Behaviour::After(Duration::from_millis(20));
    scene
        .agent
        .next(Verb::ListProcesses, [Behaviour::Fail(denied), slow]);
    assert_eq!(
        scene.fault("list_processes", json!({})).await,
        of_host("0x80070005")
    );
    scene.output("list_processes", json!({})).await;

    let gate = Arc::new(Semaphore::new(0));
    scene
        .agent
        .always(Verb::ListProcesses, Behaviour::When(Arc::clone(&gate)));
    let first = scene.begin("list_processes", json!({})).await;
    let second = scene.begin("list_processes", json!({})).await;
    gate.add_permits(1);
    scene.api.get(&format!("{first}?wait=30s")).await;
    assert!(scene.agent.until(|seen| seen.commands.len() == 4).await);
    assert_eq!(scene.api.get(&second).await.body["state"], "running");
    gate.add_permits(1);
    assert_eq!(
        scene.api.get(&format!("{second}?wait=30s")).await.body["state"],
        "succeeded"
    );

    scene.agent.next(Verb::ListDirectory, [Behaviour::Never]);
    let endless = scene.begin("list_directory", json!({"path": r"C:\"})).await;
    assert!(scene.agent.until(|seen| seen.commands.len() == 5).await);
    let cancel = scene.api.request(Method::DELETE, &format!("{endless}?wait=30s"));
    let cancelled: Value = cancel
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!(scene.agent.seen().cancellations, 1);

    scene
        .agent
        .machine()
        .files
        .write(r"C:\x", Content::stored("content"));
    scene.agent.next(Verb::GetFile, [Behaviour::WrongHash]);
    let wrong = ("server".to_owned(), "wrong_hash".to_owned());
    assert_eq!(scene.fault("get_file", json!({"path": r"C:\x"})).await, wrong);
}

#[tokio::test]
async fn a_host_loses_its_connection_wherever_its_script_says() {
    let scene = Scene::windows().await;
    let content = Content::Generated {
        seed: 1,
        bytes: 3_000_000,
    };
    scene.agent.machine().files.write(r"C:\x", content.clone());
    let cuts = [
        Behaviour::CutAfter(0),
        Behaviour::CutAfter(1_500_000),
        Behaviour::CutAfter(3_000_000),
    ];
    scene.agent.next(Verb::GetFile, cuts);
    assert!(scene.fetched("get_file", json!({"path": r"C:\x"})).await == content.to_vec());
    let seen = scene.agent.seen();
    assert_eq!((seen.commands.len(), seen.attachments), (4, 4));

    let sha256 = scene.upload(content.to_vec()).await;
    scene.agent.next(Verb::PutFile, [Behaviour::CutAfter(1_000_000)]);
    let put = json!({"path": r"C:\y", "artifact": sha256});
    assert_eq!(scene.fault("put_file", put).await.1, "transfer_cut");
    assert!(scene.agent.machine().files.read(r"C:\y").is_err());

    let set = json!({"path": r"HKLM\Acme\Level", "value": 1});
    let before = Data::Text("none".to_owned());
    let made = scene.agent.machine().registry.set(r"HKLM\Acme\Level", before);
    assert_eq!(made, Ok(()));
    let losses = [Behaviour::DropConnection, Behaviour::Miss];
    scene.agent.next(Verb::SetRegistryValue, losses);
    scene.output("set_registry_value", set.clone()).await;
    scene.output("set_registry_value", set.clone()).await;
    scene.agent.next(Verb::SetRegistryValue, [Behaviour::Die]);
    assert_eq!(
        scene.fault("set_registry_value", set).await,
        ("server".to_owned(), "interrupted".to_owned())
    );
    let all = scene.agent.seen();
    let sets = all
        .commands
        .iter()
        .filter(|call| call.verb() == Verb::SetRegistryValue);
    // The one that was missed came twice; the one that its agent died of did not come again.
    assert_eq!(sets.count(), 4);
}

#[tokio::test]
async fn many_hosts_come_and_go_and_keep_their_results_meanwhile() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let api = server.api();
    let personas = (0..20).map(|number| Persona::linux(&format!("host{number}")).with_verbs(&[Verb::Walk]));
    let agents = start_all(&server.url(), &api.enrol_token().await, personas).await;
    let agents = agents.expect("agents");
    let ids: Vec<u32> = agents.iter().map(ScriptedAgent::sensor_id).collect();
    assert_eq!(ids, (1..=20).collect::<Vec<u32>>());
    let session = active(&api, agents[7].host_id()).await;
    let gate = Arc::new(Semaphore::new(0));
    agents[7].next(Verb::Walk, [Behaviour::When(Arc::clone(&gate))]);
    let command = json!({"verb": "walk", "arguments": {"path": "/tmp"}});
    let accepted = api.post(&format!("{session}/commands"), &command).await;
    assert!(agents[7].until(|seen| seen.commands.len() == 1).await);
    agents[7].leave();
    api.attached(agents[7].host_id(), false).await;
    gate.add_permits(1);
    agents[7].come_back();
    let path = format!("{session}/commands/{}", accepted.body["number"]);
    let ended = eventually("the command ends", async || {
        let command = api.get(&format!("{path}?wait=10s")).await.body;
        (command["state"] != "running").then_some(command)
    })
    .await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    assert_eq!(agents[7].seen().commands.len(), 1);
}
