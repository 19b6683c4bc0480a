//! How simulated agents come in: enrolled over the real API, and attached with a real WebSocket, in plain or over TLS.

use super::Outcome;
use super::stage::Stage;
use super::tls;
use futures_util::{SinkExt, StreamExt};
use rustls::ClientConfig;
use sha2::{Digest, Sha256 as Hasher};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};
use tripline_protocol::api::{Enrol, Enrolled, Role};
use tripline_protocol::frame::{AgentFrame, Hello, SUBPROTOCOL};
use tripline_protocol::verb::Verb;
use tripline_protocol::{InstallId, Sha256};
use uuid::Uuid;

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Through which of the server's listeners an agent comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Plain,
    Tls,
}

impl Way {
    pub(crate) const BOTH: [Self; 2] = [Self::Plain, Self::Tls];

    /// Where the listener is.
    pub(crate) fn address(self, stage: &Stage) -> Outcome<SocketAddr> {
        match self {
            Self::Plain => stage.address(),
            Self::Tls => stage.tls_address(),
        }
    }

    /// What a client needs for it.
    pub(crate) fn connector(self, trust: &Arc<ClientConfig>) -> Connector {
        match self {
            Self::Plain => Connector::Plain,
            Self::Tls => Connector::Rustls(trust.clone()),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Tls => "TLS",
        })
    }
}

/// A host that enrolled, and the key of its agent.
pub(crate) struct Identity {
    pub(crate) hostname: String,
    pub(crate) enrolled: Enrolled,
    key: String,
}

/// What agents say of themselves unless more is wanted.
pub(crate) fn hello(hostname: &str) -> Hello {
    Hello {
        agent_version: "bench".to_owned(),
        hostname: hostname.to_owned(),
        platform: "linux".to_owned(),
        arch: "x86_64".to_owned(),
        os_version: String::new(),
        addresses: Vec::new(),
        labels: Vec::new(),
        verbs: vec![Verb::ListDirectory],
        resumes: false,
        journal_id: Uuid::new_v4(),
        run_id: None,
        running: Vec::new(),
        finished: Vec::new(),
        isolation: None,
    }
}

/// The way in: where the server is, and a token to enrol with.
pub(crate) struct Door {
    http: reqwest::Client,
    plain: SocketAddr,
    token: String,
    way: Way,
    address: SocketAddr,
    trust: Arc<ClientConfig>,
    buffers: Option<WebSocketConfig>,
}

impl Door {
    /// The plain one.
    pub(crate) async fn open(stage: &Stage) -> Outcome<Self> {
        Self::open_at(stage, Way::Plain).await
    }

    /// Hosts enrol over plain HTTP and attach the given way.
    pub(crate) async fn open_at(stage: &Stage, way: Way) -> Outcome<Self> {
        Ok(Self {
            http: reqwest::Client::new(),
            plain: stage.address()?,
            token: stage.token(Role::Enrol).await?,
            way,
            address: way.address(stage)?,
            trust: tls::trust(&stage.tls())?,
            buffers: None,
        })
    }

    /// For agents of which there are many, and that say little.
    pub(crate) fn with_small_buffers(self) -> Self {
        let buffers = WebSocketConfig::default()
            .read_buffer_size(1024)
            .write_buffer_size(0);
        Self {
            buffers: Some(buffers),
            ..self
        }
    }

    /// A new host and its connection, welcomed.
    pub(crate) async fn enter(&self, hostname: &str) -> Outcome<(Enrolled, Socket)> {
        let identity = self.enrol(hostname).await?;
        let socket = self.attach(&identity, hello(hostname)).await?;
        Ok((identity.enrolled, socket))
    }

    /// A new host.
    pub(crate) async fn enrol(&self, hostname: &str) -> Outcome<Identity> {
        let key = Uuid::new_v4().simple().to_string();
        let request = Enrol {
            install_id: InstallId(Uuid::new_v4()),
            key_sha256: Sha256::from_digest(&Hasher::digest(&key).into()),
            hostname: hostname.to_owned(),
            addresses: Vec::new(),
            platform: "linux".to_owned(),
            arch: "x86_64".to_owned(),
        };
        let answer = self
            .http
            .post(format!("http://{}/v1/agent/enrol", self.plain))
            .bearer_auth(&self.token)
            .json(&request)
            .send()
            .await?;
        Ok(Identity {
            hostname: hostname.to_owned(),
            enrolled: answer.error_for_status()?.json().await?,
            key,
        })
    }

    /// The connection of a host, welcomed.
    pub(crate) async fn attach(&self, identity: &Identity, hello: Hello) -> Outcome<Socket> {
        let scheme = match self.way {
            Way::Plain => "ws",
            Way::Tls => "wss",
        };
        let mut request = format!("{scheme}://{}/v1/agent", self.address).into_client_request()?;
        let headers = request.headers_mut();
        headers.insert(
            header::AUTHORIZATION,
            HeaderValue::try_from(format!("Bearer {}", identity.key))?,
        );
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        );
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let connector = self.way.connector(&self.trust);
        let (mut socket, _) =
            client_async_tls_with_config(request, stream, self.buffers, Some(connector)).await?;
        let hello = AgentFrame::Hello(Box::new(hello));
        socket
            .send(Message::Text(serde_json::to_string(&hello)?.into()))
            .await?;
        match socket.next().await {
            Some(Ok(Message::Text(text))) if text.contains(r#""type":"welcome""#) => Ok(socket),
            other => Err(format!("no welcome: {other:?}").into()),
        }
    }
}
