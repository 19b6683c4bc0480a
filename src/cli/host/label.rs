//! Labels as the command line says and shows them: `+dmz` gives one, `-dmz` takes it away.

use tripline_protocol::Label;
use tripline_protocol::api::{ChangeLabels, HostView};

/// One label to be there, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Change {
    Add(Label),
    Remove(Label),
}

/// Reads `+LABEL` or `-LABEL`.
pub(super) fn change(text: &str) -> Result<Change, String> {
    let label = |text: &str| text.parse::<Label>().map_err(|error| error.to_string());
    match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(text), _) => label(text).map(Change::Add),
        (_, Some(text)) => label(text).map(Change::Remove),
        _ => Err("write +LABEL to give it and -LABEL to take it away".to_owned()),
    }
}

pub(super) fn body(changes: Vec<Change>) -> ChangeLabels {
    let mut body = ChangeLabels::default();
    for change in changes {
        match change {
            Change::Add(label) => body.add.push(label),
            Change::Remove(label) => body.remove.push(label),
        }
    }
    body
}

/// A label that hosts are to have. Over HTTP a list has commas, which people try here as well.
pub(super) fn wanted(text: &str) -> Result<Label, String> {
    match text.contains(',') {
        true => Err("one label only; give --label several times for hosts with all of them".to_owned()),
        false => text.parse::<Label>().map_err(|error| error.to_string()),
    }
}

/// All labels of a host; those that its agent's configuration gives are marked.
pub(super) fn shown(host: &HostView) -> String {
    let mark = |label: &String| match host.agent_labels.contains(label) {
        true => format!("{label} (agent)"),
        false => label.clone(),
    };
    host.labels.iter().map(mark).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_say_what_is_given_and_what_is_taken_away() {
        let changes = ["+dmz", "-old", "+owner:ana"].map(|text| change(text).unwrap());
        let body = body(changes.into());
        assert_eq!(body.add, ["dmz".parse().unwrap(), "owner:ana".parse().unwrap()]);
        assert_eq!(body.remove, ["old".parse().unwrap()]);
    }

    #[test]
    fn several_labels_at_once_are_refused_with_how_to_give_them() {
        assert_eq!(wanted("owner:ana"), Ok("owner:ana".parse().unwrap()));
        for wrong in ["a,b", "a,"] {
            assert!(wanted(wrong).unwrap_err().contains("several times"), "{wrong}");
        }
        assert!(wanted("a b").is_err());
    }

    #[test]
    fn what_has_no_sign_or_is_no_label_is_refused() {
        for wrong in ["dmz", "", "+", "-", "+a b", "--output"] {
            assert!(change(wrong).is_err(), "{wrong:?}");
        }
        let long = change(&format!("+{}", "x".repeat(100_000))).unwrap_err();
        assert!(long.len() < 300, "{long}");
    }
}
