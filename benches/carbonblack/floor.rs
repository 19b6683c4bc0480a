//! What large files cannot be faster than: each part of their way alone, on the same machine in the same run.

use super::Outcome;
use super::plain_http::Connection;
use super::source::{self, PIECE_BYTES, Source};
use super::tls;
use std::fs::File;
use std::path::Path;
use std::time::Instant;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// The parts in MB/s.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floor {
    /// A file that is in memory, read and copied through TLS on loopback; the receiver drops it.
    pub(crate) tls: f64,
    /// SHA-256 of such a file on one core.
    pub(crate) hash: f64,
    /// Written to the disk that holds the server's data, and synced. What was written stays: memory that a file gave back
    /// is quicker to fill than memory that was not used yet, and the server's files stay, too.
    pub(crate) disk: f64,
}

/// Measures each part once, for the round with this number.
pub(crate) async fn measure(
    certificates: &Path,
    folder: &Path,
    source: &Source,
    number: u32,
) -> Outcome<Floor> {
    let rate = |begun: Instant| source.bytes as f64 / 1e6 / begun.elapsed().as_secs_f64();
    let hash = {
        let begun = Instant::now();
        source::sha256(&source.path)?;
        rate(begun)
    };
    let disk = {
        let begun = Instant::now();
        source::copy_synced(&source.path, &folder.join(format!("floor-{number}")))?;
        rate(begun)
    };
    Ok(Floor {
        tls: bare_tls(certificates, source).await?,
        hash,
        disk,
    })
}

/// MB/s through a connection with the server's own certificate; the sender is a thread of this program.
async fn bare_tls(certificates: &Path, source: &Source) -> Outcome<f64> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (acceptor, path) = (
        TlsAcceptor::from(tls::server_config(certificates)?),
        source.path.clone(),
    );
    let sender =
        std::thread::spawn(move || send(listener, &acceptor, &path).map_err(|error| error.to_string()));
    let mut connection = Connection::open(address, &tls::trust(certificates)?).await?;
    let begun = Instant::now();
    connection.drain(source.bytes).await?;
    let rate = source.bytes as f64 / 1e6 / begun.elapsed().as_secs_f64();
    sender.join().map_err(|_| "the sender panicked")??;
    Ok(rate)
}

fn send(listener: std::net::TcpListener, acceptor: &TlsAcceptor, path: &Path) -> Outcome {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (stream, _) = TcpListener::from_std(listener)?.accept().await?;
        stream.set_nodelay(true)?;
        let mut stream = acceptor.accept(stream).await?;
        let (mut file, mut piece) = (File::open(path)?, Vec::with_capacity(PIECE_BYTES));
        while source::next(&mut file, &mut piece)? {
            stream.write_all(&piece).await?;
        }
        stream.shutdown().await?;
        Ok(())
    })
}
