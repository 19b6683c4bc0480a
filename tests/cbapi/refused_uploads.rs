//! Uploads that are refused while the client still sends: it has to hear why, and nothing is left of them.

use crate::harness::until;
use crate::scene::Scene;
use serde_json::json;
use std::path::Path;

/// Uploads that are under way, as the server's disk has them.
fn incoming(data_dir: &Path) -> usize {
    std::fs::read_dir(data_dir.join("artifacts/incoming")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn an_upload_to_a_session_that_is_gone_is_not_found_however_large_it_is() {
    let scene = Scene::start().await;
    scene
        .run(
            r#"
            import io

            lr = session()
            lr.close()
            for size in (10, 100_000, 5_000_000, 40_000_000):
                error = failure(lr.put_file, io.BytesIO(bytes(size)), given.path)
                assert error["class"] == "ObjectNotFoundError", (size, error)
                assert "Session is not active" in error["text"], error
            "#,
            json!({"path": scene.site.path("put")}),
        )
        .await;
    assert!(!scene.site.path("put").exists());
    until("nothing is left", || incoming(scene.server.data_dir()) == 0).await;
}

#[tokio::test]
async fn a_server_without_room_for_a_file_refuses_it_and_takes_the_next_small_one() {
    let scene = Scene::start_with(&[("artifacts.bytes_max", "1MiB")], 1).await;
    scene
        .run(
            r#"
            import io

            with session() as lr:
                for size in (2_000_000, 40_000_000):
                    error = failure(lr.put_file, io.BytesIO(bytes(size)), given.path)
                    assert error["class"] == "ServerError" and error["code"] == 503, error
                    assert "artifact space is full" in error["text"], error
                error = failure(lr.get_file, given.big)
                assert error["text"] == "Win32 error code 0x80070070 (ERROR_DISK_FULL)", error
                lr.put_file(io.BytesIO(b"small"), given.path)
            "#,
            json!({"path": scene.site.path("put"), "big": scene.site.write("big", vec![1; 2 << 20])}),
        )
        .await;
    assert_eq!(std::fs::read(scene.site.path("put")).expect("put"), b"small");
    until("nothing is left", || incoming(scene.server.data_dir()) == 0).await;
}
