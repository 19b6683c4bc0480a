//! Paths on a host, which on Unix are bytes and not always UTF-8. Whether one is absolute is the host's
//! question, not asked here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A path or file name on a host. On the wire a string, or `{"b64": "…"}` when it is no UTF-8.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RemotePath(Vec<u8>);

impl RemotePath {
    /// The bytes as the host has them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// For people: invalid bytes become replacement characters.
    pub fn to_lossy(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

impl From<&str> for RemotePath {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<String> for RemotePath {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<Vec<u8>> for RemotePath {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_lossy())
    }
}

impl fmt::Display for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_lossy())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Encoded {
    b64: String,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a path: a string, or {\"b64\": \"…\"}")]
enum Wire {
    Text(String),
    Encoded(Encoded),
}

impl Serialize for RemotePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Encoded {
                b64: STANDARD.encode(&self.0),
            }
            .serialize(serializer),
        }
    }
}

impl Wire {
    fn decode<E: serde::de::Error>(self) -> Result<RemotePath, E> {
        let bytes = match self {
            Wire::Text(text) => text.into_bytes(),
            Wire::Encoded(Encoded { b64 }) => STANDARD
                .decode(&b64)
                .map_err(|_| E::custom("b64 of a path is not base64"))?,
        };
        if bytes.contains(&0) {
            return Err(E::custom("a path must not contain a NUL byte"));
        }
        Ok(RemotePath(bytes))
    }
}

impl<'de> Deserialize<'de> for RemotePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path: RemotePath = Wire::deserialize(deserializer)?.decode()?;
        if path.0.is_empty() {
            return Err(D::Error::custom("a path must not be empty"));
        }
        Ok(path)
    }
}

/// The arguments of a program: written as paths are, but they may be empty.
pub(crate) fn arguments<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<RemotePath>>, D::Error> {
    let Some(words) = Option::<Vec<Wire>>::deserialize(deserializer)? else {
        return Ok(None);
    };
    words
        .into_iter()
        .map(Wire::decode)
        .collect::<Result<_, _>>()
        .map(Some)
}
