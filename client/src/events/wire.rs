//! Server-sent events, taken apart piece by piece as they come
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! Deliberately not here: what an event means.

/// Longest block that is read. An event has at most 768 KiB, and JSON can make a byte six.
pub(super) const BLOCK_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What is told by the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// A block with data.
    Message {
        /// The place to go on from, if the block or one before it has said one.
        id: Option<String>,
        name: String,
        data: String,
    },
    /// Only the place to go on from.
    Place(String),
}

/// A block is longer than [`BLOCK_BYTES_MAX`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Reads pieces.
#[derive(Debug, Default)]
pub(super) struct Reader {
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed after it belongs to it.
    after_return: bool,
    /// Whether a line was read.
    begun: bool,
    id: Option<String>,
    /// The block that is being read: whether it has an id, its name, its data.
    new_id: bool,
    name: String,
    data: String,
}

impl Reader {
    /// What comes with another piece.
    pub(super) fn read(&mut self, piece: &[u8]) -> Result<Vec<Told>, TooLong> {
        let mut told = Vec::new();
        for byte in piece {
            match byte {
                b'\n' if self.after_return => self.after_return = false,
                b'\n' | b'\r' => {
                    self.after_return = *byte == b'\r';
                    told.extend(self.end_line());
                }
                other => {
                    self.after_return = false;
                    self.line.push(*other);
                    if self.line.len() + self.data.len() > BLOCK_BYTES_MAX {
                        return Err(TooLong);
                    }
                }
            }
        }
        Ok(told)
    }

    fn end_line(&mut self) -> Option<Told> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        let line = match std::mem::replace(&mut self.begun, true) {
            true => &*line,
            // A byte order mark may be in front of everything.
            false => line.trim_start_matches('\u{feff}'),
        };
        if line.is_empty() {
            return self.end_block();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => {
                self.id = Some(value.to_owned());
                self.new_id = true;
            }
            // A comment, whose field is empty, or what a newer server may say.
            _ => {}
        }
        None
    }

    fn end_block(&mut self) -> Option<Told> {
        let name = std::mem::take(&mut self.name);
        let mut data = std::mem::take(&mut self.data);
        let new_id = std::mem::take(&mut self.new_id);
        if data.pop().is_none() {
            return self.id.clone().filter(|_| new_id).map(Told::Place);
        }
        Some(Told::Message {
            id: self.id.clone(),
            name,
            data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<Told> {
        Reader::default().read(text.as_bytes()).expect("short")
    }

    fn message(id: Option<&str>, name: &str, data: &str) -> Told {
        Told::Message {
            id: id.map(str::to_owned),
            name: name.to_owned(),
            data: data.to_owned(),
        }
    }

    #[test]
    fn a_stream_is_taken_apart_by_its_rules() {
        let text = "\u{feff}id: 7\n\n: alive\n\nid: 8\nevent: a.b\ndata: {}\n\nretry: 5\ndata:one\ndata: two\r\n\r\nevent: x\n\ndata\n\n";
        assert_eq!(
            read(text),
            [
                Told::Place("7".into()),
                message(Some("8"), "a.b", "{}"),
                message(Some("8"), "", "one\ntwo"),
                message(Some("8"), "", ""),
            ]
        );
    }

    #[test]
    fn what_is_not_whole_is_not_told() {
        assert_eq!(read("id: 1\ndata: cut of"), []);
        assert_eq!(read("data: cut\n"), []);
    }

    #[test]
    fn a_block_without_an_end_is_not_collected_for_ever() {
        let mut reader = Reader::default();
        let piece = vec![b'x'; 1024 * 1024];
        let refused = (0..=8)
            .map(|_| reader.read(&piece))
            .any(|told| told == Err(TooLong));
        assert!(refused);
        let lines = "data: 0123456789\n".repeat(BLOCK_BYTES_MAX / 10 + 1);
        assert_eq!(Reader::default().read(lines.as_bytes()), Err(TooLong));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_stream_is_cut(lines in vec("(id: [0-9]|data: [a-zä]{0,3}|event: [a-z]|: x|)(\n|\r|\r\n)", 0..30), cuts in vec(0..200_usize, 0..20)) {
            let text = lines.concat();
            let whole = read(&text);
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < text.len()).collect();
            cuts.sort_unstable();
            let (mut reader, mut told, mut from) = (Reader::default(), Vec::new(), 0);
            for cut in cuts.into_iter().chain([text.len()]) {
                told.extend(reader.read(&text.as_bytes()[from..cut]).expect("short"));
                from = cut;
            }
            prop_assert_eq!(told, whole);
        }
    }
}
