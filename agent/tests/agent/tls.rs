//! The way most agents go: TLS with the certificate of a CA file.

use crate::server::{InProcess, Server};
use crate::support::PATIENCE;
use futures_util::{SinkExt, StreamExt};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tripline_protocol::frame::SUBPROTOCOL;
use uuid::Uuid;

/// A certificate for localhost, written as the CA file `name`.
pub(crate) fn certificate(dir: &Path, name: &str) -> (TlsAcceptor, PathBuf) {
    tripline_agent::tls::install_provider();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key);
    let path = dir.join(name);
    std::fs::write(&path, cert.pem()).unwrap();
    (TlsAcceptor::from(Arc::new(config.unwrap())), path)
}

fn start(listener: &TcpListener, server: &Server, dir: &Path, ca: PathBuf) -> InProcess {
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    InProcess::start_with(server, &dir.join("state"), |config| {
        config.server = Some(url.parse().unwrap());
        config.ca = Some(ca);
    })
}

#[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
fn agree(_: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    response
        .headers_mut()
        .insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
    Ok(response)
}

#[tokio::test]
async fn an_agent_enrols_and_attaches_to_a_server_of_its_ca() {
    let dir = tempfile::tempdir().unwrap();
    let (acceptor, ca) = certificate(dir.path(), "ca.pem");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let agent = start(&listener, &Server::new().await, dir.path(), ca);
    let serve = async {
        let mut enrolment = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            enrolment.read_buf(&mut request).await.unwrap();
        }
        let body = json!({ "host_id": Uuid::nil(), "sensor_id": 1, "org": "default" }).to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        enrolment
            .write_all(format!("{head}{body}").as_bytes())
            .await
            .unwrap();
        enrolment.shutdown().await.unwrap();

        let channel = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        let mut socket = tokio_tungstenite::accept_hdr_async(channel, agree).await.unwrap();
        let hello = socket.next().await.unwrap().unwrap().into_text().unwrap();
        assert!(hello.contains("\"type\":\"hello\""));
        socket
            .send(Message::text("{\"type\":\"bye\",\"reason\":\"revoked\"}"))
            .await
            .unwrap();
        socket
    };
    let _socket = timeout(PATIENCE, serve).await.expect("the agent comes");
    let error = agent.ended.await.unwrap().unwrap_err();
    assert_eq!(error.exit_code(), 3);
}

#[tokio::test]
async fn an_agent_tells_nothing_to_a_server_it_does_not_trust() {
    let dir = tempfile::tempdir().unwrap();
    let (acceptor, _) = certificate(dir.path(), "theirs.pem");
    let (_, ca) = certificate(dir.path(), "ours.pem");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let agent = start(&listener, &Server::new().await, dir.path(), ca);
    for _ in 0..2 {
        let stream = timeout(PATIENCE, listener.accept())
            .await
            .expect("the agent tries again")
            .unwrap()
            .0;
        assert!(acceptor.accept(stream).await.is_err());
    }
    agent.stop().await;
}
