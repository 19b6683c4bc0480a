//! The agent's key is replaced over its connection.

use crate::server::{InProcess, Peer, Server};
use sha2::Digest;
use tripline_protocol::Sha256;
use tripline_protocol::frame::{AgentFrame, ServerFrame};

/// SHA-256 of the key that a connection was opened with.
fn digest(peer: &Peer) -> Sha256 {
    let key = peer.key.strip_prefix("Bearer ").unwrap();
    Sha256::from_digest(&sha2::Sha256::digest(key).into())
}

async fn new_key(peer: &mut Peer) -> Sha256 {
    match peer.frame().await {
        AgentFrame::NewKey { key_sha256 } => key_sha256,
        other => panic!("unexpected {other:?}"),
    }
}

#[tokio::test]
async fn an_agent_comes_with_its_new_key_as_soon_as_that_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new().await;
    let agent = InProcess::start(&server, &dir.path().join("state"));
    let mut peer = server.attach(1).await;
    let (old, run) = (digest(&peer), peer.hello().run_id);
    peer.send(ServerFrame::RotateKey).await;
    let new = new_key(&mut peer).await;
    assert_ne!(new, old);
    // The answer is lost with the connection: the old key comes again, and the new one is named again.
    drop(peer);
    let mut peer = server.attach(2).await;
    assert_eq!((digest(&peer), peer.hello().run_id), (old.clone(), run));
    assert_eq!(new_key(&mut peer).await, new);
    agent.stop().await;
    drop(peer);
    let agent = InProcess::start(&server, &dir.path().join("state"));
    let mut peer = server.attach(3).await;
    assert_eq!(digest(&peer), old);
    assert_ne!(peer.hello().run_id, run, "another process");
    assert_eq!(new_key(&mut peer).await, new);
    peer.send(ServerFrame::KeyTaken {
        key_sha256: new.clone(),
    })
    .await;
    let peer = server.attach(4).await;
    assert_eq!(digest(&peer), new);
    drop(peer);
    let peer = server.attach(5).await;
    assert_eq!(digest(&peer), new);
    agent.stop().await;
    drop(peer);
    let agent = InProcess::start(&server, &dir.path().join("state"));
    assert_eq!(digest(&server.attach(6).await), new);
    agent.stop().await;
}
