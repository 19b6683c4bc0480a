//! `docs/carbon-black.md`, step by step: what it tells people to do works as it is written there.

use crate::harness::tripline;
use crate::scene::Scene;
use crate::script::Script;
use std::path::Path;

/// The content of the page's first block in a language.
fn block(page: &str, language: &str) -> String {
    let fence = format!("```{language}\n");
    let indented = page.lines().map(|line| line.strip_prefix("   ").unwrap_or(line));
    let page = indented.fold(String::new(), |page, line| page + line + "\n");
    let (_, after) = page.split_once(&fence).expect("such a block");
    after.split_once("```").expect("its end").0.to_owned()
}

/// A text with what is the reader's own instead of what stands for it; it must stand there.
fn with_own(text: &str, own: &[(&str, &str)]) -> String {
    own.iter().fold(text.to_owned(), |text, (example, own)| {
        assert!(text.contains(example), "{example} is not in:\n{text}");
        text.replace(example, own)
    })
}

#[tokio::test]
async fn who_does_what_the_page_says_has_a_script_that_runs() {
    let scene = Scene::start().await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/carbon-black.md")).expect("the page");

    let command = block(&page, "sh");
    let arguments = shell_words::split(&command).expect("words");
    assert_eq!(arguments[0], "tripline");
    let arguments: Vec<&str> = arguments[1..].iter().map(String::as_str).collect();
    let ran = tripline(scene.server.data_dir(), &arguments).await;
    assert_eq!(ran.code, 0, "{ran:?}");

    let (authority, url) = (scene.authority(), scene.url.replace("127.0.0.1", "localhost"));
    let own = [
        ("https://tripline.example:7443", url.as_str()),
        ("THE-TOKEN", ran.stdout.trim()),
        (
            "/etc/carbonblack/tripline-ca.pem",
            authority.to_str().expect("UTF-8"),
        ),
    ];
    let folder = scene.script_folder();
    std::fs::create_dir_all(folder.join(".carbonblack")).expect("a folder");
    let profile = folder.join(".carbonblack/credentials.response");
    std::fs::write(&profile, with_own(&block(&page, "ini"), &own)).expect("to write");

    let host = scene.api().get("/v1/hosts/1").await.body;
    let hostname = host["hostname"].as_str().expect("a name");
    let program = with_own(&block(&page, "python"), &[("web01", hostname)]);
    let said = Script::start(&folder, &program, &[]).end().await;
    assert_eq!(said.len(), 2, "{said:?}");
    let printed = |at: usize| said[at].as_str().expect("a text").to_owned();
    let release = std::fs::read_to_string("/etc/os-release").expect("it is there");
    let first = release.lines().next().expect("a line");
    assert!(
        printed(0).starts_with("b'") && printed(0).contains(first),
        "{}",
        printed(0)
    );
    assert!(printed(1).starts_with("b'Linux"), "{}", printed(1));
    scene.api().all_slots_free().await;
}

#[tokio::test]
async fn a_script_finds_its_server_in_the_environment_or_in_one_of_several_profiles() {
    let scene = Scene::start_with(&[], 0).await;
    let environment = [
        ("CBAPI_URL", scene.url.clone()),
        ("CBAPI_TOKEN", scene.token.clone()),
        ("CBAPI_SSL_VERIFY", "false".to_owned()),
    ];
    let program = "from cbapi.response import CbResponseAPI\nprint(CbResponseAPI().info()['cblrEnabled'])\n";
    let script = Script::start(&scene.script_folder(), program, &environment);
    assert_eq!(script.end().await, ["True"]);

    let folder = scene.script_folder();
    std::fs::create_dir_all(folder.join(".carbonblack")).expect("a folder");
    let (url, token, authority) = (&scene.url, &scene.token, scene.authority());
    let profiles = format!(
        "[default]\nurl=https://localhost:1\ntoken=x\n\n[tripline]\nurl={url}/\ntoken={token}\nssl_cert_file={}\n",
        authority.display()
    );
    std::fs::write(folder.join(".carbonblack/credentials.response"), profiles).expect("to write");
    let program = program.replace("CbResponseAPI()", "CbResponseAPI(profile='tripline')");
    let script = Script::start(&folder, &program, &[]);
    assert_eq!(script.end().await, ["True"]);
}
