//! Escapes of half characters in JSON.
//!
//! A process name of 15 bytes can end within a character. Python carries such a byte as a lone surrogate, and
//! writes `\udcc3`: no character, so no JSON for a strict reader, and the whole message would be lost for it.

const REPLACEMENT: &[u8; 6] = br"\ufffd";

/// The text with each lone surrogate replaced by U+FFFD; `None` when it has none.
pub(super) fn mend(body: &[u8]) -> Option<Vec<u8>> {
    let mut mended = None;
    let mut at = 0;
    while let Some(found) = body
        .get(at..)
        .and_then(|rest| rest.iter().position(|byte| *byte == b'\\'))
    {
        at += found;
        let (bytes, lone) = match (unit(body, at), unit(body, at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (12, false),
            (Some(0xd800..=0xdfff), _) => (6, true),
            _ => (2, false),
        };
        if lone {
            let text = mended.get_or_insert_with(|| body.to_vec());
            if let Some(escape) = text.get_mut(at..at + 6) {
                escape.copy_from_slice(REPLACEMENT);
            }
        }
        at += bytes;
    }
    mended
}

/// The UTF-16 unit escaped at `at`.
fn unit(body: &[u8], at: usize) -> Option<u16> {
    let digits = body.get(at..at + 6)?.strip_prefix(br"\u")?;
    let digits = std::str::from_utf8(digits).ok()?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::mend;

    fn mended(text: &str) -> Option<String> {
        mend(text.as_bytes()).map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn half_a_character_becomes_a_replacement() {
        assert_eq!(mended(r#""\udcc3""#).unwrap(), r#""\ufffd""#);
        assert_eq!(mended(r#""\ud83dx\uDCc3""#).unwrap(), r#""\ufffdx\ufffd""#);
        assert_eq!(mended(r"\ud83d\ud83d\ude00").unwrap(), r"\ufffd\ud83d\ude00");
    }

    #[test]
    fn whole_characters_and_escaped_backslashes_stay() {
        for text in [
            "",
            r"\",
            r"\u",
            r"\ud83",
            r"\ud83d\ude00",
            r"\u00e4",
            r"\\udcc3",
            r"\n\\\\udcc3",
        ] {
            assert_eq!(mended(text), None, "{text}");
        }
    }
}
