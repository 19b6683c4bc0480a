//! Labels of a hundred kilobytes, where a person or an agent's configuration gives them. Over HTTP: `tests/system`; in
//! an agent's hello: `frames`.

use crate::harness::agent::program;
use crate::harness::{run, tripline};
use crate::scene::Scene;
use std::process::Command;

#[tokio::test]
async fn a_label_of_a_hundred_kilobytes_is_refused_with_a_short_word_and_changes_nothing() {
    let scene = Scene::start(&[]).await;
    let host = scene.honest.host_id();
    let long = "x".repeat(100_000);
    let data = scene.server.data_dir();
    for arguments in [
        vec![
            "host".to_owned(),
            "label".to_owned(),
            host.to_string(),
            format!("+{long}"),
        ],
        vec![
            "host".to_owned(),
            "list".to_owned(),
            "--label".to_owned(),
            long.clone(),
        ],
    ] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ran = tripline(data, &arguments).await;
        assert_eq!(ran.code, 2, "{}", &ran.stderr[..ran.stderr.len().min(2000)]);
        assert!(ran.stderr.len() < 2_000, "{} bytes", ran.stderr.len());
    }
    let mut agent = Command::new(program());
    agent.arg("run").env("TRIPLINE_AGENT_SERVER", scene.server.url());
    agent.env("TRIPLINE_AGENT_STATE_DIR", scene.site.path("agent"));
    let ran = run({
        agent.env("TRIPLINE_AGENT_LABELS", &long);
        agent
    })
    .await;
    assert_eq!(ran.code, 2, "{}", &ran.stderr[..ran.stderr.len().min(2000)]);
    assert!(ran.stderr.len() < 2_000, "{} bytes", ran.stderr.len());
    assert_eq!(
        scene.api.host(host).await.expect("a host").labels,
        Vec::<String>::new()
    );
    scene.honest_work_is_done().await;
}
