//! The floor of a transfer: the file out of the page cache through a bare WebSocket on loopback, in frames as long as
//! those of the channel. Whoever receives drops it.

use super::door::Way;
use super::source::{self, PIECE_BYTES, Source};
use super::{Outcome, tls};
use futures_util::{SinkExt, StreamExt};
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async_tls_with_config};
use tripline_protocol::CommandId;
use tripline_protocol::frame::Chunk;
use uuid::Uuid;

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    /// As an agent that is asked for a file; a client masks what it sends.
    Client,
    /// As a server that puts one.
    Server,
}

/// MB/s. The server's side is a thread of its own.
pub(crate) async fn measure(way: Way, sender: Sender, certificates: &Path, source: &Source) -> Outcome<f64> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let acceptor = match way {
        Way::Plain => None,
        Way::Tls => Some(TlsAcceptor::from(tls::server_config(certificates)?)),
    };
    let end = End::new(source, sender == Sender::Server);
    let serving =
        std::thread::spawn(move || serve(listener, acceptor, &end).map_err(|error| error.to_string()));
    let client = End::new(source, sender == Sender::Client);
    let begun = Instant::now();
    call(address, way, certificates, &client).await?;
    serving.join().map_err(|_| "the other end panicked")??;
    Ok(source.bytes as f64 / 1e6 / begun.elapsed().as_secs_f64())
}

/// One end of the connection.
struct End {
    path: PathBuf,
    bytes: u64,
    sends: bool,
}

impl End {
    fn new(source: &Source, sends: bool) -> Self {
        Self {
            path: source.path.clone(),
            bytes: source.bytes,
            sends,
        }
    }

    /// Sends all, or receives all.
    async fn work<S: AsyncRead + AsyncWrite + Unpin>(&self, mut socket: WebSocketStream<S>) -> Outcome {
        match self.sends {
            true => self.send(&mut socket).await,
            false => self.receive(&mut socket).await,
        }
    }

    async fn send<S: AsyncRead + AsyncWrite + Unpin>(&self, socket: &mut WebSocketStream<S>) -> Outcome {
        let (mut file, mut piece) = (File::open(&self.path)?, Vec::with_capacity(PIECE_BYTES));
        let mut offset = 0;
        while source::next(&mut file, &mut piece)? {
            let chunk = Chunk {
                command_id: CommandId(Uuid::nil()),
                offset,
                bytes: &piece,
            };
            socket.feed(Message::binary(chunk.encode())).await?;
            offset += piece.len() as u64;
        }
        socket.flush().await?;
        // The end is the other end's: it has all then.
        while let Some(message) = socket.next().await {
            if message?.is_close() {
                break;
            }
        }
        Ok(())
    }

    async fn receive<S: AsyncRead + AsyncWrite + Unpin>(&self, socket: &mut WebSocketStream<S>) -> Outcome {
        let mut came = 0;
        while came < self.bytes {
            if let Message::Binary(frame) = socket.next().await.ok_or("the sender went away")?? {
                came += Chunk::decode(&frame)?.bytes.len() as u64;
            }
        }
        Ok(socket.close(None).await?)
    }
}

async fn call(address: SocketAddr, way: Way, certificates: &Path, end: &End) -> Outcome {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let url = match way {
        Way::Plain => format!("ws://{address}/"),
        Way::Tls => format!("wss://{address}/"),
    };
    let connector = way.connector(&tls::trust(certificates)?);
    let (socket, _) = client_async_tls_with_config(url, stream, None, Some(connector)).await?;
    end.work(socket).await
}

fn serve(listener: std::net::TcpListener, acceptor: Option<TlsAcceptor>, end: &End) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (stream, _) = TcpListener::from_std(listener)?.accept().await?;
        stream.set_nodelay(true)?;
        match acceptor {
            None => end.work(accept_async(stream).await?).await,
            Some(acceptor) => {
                end.work(accept_async(acceptor.accept(stream).await?).await?)
                    .await
            }
        }
    })
}
