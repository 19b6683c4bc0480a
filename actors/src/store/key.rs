//! Keys from typed parts, so that keys sort as their parts do: integers big-endian, texts ended by a zero
//! byte, ids as their bytes.

use tripline_protocol::{Sha256, Timestamp};

/// Eight bytes that sort as `n` does.
pub fn u64(n: u64) -> [u8; 8] {
    n.to_be_bytes()
}

/// Four bytes that sort as `n` does.
pub fn u32(n: u32) -> [u8; 4] {
    n.to_be_bytes()
}

/// Eight bytes that sort as `time` does, times before 1970 included.
pub fn time(time: Timestamp) -> [u8; 8] {
    (time.as_micros().cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// The 32 bytes of a digest.
pub fn sha256(digest: &Sha256) -> [u8; 32] {
    let nibble = |digit: u8| {
        if digit.is_ascii_digit() {
            digit - b'0'
        } else {
            digit.wrapping_sub(b'a' - 10)
        }
    };
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(digest.as_str().as_bytes().chunks_exact(2)) {
        // A `Sha256` has 64 lower-case hexadecimal digits.
        *byte = digits.iter().fold(0, |byte, digit| byte << 4 | nibble(*digit));
    }
    bytes
}

/// The integer that [`u64`] made the first eight bytes of `key` from; `None` when there are fewer.
pub fn read_u64(key: &[u8]) -> Option<u64> {
    key.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// The integer that [`u32`] made the first four bytes of `key` from; `None` when there are fewer.
pub fn read_u32(key: &[u8]) -> Option<u32> {
    key.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// The time that [`time`] made the first eight bytes of `key` from; `None` when there are fewer.
pub fn read_time(key: &[u8]) -> Option<Timestamp> {
    read_u64(key).map(|n| Timestamp::from_micros((n ^ (1 << 63)).cast_signed()))
}

/// A key made of parts, one after the other.
///
/// ```
/// use tripline_actors::store::key::Key;
/// let key: Vec<u8> = Key::new().text("default").u64(7).into();
/// assert_eq!(key, b"default\0\0\0\0\0\0\0\0\x07");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    /// No parts yet.
    pub fn new() -> Self {
        Self(Vec::with_capacity(48))
    }

    /// Adds bytes as they are: an id, or the last part of a key.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds a text and the zero byte that ends it. Zero bytes within it are left out, so that no text can
    /// reach into the next part.
    pub fn text(mut self, text: &str) -> Self {
        self.0.extend(text.bytes().filter(|byte| *byte != 0));
        self.0.push(0);
        self
    }

    /// Adds an integer.
    pub fn u64(self, n: u64) -> Self {
        self.bytes(&u64(n))
    }

    /// Adds an integer.
    pub fn u32(self, n: u32) -> Self {
        self.bytes(&u32(n))
    }

    /// Adds a time.
    pub fn time(self, at: Timestamp) -> Self {
        self.bytes(&time(at))
    }
}

impl From<Key> for Vec<u8> {
    fn from(key: Key) -> Self {
        key.0
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
