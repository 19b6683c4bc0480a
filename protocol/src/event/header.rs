//! Headers of a NATS message as text: finding one, and undoing CloudEvents' encoding of its value.

/// The first header of that name, in whatever case.
pub(super) fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// The value of a `ce-*` header as CloudEvents' NATS binding (1.0.3, 3.1.3.2) has it: quotes taken off, then
/// one round of percent-decoding. `None` when the bytes are no UTF-8.
pub(super) fn decode(value: &str) -> Option<String> {
    let value = unquote(value.trim());
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let encoded = after
            .split_first_chunk::<2>()
            .filter(|_| *first == b'%')
            .and_then(|(pair, after)| {
                let text = std::str::from_utf8(pair)
                    .ok()
                    .filter(|text| !text.starts_with('+'))?;
                Some((u8::from_str_radix(text, 16).ok()?, after))
            });
        let (byte, after) = encoded.unwrap_or((*first, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut characters = inner.chars();
    let mut text = String::with_capacity(inner.len());
    while let Some(character) = characters.next() {
        text.extend(if character == '\\' {
            characters.next()
        } else {
            Some(character)
        });
    }
    text
}
