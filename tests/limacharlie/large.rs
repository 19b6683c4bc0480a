//! Large bodies: so many at once.

use crate::cloud::{Cloud, detection};
use crate::harness::eventually;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A body is a large one beyond this.
const LARGE_BYTES: usize = 1024 * 1024;
/// Large ones at once.
const LARGE_MAX: usize = 4;

/// A body that is announced, and of which the first byte came.
async fn begun(cloud: &Cloud) -> TcpStream {
    let url = cloud.server.url();
    let connected = TcpStream::connect(url.trim_start_matches("http://")).await;
    let mut stream = connected.expect("connected");
    let head = format!(
        "POST /lc HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        LARGE_BYTES + 1
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 100");
    stream
}

#[tokio::test]
async fn so_many_large_calls_are_read_at_once_and_another_comes_again() {
    let cloud = Cloud::start().await;
    let large = || {
        let mut call = Cloud::message("detection", "m", detection("x"));
        call["data"]["filling"] = json!("x".repeat(LARGE_BYTES));
        cloud.post(call.to_string().into_bytes())
    };
    let mut under_way = Vec::new();
    for _ in 0..LARGE_MAX {
        under_way.push(begun(&cloud).await);
    }
    eventually("as many are read as may be", async || {
        (large().await.0 == 503).then_some(())
    })
    .await;
    cloud.done("detection", "small", detection("x")).await;
    under_way.clear();
    eventually("there is a place again", async || {
        (large().await.0 == 200).then_some(())
    })
    .await;
}
