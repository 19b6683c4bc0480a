//! Follows a stream of changes of the server's, over lost connections, until nobody reads any more.
//!
//! Only what this program's own server writes is understood: a line for each field, `\n` at its end.

use super::{Client, Failure, report};
use reqwest::Response;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tripline_protocol::api::{ChangeGap, EVENT_GAP};

/// The server gives a sign of life every 15 s; without one for longer than this the connection is dead.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// Pauses before the stream is asked for again.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Longest block that is read; no host and no job is as large.
const BLOCK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Gives `tell` the name and data of every change of `GET v1/<segments>`. The first connection has to come about; later
/// ones are tried again for as long as it takes, unless the server refuses.
pub(super) async fn follow(
    client: &Client,
    segments: &[&str],
    query: &[(&str, String)],
    mut tell: impl FnMut(&str, &str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut reader = Reader::default();
    let mut response = client.stream(segments, query, None).await?;
    loop {
        listen(&mut response, &mut reader, &mut tell).await?;
        report(&["tripline: the stream was cut; trying again".to_owned()]);
        response = again(client, segments, query, reader.id.as_deref()).await?;
        reader.begin_anew();
    }
}

/// Until the stream is cut.
async fn listen(
    response: &mut Response,
    reader: &mut Reader,
    tell: &mut impl FnMut(&str, &str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    while let Ok(Ok(Some(piece))) = timeout(SILENCE_MAX, response.chunk()).await {
        for (name, data) in reader.read(&piece)? {
            if name == EVENT_GAP {
                report(&[gap(&data)]);
            }
            tell(&name, &data)?;
        }
    }
    Ok(())
}

async fn again(
    client: &Client,
    segments: &[&str],
    query: &[(&str, String)],
    last_id: Option<&str>,
) -> Result<Response, Failure> {
    let mut pause = PAUSE_MIN;
    loop {
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
        match client.stream(segments, query, last_id).await {
            Ok(response) => return Ok(response),
            Err(refused @ Failure::Input(_)) => return Err(refused),
            Err(refused @ Failure::Unavailable(_)) if refused.is_not_allowed() => return Err(refused),
            // It is away, or busy.
            Err(_) => {}
        }
    }
}

/// Reads what the stream said; a word that it has not is another server's.
pub(super) fn read<T: serde::de::DeserializeOwned>(data: &str) -> Result<T, Failure> {
    serde_json::from_str(data)
        .map_err(|error| Failure::Failed(format!("the server told a change that cannot be read: {error}")))
}

fn gap(data: &str) -> String {
    match serde_json::from_str(data) {
        Ok(ChangeGap { missed: Some(missed) }) => {
            format!("tripline: {missed} changes of the server were missed here")
        }
        _ => "tripline: changes were missed here, nobody knows how many".to_owned(),
    }
}

/// Takes the stream apart.
#[derive(Debug, Default)]
struct Reader {
    text: Vec<u8>,
    /// The place to go on from.
    id: Option<String>,
}

impl Reader {
    /// Of another connection nothing that was cut is left.
    fn begin_anew(&mut self) {
        self.text.clear();
    }

    /// Names and data of what comes with another piece.
    fn read(&mut self, piece: &[u8]) -> Result<Vec<(String, String)>, Failure> {
        self.text.extend_from_slice(piece);
        let mut told = Vec::new();
        while let Some(end) = self.text.windows(2).position(|two| two == b"\n\n") {
            let block: Vec<u8> = self.text.drain(..end + 2).collect();
            told.extend(self.block(&String::from_utf8_lossy(&block)));
        }
        match self.text.len() {
            0..=BLOCK_BYTES_MAX => Ok(told),
            _ => Err(Failure::Failed(format!(
                "the server told more than {BLOCK_BYTES_MAX} bytes at once"
            ))),
        }
    }

    fn block(&mut self, block: &str) -> Option<(String, String)> {
        let (mut name, mut data) = (None, None);
        for line in block.lines() {
            match line.split_once(": ") {
                Some(("id", id)) => self.id = Some(id.to_owned()),
                Some(("event", event)) => name = Some(event.to_owned()),
                Some(("data", text)) => data = Some(text.to_owned()),
                _ => {}
            }
        }
        Some((name?, data?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::{Reply, Stub};
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_silent_for_too_long_is_asked_for_anew() {
        let texts = [
            "id: r.1\nevent: job\ndata: 1\n\n",
            "id: r.2\nevent: job\ndata: 2\n\n",
        ];
        let mut texts = texts.into_iter();
        let stub = Stub::start(move |_| Reply::stream(texts.next().unwrap_or_default())).await;
        let client = Client::find(&crate::cli::asking(stub.addr)).unwrap();
        let mut told = Vec::new();
        let tell = |_: &str, data: &str| {
            told.push((data.to_owned(), Instant::now()));
            match told.len() {
                1 => Ok(()),
                _ => Err(Failure::OutputClosed),
            }
        };
        let ended = follow(&client, &["streams", "jobs"], &[], tell).await;
        assert_eq!((ended, stub.asked().len()), (Err(Failure::OutputClosed), 2));
        let [(first, then), (second, now)] = &told[..] else {
            panic!("{told:?}")
        };
        assert_eq!((first.as_str(), second.as_str()), ("1", "2"));
        assert!(now.duration_since(*then) >= SILENCE_MAX, "not before its time");
    }

    #[test]
    fn changes_are_read_however_they_are_cut_into_pieces() {
        let stream = "id: r.1\n\n: alive\n\nid: r.2\nevent: job\ndata: {\"é\":1}\n\n: alive\nid: r.3\n\n\
                      event: ready\ndata: {}\n\n";
        for size in 1..stream.len() {
            let mut reader = Reader::default();
            let mut told = Vec::new();
            for piece in stream.as_bytes().chunks(size) {
                told.extend(reader.read(piece).unwrap());
            }
            let expected = [("job", "{\"é\":1}"), ("ready", "{}")];
            assert_eq!(
                told,
                expected.map(|(name, data)| (name.to_owned(), data.to_owned()))
            );
            assert_eq!(reader.id.as_deref(), Some("r.3"), "the place to go on from");
        }
    }

    #[test]
    fn a_block_without_an_end_is_not_read_for_ever() {
        let mut reader = Reader::default();
        let piece = vec![b'x'; BLOCK_BYTES_MAX];
        assert_eq!(reader.read(&piece).unwrap(), []);
        assert_eq!(reader.read(b"x").unwrap_err().code(), 1);
    }

    #[test]
    fn what_was_cut_is_not_read_with_what_follows() {
        let mut reader = Reader::default();
        assert_eq!(reader.read(b"event: job\nda").unwrap(), []);
        reader.begin_anew();
        let told = reader.read(b"event: gap\ndata: {}\n\n").unwrap();
        assert_eq!(told, [("gap".to_owned(), "{}".to_owned())]);
    }

    #[test]
    fn a_gap_says_how_many_if_somebody_knows() {
        assert!(gap("{\"missed\":7}").contains(" 7 changes"));
        assert!(gap("{}").contains("nobody knows"));
    }
}
