//! A file's content on its way, in chunks under credit, both ways. It belongs to the connection its command came
//! on, and ends with it.

use super::line::{CutSign, Ear, Line};
use super::machine::Content;
use sha2::{Digest, Sha256 as Hasher};
use tripline_protocol::frame::{AgentFrame, Chunk, Transfer};
use tripline_protocol::limit::{CHUNK_BYTES_MAX, TRANSFER_CREDIT_BYTES};
use tripline_protocol::verb::{FileFetched, GetFile};
use tripline_protocol::{CommandId, Fault, Sha256};

/// A command's transfer.
pub(super) struct Moving<'a> {
    pub(super) id: CommandId,
    pub(super) line: &'a Line,
    pub(super) ear: &'a mut Ear,
    /// Bytes after which the connection is cut.
    pub(super) cut_after: Option<u64>,
}

fn cut() -> Fault {
    Fault::server("transfer_cut", "the connection was lost during the transfer")
}

fn digest(hash: Hasher) -> Sha256 {
    Sha256::from_digest(&hash.finalize().into())
}

impl Moving<'_> {
    /// Sends what was asked for.
    pub(super) async fn send(&mut self, content: &Content, args: &GetFile) -> Result<FileFetched, Fault> {
        let offset = args.offset.unwrap_or(0);
        let there = content.len().saturating_sub(offset);
        let total = there.min(args.bytes_max.unwrap_or(u64::MAX));
        let (mut hash, mut sent, mut cut_sign) = (Hasher::new(), 0, self.ear.cut_sign());
        while sent < total {
            let room = self.room(sent, total, &mut cut_sign).await?;
            let bytes = content.read(offset + sent, room as usize);
            hash.update(&bytes);
            self.line.chunk(&Chunk {
                command_id: self.id,
                offset: sent,
                bytes: &bytes,
            });
            sent += u64::from(room);
            if sent.is_multiple_of(TRANSFER_CREDIT_BYTES) {
                let command_id = self.id;
                self.line.frame(&AgentFrame::Progress {
                    command_id,
                    bytes: sent,
                });
            }
        }
        self.cut_at(sent, &mut cut_sign).await?;
        Ok(FileFetched {
            sha256: digest(hash),
            bytes: sent,
        })
    }

    /// How many bytes go into the next chunk, with credit for them.
    async fn room(&mut self, sent: u64, total: u64, cut_sign: &mut CutSign) -> Result<u32, Fault> {
        self.cut_at(sent, cut_sign).await?;
        let until = self.cut_after.map_or(total, |bytes| bytes.min(total));
        let wanted = (until - sent).min(CHUNK_BYTES_MAX as u64) as u32;
        tokio::select! {
            () = Ear::is_cut(cut_sign) => Err(cut()),
            permits = self.ear.credit.acquire_many(wanted) => {
                permits.map_err(|_| cut())?.forget();
                Ok(wanted)
            }
        }
    }

    /// Cuts the connection if so many bytes were to be the last.
    async fn cut_at(&self, moved: u64, cut_sign: &mut CutSign) -> Result<(), Fault> {
        if self.cut_after.is_none_or(|bytes| moved < bytes) {
            return Ok(());
        }
        self.line.cut();
        Ear::is_cut(cut_sign).await;
        Err(cut())
    }

    /// Takes what the server announced.
    pub(super) async fn receive(&mut self, transfer: &Transfer) -> Result<Vec<u8>, Fault> {
        let mut cut_sign = self.ear.cut_sign();
        let mut content = Vec::new();
        self.grant(TRANSFER_CREDIT_BYTES);
        while (content.len() as u64) < transfer.bytes {
            self.cut_at(content.len() as u64, &mut cut_sign).await?;
            let piece = tokio::select! {
                () = Ear::is_cut(&mut cut_sign) => None,
                piece = self.ear.pieces.recv() => piece,
            };
            let (offset, bytes) = piece.ok_or_else(cut)?;
            if offset != content.len() as u64 {
                let text = format!("a chunk at {offset} came when {} bytes were there", content.len());
                return Err(Fault::server("transfer_protocol", text));
            }
            content.extend_from_slice(&bytes);
            self.grant(bytes.len() as u64);
        }
        match digest(Hasher::new_with_prefix(&content)) == transfer.sha256 {
            true => Ok(content),
            false => Err(Fault::server(
                "hash_mismatch",
                "another content came than was announced",
            )),
        }
    }

    fn grant(&self, bytes: u64) {
        let command_id = self.id;
        self.line.frame(&AgentFrame::Credit { command_id, bytes });
    }
}
