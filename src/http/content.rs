//! A file's content over HTTP: streamed from disk, whole or one range, with the validators of content that
//! never changes. Deliberately not here: who may have it, and how it is found.

use super::HttpState;
use super::alive::SignsOfLife;
use super::problem::ApiError;
use super::range::{self, Part, Wanted};
use actix_web::body::SizedStream;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_RANGE, ETAG, HeaderName, IF_NONE_MATCH,
    IF_RANGE, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use futures_util::stream::{self, Stream};
use std::fmt::Write;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use tokio::task::JoinHandle;
use tripline_actors::access::Principal;
use tripline_actors::{FetchedFrom, Refusal};
use tripline_protocol::Sha256;

/// Bytes read at once.
pub(super) const PIECE_BYTES: u64 = 128 * 1024;

/// Who is handed a content, and through what it was found.
pub(super) struct Fetch<'a> {
    pub(super) caller: &'a Principal,
    pub(super) from: FetchedFrom<'a>,
}

/// Answers with the content that has this hash, under this name; sending it may be a sign of life.
pub(super) async fn serve(
    state: &HttpState,
    request: &HttpRequest,
    fetch: Fetch<'_>,
    (sha256, name): (Sha256, &str),
    alive: Option<SignsOfLife>,
) -> Result<HttpResponse, ApiError> {
    let etag = format!("\"{sha256}\"");
    if range::is_unchanged(header(request, IF_NONE_MATCH), &etag) {
        return Ok(HttpResponse::NotModified().insert_header((ETAG, etag)).finish());
    }
    let (file, total) = open(state, sha256.clone()).await?;
    let ranges = (header(request, RANGE), header(request, IF_RANGE));
    let part = match range::wanted(ranges.0, ranges.1, &etag, total) {
        Wanted::Outside => return Err(ApiError::Range { bytes: total }),
        Wanted::Part(part) => Some(part),
        Wanted::Whole => None,
    };
    let core = state.core.by(fetch.caller);
    let noted = core.note_fetch(fetch.from, |entry| {
        let entry = entry
            .detail("name", name)
            .detail("sha256", &sha256)
            .detail("bytes", total);
        entry.detail("range", part.as_ref().map(|part| part.content_range(total)))
    });
    noted.await?;
    Ok(answer(file, total, name, part, etag, alive))
}

fn header(request: &HttpRequest, name: HeaderName) -> Option<&str> {
    request.headers().get(name)?.to_str().ok()
}

async fn open(state: &HttpState, sha256: Sha256) -> Result<(File, u64), ApiError> {
    let store = state.artifacts.clone();
    let opened = tokio::task::spawn_blocking(move || store.open_read(&sha256)).await;
    let opened = opened.map_err(|error| ApiError::internal("open the artifact", error))?;
    Ok(opened.map_err(Refusal::from)?)
}

fn answer(
    file: File,
    total: u64,
    name: &str,
    part: Option<Part>,
    etag: String,
    alive: Option<SignsOfLife>,
) -> HttpResponse {
    let mut response = HttpResponseBuilder::new(StatusCode::OK);
    response
        .insert_header((ETAG, etag))
        .insert_header((ACCEPT_RANGES, "bytes"))
        .insert_header((CACHE_CONTROL, "private, immutable, max-age=86400"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((CONTENT_DISPOSITION, disposition(name)))
        .content_type("application/octet-stream");
    let (first, bytes) = match part {
        None => (0, total),
        Some(part) => {
            response
                .status(StatusCode::PARTIAL_CONTENT)
                .insert_header((CONTENT_RANGE, part.content_range(total)));
            (part.first, part.bytes())
        }
    };
    response.body(SizedStream::new(bytes, content(file, first, bytes, alive)))
}

/// Piece by piece, as fast as the caller takes it.
pub(super) fn content(
    file: File,
    first: u64,
    bytes: u64,
    alive: Option<SignsOfLife>,
) -> impl Stream<Item = io::Result<web::Bytes>> {
    let ahead = ReadAhead::new(file, first, bytes);
    stream::try_unfold((ahead, alive), async |(mut ahead, mut alive)| {
        if let Some(alive) = &mut alive {
            alive.give();
        }
        let piece = ahead.next().await?;
        Ok(piece.map(|piece| (piece, (ahead, alive))))
    })
}

/// Reads on blocking threads, and the next piece while the last one is being sent: two pieces are in memory.
struct ReadAhead {
    file: Arc<File>,
    at: u64,
    left: u64,
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
}

impl ReadAhead {
    fn new(file: File, at: u64, left: u64) -> Self {
        let file = Arc::new(file);
        Self {
            file,
            at,
            left,
            reading: None,
        }
    }

    async fn next(&mut self) -> io::Result<Option<web::Bytes>> {
        let Some(reading) = self.reading.take().or_else(|| self.read_on()) else {
            return Ok(None);
        };
        let piece = reading.await.map_err(io::Error::other)??;
        self.reading = self.read_on();
        Ok(Some(piece.into()))
    }

    fn read_on(&mut self) -> Option<JoinHandle<io::Result<Vec<u8>>>> {
        let bytes = self.left.min(PIECE_BYTES);
        let length = usize::try_from(bytes).ok().filter(|length| *length > 0)?;
        let (file, at) = (Arc::clone(&self.file), self.at);
        self.at += bytes;
        self.left -= bytes;
        Some(tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; length];
            file.read_exact_at(&mut piece, at).map(|()| piece)
        }))
    }
}

/// `Content-Disposition` with the name twice: for old clients in plain ASCII, for others by RFC 8187.
pub(super) fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_. ()".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    let plain = match plain.trim_matches(['.', ' ']) {
        "" => "artifact",
        plain => plain,
    };
    let mut encoded = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::to_bytes;
    use std::io::Write as _;

    fn kept(content: &[u8]) -> (File, u64) {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(content).expect("written");
        (file, content.len() as u64)
    }

    fn text(response: &HttpResponse, name: HeaderName) -> String {
        response
            .headers()
            .get(name)
            .expect("a header")
            .to_str()
            .expect("text")
            .to_owned()
    }

    #[actix_web::test]
    async fn a_large_content_arrives_whole_and_as_it_is() {
        let content: Vec<u8> = (0..PIECE_BYTES * 2 + 7).map(|at| (at % 251) as u8).collect();
        let (file, total) = kept(&content);
        let response = answer(file, total, "hosts", None, "\"e\"".into(), None);
        assert_eq!(response.status(), 200);
        assert_eq!(text(&response, X_CONTENT_TYPE_OPTIONS), "nosniff");
        assert_eq!(text(&response, ETAG), "\"e\"");
        let body = to_bytes(response.into_body())
            .await
            .map_err(|_| ())
            .expect("a body");
        assert!(body == content);
    }

    #[actix_web::test]
    async fn a_part_is_answered_with_its_place() {
        let (file, total) = kept(b"0123456789");
        let response = answer(
            file,
            total,
            "hosts",
            Some(Part { first: 2, last: 5 }),
            "\"e\"".into(),
            None,
        );
        assert_eq!(response.status(), 206);
        assert_eq!(text(&response, CONTENT_RANGE), "bytes 2-5/10");
        let body = to_bytes(response.into_body())
            .await
            .map_err(|_| ())
            .expect("a body");
        assert_eq!(body, "2345");
    }

    #[actix_web::test]
    async fn a_content_cut_short_meanwhile_breaks_off_instead_of_lying() {
        let (file, total) = kept(b"short");
        let response = answer(file, total + 5, "hosts", None, "\"e\"".into(), None);
        assert!(to_bytes(response.into_body()).await.is_err());
    }

    #[test]
    fn a_hostile_name_stays_a_name() {
        assert_eq!(
            disposition("hosts"),
            "attachment; filename=\"hosts\"; filename*=UTF-8''hosts"
        );
        let odd = disposition("a\"; x=\"\r\nSet-Cookie: b");
        assert!(!odd.contains('\r') && !odd.contains('\n'), "{odd}");
        assert_eq!(odd.matches('"').count(), 2, "{odd}");
        assert_eq!(
            disposition("bücher"),
            "attachment; filename=\"b_cher\"; filename*=UTF-8''b%C3%BCcher"
        );
        assert_eq!(
            disposition("..").split(';').nth(1),
            Some(" filename=\"artifact\"")
        );
    }
}
