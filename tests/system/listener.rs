//! What a program hears that follows something over HTTP, taken apart by the rules of server-sent events.

use crate::harness::{Api, PATIENCE, eventually};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::Method;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// A stream that is heard.
pub(crate) struct Listener {
    chunks: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    text: String,
    /// The place to go on from.
    pub(crate) last_id: Option<String>,
}

/// A block that has data.
#[derive(Debug)]
pub(crate) struct Heard {
    /// The place that was reached with it.
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    pub(crate) data: String,
}

impl Heard {
    pub(crate) fn read<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.data).expect("data as expected")
    }
}

impl Listener {
    /// Listens from the answer's head on.
    pub(crate) async fn open(api: &Api, path: &str, last_id: Option<&str>) -> Self {
        let answer = eventually("the stream begins", async || {
            let mut request = api.request(Method::GET, path).timeout(Duration::from_secs(300));
            if let Some(id) = last_id {
                request = request.header("Last-Event-ID", id);
            }
            request.send().await.ok().filter(|answer| answer.status() == 200)
        })
        .await;
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self {
            chunks: answer.bytes_stream().boxed(),
            text: String::new(),
            last_id: last_id.map(str::to_owned),
        }
    }

    /// The next block with data; `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Heard> {
        loop {
            while let Some(block) = self.block() {
                if let Some(heard) = self.take(&block) {
                    return Some(heard);
                }
            }
            self.read().await?;
        }
    }

    /// Listens until a place was told.
    pub(crate) async fn placed(&mut self) -> String {
        loop {
            if let Some(id) = &self.last_id {
                return id.clone();
            }
            match self.block() {
                Some(block) => assert!(self.take(&block).is_none(), "a place before the first data"),
                None => self.read().await.expect("it goes on"),
            }
        }
    }

    fn block(&mut self) -> Option<String> {
        let end = self.text.find("\n\n")?;
        Some(self.text.drain(..end + 2).collect())
    }

    async fn read(&mut self) -> Option<()> {
        let chunk = tokio::time::timeout(PATIENCE, self.chunks.next()).await;
        let chunk = chunk.expect("something in time")?.ok()?;
        self.text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        Some(())
    }

    fn take(&mut self, block: &str) -> Option<Heard> {
        let field = |name: &str| {
            let mut lines = block.lines().filter_map(|line| line.strip_prefix(name));
            lines.next().map(str::to_owned)
        };
        if let Some(id) = field("id: ") {
            self.last_id = Some(id);
        }
        Some(Heard {
            id: self.last_id.clone(),
            name: field("event: ")?,
            data: field("data: ")?,
        })
    }
}
