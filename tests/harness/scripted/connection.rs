//! An agent's way in: enrolment, and the WebSocket of the agent channel with its first two frames.

use super::Error;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use sha2::{Digest, Sha256 as Hasher};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};
use tripline_protocol::api::{Enrol, Enrolled};
use tripline_protocol::frame::SUBPROTOCOL;
use tripline_protocol::{InstallId, Sha256};
use uuid::Uuid;

/// The agent channel's socket.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What an agent has once it is enrolled: whom it is, and the key that says so.
pub(crate) struct Account {
    url: String,
    pub(crate) key: String,
    pub(crate) enrolled: Enrolled,
}

impl Account {
    /// Enrols a new host in the org of the enrolment token. `url` is the server's, `http://…`.
    pub(crate) async fn enrol(url: &str, token: &str, hostname: &str, platform: &str) -> Result<Self, Error> {
        let key = Uuid::new_v4().simple().to_string();
        let request = Enrol {
            install_id: InstallId(Uuid::new_v4()),
            key_sha256: Sha256::from_digest(&Hasher::digest(&key).into()),
            hostname: hostname.to_owned(),
            addresses: Vec::new(),
            platform: platform.to_owned(),
            arch: "x86_64".to_owned(),
        };
        let answer = reqwest::Client::new()
            .post(format!("{url}/v1/agent/enrol"))
            .bearer_auth(token)
            .json(&request)
            .send()
            .await?
            .error_for_status()?;
        Ok(Self {
            url: url.replace("http://", "ws://"),
            key,
            enrolled: answer.json().await?,
        })
    }

    /// Opens the channel with the key.
    pub(crate) async fn open(&self) -> Result<Connection, Error> {
        let mut request = format!("{}/v1/agent", self.url).into_client_request()?;
        let bearer = HeaderValue::try_from(format!("Bearer {}", self.key)).map_err(|error| {
            Error::Socket(tungstenite::Error::from(tungstenite::http::Error::from(error)))
        })?;
        let headers = request.headers_mut();
        headers.insert(header::AUTHORIZATION, bearer);
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        );
        match connect_async_tls_with_config(request, None, true, None).await {
            Ok((socket, _)) => Ok(Connection { socket }),
            Err(tungstenite::Error::Http(response)) => Err(Error::Refused(response.status().as_u16())),
            Err(error) => Err(error.into()),
        }
    }
}

/// An open channel.
pub(crate) struct Connection {
    pub(super) socket: Socket,
}

impl Connection {
    /// Sends a text frame.
    pub(crate) async fn say(&mut self, text: String) -> Result<(), Error> {
        Ok(self.socket.send(Message::Text(text.into())).await?)
    }

    /// The next text frame, or how the server closed the channel.
    pub(crate) async fn hear(&mut self) -> Result<Value, Option<CloseFrame>> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).map_err(|_| None),
                Some(Ok(Message::Close(close))) => return Err(close),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// Says hello and hears welcome.
    pub(crate) async fn introduce(&mut self, hello: String) -> Result<(), Error> {
        self.say(hello).await?;
        match self.hear().await {
            Ok(frame) if frame.get("type").is_some_and(|word| word == "welcome") => Ok(()),
            Ok(frame) => Err(Error::NotWelcomed(frame.to_string())),
            Err(close) => Err(Error::NotWelcomed(format!("{close:?}"))),
        }
    }
}
