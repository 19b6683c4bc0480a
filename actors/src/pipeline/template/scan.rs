//! Takes a text apart at its `{{ … }}` and looks at what the expressions in it use, before minijinja sees
//! them: which filters and tests, which fields of `event` and `host`, which earlier steps.
//!
//! Statements (`{% … %}`), whitespace control and multiplication are refused here. That leaves expressions
//! whose result cannot be much longer than what they are given.

use crate::pipeline::problem::suggestion;

/// Longest expression between braces, in bytes.
const EXPRESSION_BYTES_MAX: usize = 1024;
/// Most `~` and `+` in an expression: each may copy a text as long as an event.
const CONCATENATIONS_MAX: usize = 16;

/// Filters an expression may use.
pub(super) const FILTERS: &[&str] = &[
    "default", "first", "float", "int", "join", "last", "length", "lower", "replace", "string", "tojson",
    "trim", "upper",
];
/// Tests (`is …`) an expression may use.
pub(super) const TESTS: &[&str] = &[
    "defined",
    "mapping",
    "none",
    "number",
    "sequence",
    "string",
    "undefined",
];

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Segment<'t> {
    Text(&'t str),
    /// Between the braces, trimmed.
    Expression(&'t str),
}

/// A use of a variable: its name and the first field, where that is written out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Use<'t> {
    pub(super) root: &'t str,
    pub(super) field: Option<&'t str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'t> {
    Word(&'t str),
    /// Without its quotes.
    Text(&'t str),
    Sign(char),
}

/// Whether there is anything of a template in `text`.
pub(in crate::pipeline) fn has_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// The parts of a text, in order; none is empty text.
pub(super) fn segments(text: &str) -> Result<Vec<Segment<'_>>, String> {
    let mut segments = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        push_text(&mut segments, before)?;
        let length = expression_length(after).ok_or("a {{ without its }}")?;
        let (inside, closed) = after.split_at_checked(length).unwrap_or((after, ""));
        segments.push(Segment::Expression(bare(inside)?));
        rest = closed.strip_prefix("}}").unwrap_or(closed);
    }
    push_text(&mut segments, rest)?;
    Ok(segments)
}

fn push_text<'t>(segments: &mut Vec<Segment<'t>>, text: &'t str) -> Result<(), String> {
    if text.contains("{%") {
        return Err(
            "statements are not supported in templates, only {{ expressions }}; \
                    the text itself is written {{ \"{%\" }}"
                .into(),
        );
    }
    if !text.is_empty() {
        segments.push(Segment::Text(text));
    }
    Ok(())
}

/// Bytes up to the `}}` that closes an expression, minding quotes and maps.
fn expression_length(text: &str) -> Option<usize> {
    let mut maps = 0_usize;
    let mut chars = text.char_indices().peekable();
    while let Some((index, char)) = chars.next() {
        match char {
            '"' | '\'' => drop(skip_text(char, &mut chars)?),
            '{' => maps += 1,
            '}' if maps > 0 => maps -= 1,
            '}' if chars.peek().is_some_and(|(_, next)| *next == '}') => return Some(index),
            _ => {}
        }
    }
    None
}

/// Moves behind the closing quote.
fn skip_text(quote: char, chars: &mut impl Iterator<Item = (usize, char)>) -> Option<usize> {
    while let Some((index, char)) = chars.next() {
        match char {
            '\\' => drop(chars.next()),
            char if char == quote => return Some(index),
            _ => {}
        }
    }
    None
}

fn bare(inside: &str) -> Result<&str, String> {
    if inside.starts_with(['-', '+']) || inside.ends_with(['-', '+']) {
        return Err("whitespace control ({{- and -}}) is not supported; leave a space after {{".into());
    }
    let inside = inside.trim();
    if inside.is_empty() {
        return Err("an empty {{ }}".into());
    }
    if inside.len() > EXPRESSION_BYTES_MAX {
        return Err(format!(
            "an expression of {} bytes, at most {EXPRESSION_BYTES_MAX} are taken",
            inside.len()
        ));
    }
    Ok(inside)
}

/// Refuses what an expression must not use, and tells which variables it does.
pub(super) fn uses(expression: &str) -> Result<Vec<Use<'_>>, String> {
    let tokens = tokens(expression);
    if tokens.contains(&Token::Sign('*')) {
        return Err("multiplication is not supported in templates".into());
    }
    let joins = tokens
        .iter()
        .filter(|token| matches!(token, Token::Sign('~' | '+')))
        .count();
    if joins > CONCATENATIONS_MAX {
        return Err(format!(
            "more than {CONCATENATIONS_MAX} of ~ and + in one expression"
        ));
    }
    let mut uses = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|index| tokens.get(index));
        let after = tokens.get(index + 1..).unwrap_or_default();
        match token {
            Token::Sign('|') => known("filter", FILTERS, after.first())?,
            Token::Word("is") if before.is_some() && before != Some(&Token::Sign('.')) => {
                let negated = after.first() == Some(&Token::Word("not"));
                known("test", TESTS, after.get(usize::from(negated)))?;
            }
            Token::Word(root) if before != Some(&Token::Sign('.')) => {
                uses.push(Use {
                    root,
                    field: field(after),
                });
            }
            _ => {}
        }
    }
    Ok(uses)
}

fn known(what: &str, names: &[&str], found: Option<&Token<'_>>) -> Result<(), String> {
    match found {
        Some(Token::Word(name)) if names.contains(name) => Ok(()),
        Some(Token::Word(name)) => {
            let hint = suggestion(name, names.iter().copied());
            Err(format!(
                "unknown {what} {name:?}, expected one of {}{hint}",
                names.join(", ")
            ))
        }
        _ => Err(format!("expected the name of a {what}")),
    }
}

/// The field in `.field` or `["field"]`.
fn field<'t>(after: &[Token<'t>]) -> Option<&'t str> {
    match after {
        [Token::Sign('.'), Token::Word(name), ..] => Some(name),
        [Token::Sign('['), Token::Text(name), Token::Sign(']'), ..] if !name.contains('\\') => Some(name),
        _ => None,
    }
}

fn tokens(expression: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut chars = expression.char_indices().peekable();
    while let Some((start, char)) = chars.next() {
        let slice = |start: usize, end: usize| expression.get(start..end).unwrap_or_default();
        if char == '"' || char == '\'' {
            let end = skip_text(char, &mut chars).unwrap_or(expression.len());
            tokens.push(Token::Text(slice(start + 1, end)));
        } else if char.is_alphanumeric() || char == '_' {
            let mut end = start + char.len_utf8();
            while let Some((index, next)) = chars.next_if(|(_, next)| next.is_alphanumeric() || *next == '_')
            {
                end = index + next.len_utf8();
            }
            tokens.push(Token::Word(slice(start, end)));
        } else if !char.is_whitespace() {
            tokens.push(Token::Sign(char));
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_apart_at_its_braces() {
        let parts = segments("/tmp/{{ event.data.pid }}.log{{ \"}}\" }}").unwrap();
        assert_eq!(
            parts,
            [
                Segment::Text("/tmp/"),
                Segment::Expression("event.data.pid"),
                Segment::Text(".log"),
                Segment::Expression("\"}}\"")
            ]
        );
        assert_eq!(
            segments("{{ {\"a\": {\"b\": 1}} }}").unwrap(),
            [Segment::Expression("{\"a\": {\"b\": 1}}")]
        );
        assert_eq!(
            segments("plain {not} }} one").unwrap(),
            [Segment::Text("plain {not} }} one")]
        );
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for text in ["{{ a", "{{ \"}} ", "{{ }}", "{% if x %}", "{{- a }}", "{{ a -}}"] {
            assert!(segments(text).is_err(), "{text}");
        }
        for expression in ["a * 2", "a | nope", "a is nope", "a is not nope", "a |"] {
            assert!(uses(expression).is_err(), "{expression}");
        }
        assert!(uses(&vec!["a"; 18].join("~")).is_err());
    }

    #[test]
    fn the_fields_used_are_found_behind_dots_and_brackets() {
        let uses =
            uses("steps.one.output ~ steps[\"two-b\"] ~ event.steps | default('steps.three')").unwrap();
        let of_steps: Vec<_> = uses
            .iter()
            .filter(|used| used.root == "steps")
            .map(|used| used.field)
            .collect();
        assert_eq!(of_steps, [Some("one"), Some("two-b")]);
    }
}
