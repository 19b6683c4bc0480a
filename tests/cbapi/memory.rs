//! Dumps of memory, and files that are in use.

use crate::harness::scripted::{Content, Persona};
use crate::scene::Scene;
use serde_json::json;

#[tokio::test]
async fn a_dump_of_the_memory_arrives_whole_and_is_deleted_on_the_host() {
    let scene = Scene::start_with(&[], 0).await;
    let agent = scene.add_scripted(Persona::windows("win01")).await;
    agent.machine().memory_bytes = 5_000_003;
    let said = scene
        .run(
            r#"
            with session() as lr:
                lr.memdump("plain.dmp")
                lr.create_directory(r"C:\Data")
                lr.memdump("packed.dmp", remote_filename=r"C:\Data\dump", compress=True)
                dump = lr.start_memdump(remote_filename=r"C:\Data\later", compress=False)
                dump.wait()
                say([entry["filename"] for entry in lr.list_directory("C:\\Data\\*")])
                dump.get("later.dmp")
                dump.delete()
                say([entry["filename"] for entry in lr.list_directory(r"C:\Data")])
                say(failure(lr.memdump, "x", remote_filename=r"C:\No\dump")["text"])
            "#,
            json!({}),
        )
        .await;
    let memory = agent.machine().memory(None).to_vec();
    for name in ["plain.dmp", "packed.dmp", "later.dmp"] {
        let dump = std::fs::read(scene.site.path("script-0").join(name)).expect("a dump");
        assert!(dump == memory, "{name} has {} bytes", dump.len());
    }
    let no_directory = "Win32 error code 0x80070003 (ERROR_PATH_NOT_FOUND)";
    assert_eq!(said, [json!(["later"]), json!([]), json!(no_directory)]);
}

#[tokio::test]
async fn a_raw_file_is_a_stream_and_one_in_use_is_read_by_the_command_for_that() {
    let scene = Scene::start_with(&[], 0).await;
    let agent = scene.add_scripted(Persona::windows("win01")).await;
    let content = Content::Generated {
        seed: 3,
        bytes: 4_000_001,
    };
    agent.machine().files.write(r"C:\Data\free", content.clone());
    agent
        .machine()
        .files
        .write(r"C:\Windows\System32\config\SAM", content.clone());
    agent.machine().files.lock(r"C:\Windows\System32\config\SAM");
    let said = scene
        .run(
            r#"
            import hashlib

            with session() as lr:
                raw = lr.get_raw_file(r"C:\Data\free", timeout=60, delay=0.1)
                head, digest = raw.read(5), hashlib.sha256()
                digest.update(head + raw.read())
                say([head, digest.hexdigest()])
                assert hashlib.sha256(lr.get_file(r"C:\Data\free")).digest() == digest.digest()

                used = r"C:\Windows\System32\config\SAM"
                say(failure(lr.get_file, used)["text"])
                # What the library has no method for is posted as it posts everything.
                posted = lr._lr_post_command({"name": "get raw file", "object": used}).json()
                lr._poll_command(posted["id"])
                base = f"/api/v1/cblr/session/{lr.session_id}"
                content = lr._cb.session.get(f"{base}/file/{posted['file_id']}/content").content
                say(hashlib.sha256(content).hexdigest())
            "#,
            json!({}),
        )
        .await;
    let sha256 = |content: &Content| {
        use sha2::Digest;
        tripline_protocol::Sha256::from_digest(&sha2::Sha256::digest(content.to_vec()).into()).to_string()
    };
    let head: String = content.read(0, 5).iter().map(|byte| char::from(*byte)).collect();
    assert_eq!(said[0], json!([head, sha256(&content)]));
    assert_eq!(said[1], "Win32 error code 0x80070020 (ERROR_SHARING_VIOLATION)");
    assert_eq!(said[2], json!(sha256(&content)));
}
