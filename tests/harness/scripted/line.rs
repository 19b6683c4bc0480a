//! Between a host's commands and its connection: what goes out, and what comes in for each command.

use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_tungstenite::tungstenite::Message;
use tripline_protocol::frame::{AgentFrame, Chunk};
use tripline_protocol::limit::TRANSFER_CREDIT_BYTES;

/// What the connection is to do.
pub(super) enum Outgoing {
    Send(Message),
    /// End without a word.
    Cut,
}

/// The way out. What is said on one whose connection is gone goes nowhere.
#[derive(Clone)]
pub(super) struct Line(mpsc::UnboundedSender<Outgoing>);

impl Line {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Outgoing>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    pub(super) fn text(&self, text: String) {
        self.put(Outgoing::Send(Message::text(text)));
    }

    pub(super) fn frame(&self, frame: &AgentFrame) {
        self.text(text_of(frame));
    }

    pub(super) fn chunk(&self, chunk: &Chunk<'_>) {
        self.put(Outgoing::Send(Message::binary(chunk.encode())));
    }

    /// Ends the connection once everything before it is sent.
    pub(super) fn cut(&self) {
        self.put(Outgoing::Cut);
    }

    fn put(&self, outgoing: Outgoing) {
        // The connection has ended: a result waits for the next one, all else went with it.
        let _ = self.0.send(outgoing);
    }
}

/// A frame as it is sent. A frame of ours always has a JSON form; an empty text would end the channel.
pub(super) fn text_of(frame: &AgentFrame) -> String {
    serde_json::to_string(frame).unwrap_or_default()
}

/// Why a command ends before it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Cancelled,
    /// The whole agent ended: there is nobody left to say anything.
    Died,
}

#[derive(Debug, Clone, Copy, Default)]
struct Signs {
    end: Option<End>,
    is_cut: bool,
}

/// A piece of a file from the server, with its offset.
pub(super) type Piece = (u64, Vec<u8>);

/// A running command, as the connection sees it.
pub(super) struct Flight {
    signs: watch::Sender<Signs>,
    credit: Arc<Semaphore>,
    pieces: mpsc::UnboundedSender<Piece>,
}

/// A running command's own end of it.
pub(super) struct Ear {
    signs: watch::Receiver<Signs>,
    pub(super) credit: Arc<Semaphore>,
    pub(super) pieces: mpsc::UnboundedReceiver<Piece>,
}

impl Flight {
    pub(super) fn new() -> (Self, Ear) {
        let (signs, heard) = watch::channel(Signs::default());
        let credit = Arc::new(Semaphore::new(TRANSFER_CREDIT_BYTES as usize));
        let (pieces, taken) = mpsc::unbounded_channel();
        let ear = Ear {
            signs: heard,
            credit: Arc::clone(&credit),
            pieces: taken,
        };
        let flight = Self {
            signs,
            credit,
            pieces,
        };
        (flight, ear)
    }

    pub(super) fn end(&self, end: End) {
        self.signs.send_modify(|signs| signs.end = Some(end));
    }

    /// The connection that it came on is gone, and its file's transfer with it.
    pub(super) fn cut(&self) {
        self.signs.send_modify(|signs| signs.is_cut = true);
    }

    pub(super) fn grant(&self, bytes: u64) {
        self.credit.add_permits(usize::try_from(bytes).unwrap_or(0));
    }

    pub(super) fn piece(&self, piece: Piece) {
        // A command that takes none has ended, or never wanted one.
        let _ = self.pieces.send(piece);
    }
}

/// Waits for a sign; for ever when there can be none any more.
async fn sign<T>(signs: &mut watch::Receiver<Signs>, look: impl Fn(&Signs) -> Option<T>) -> T {
    loop {
        let seen = look(&signs.borrow_and_update());
        if let Some(seen) = seen {
            return seen;
        }
        if signs.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Ear {
    /// Waits until it has to end before it is done.
    pub(super) fn ended(&self) -> impl Future<Output = End> + use<> {
        let mut signs = self.signs.clone();
        async move { sign(&mut signs, |signs| signs.end).await }
    }

    /// Waits until its connection is gone.
    pub(super) async fn is_cut(signs: &mut CutSign) {
        sign(&mut signs.0, |signs| signs.is_cut.then_some(())).await;
    }

    pub(super) fn cut_sign(&self) -> CutSign {
        CutSign(self.signs.clone())
    }
}

/// What tells that the connection is gone.
pub(super) struct CutSign(watch::Receiver<Signs>);
