//! The labels of hosts: those that administrators gave, and those that an agent's configuration gives.
//!
//! The first are rows of their own, which only the Directory writes; the second are in the host's record, which its
//! Host actor writes at each attachment. So neither overwrites the other, and a host has the labels of both.

use crate::ground::read;
use crate::record::{HostRecord, encode};
use crate::refusal::Refusal;
use crate::store::{Batch, Store, Table};
use std::collections::BTreeSet;
use tripline_protocol::api::ChangeLabels;
use tripline_protocol::limit::LABELS_MAX;
use tripline_protocol::{HostId, Label};

/// How an administrator changes the labels of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelChange {
    /// To these and no others.
    Set(Vec<Label>),
    /// By adding and removing.
    Change(ChangeLabels),
}

/// What administrators gave.
pub(crate) fn given(store: &Store, host_id: HostId) -> Result<BTreeSet<Label>, Refusal> {
    Ok(read(store, Table::HostLabels, host_id.as_bytes(), "labels")?.unwrap_or_default())
}

/// All labels of a host, each once and in order.
pub(crate) fn all(store: &Store, record: &HostRecord) -> Result<Vec<String>, Refusal> {
    let mut labels: BTreeSet<String> = record.labels.iter().cloned().collect();
    let given = given(store, record.host_id)?;
    labels.extend(given.iter().map(Label::to_string));
    Ok(labels.into_iter().collect())
}

/// The label of a host for which no pipeline may touch it, if it has one.
pub(crate) fn protecting<'l>(labels: &'l [String], protected: &[Label]) -> Option<&'l String> {
    let protects = |label: &&String| protected.iter().any(|other| other.as_str() == label.as_str());
    labels.iter().find(protects)
}

/// A label as it is written.
pub(crate) fn label(text: &str) -> Option<Label> {
    text.parse().ok()
}

/// For people, as the reason why a pipeline does not act.
pub(crate) fn protected_text(label: &str) -> String {
    format!("its host has the label {label}, and hosts.protected keeps pipelines away from it")
}

pub(crate) fn put(batch: &mut Batch, host_id: HostId, given: &BTreeSet<Label>) {
    let key = host_id.as_bytes().to_vec();
    match given.is_empty() {
        true => batch.delete(Table::HostLabels, key),
        false => batch.put(Table::HostLabels, key, encode(given)),
    }
}

/// What administrators gave after a change. `by_agent` are the labels that an agent's configuration gives, which
/// nobody can take away here.
pub(crate) fn changed(
    mut given: BTreeSet<Label>,
    change: LabelChange,
    by_agent: &[String],
) -> Result<BTreeSet<Label>, Refusal> {
    match change {
        LabelChange::Set(labels) => given = labels.into_iter().collect(),
        LabelChange::Change(ChangeLabels { add, remove }) => {
            if let Some(label) = remove.iter().find(|label| add.contains(label)) {
                let detail = format!("label {label} cannot be added and removed at once");
                return Err(invalid("bad_labels", detail));
            }
            for label in &remove {
                refuse_foreign(&given, label, by_agent)?;
                given.remove(label);
            }
            given.extend(add);
        }
    }
    if given.len() > LABELS_MAX {
        let detail = format!("a host can be given {LABELS_MAX} labels, not {}", given.len());
        return Err(invalid("too_many_labels", detail));
    }
    Ok(given)
}

fn refuse_foreign(given: &BTreeSet<Label>, label: &Label, by_agent: &[String]) -> Result<(), Refusal> {
    if given.contains(label) || !by_agent.iter().any(|known| known == label.as_str()) {
        return Ok(());
    }
    let detail = format!("label {label} is given by the configuration of the host's agent; remove it there");
    Err(Refusal::Conflict {
        code: "label_of_agent",
        detail,
    })
}

fn invalid(code: &'static str, detail: String) -> Refusal {
    Refusal::Invalid { code, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(words: &[&str]) -> Vec<Label> {
        words.iter().map(|word| word.parse().unwrap()).collect()
    }

    fn change(given: &[&str], add: &[&str], remove: &[&str]) -> Result<Vec<String>, Refusal> {
        let wanted = LabelChange::Change(ChangeLabels {
            add: labels(add),
            remove: labels(remove),
        });
        let given = labels(given).into_iter().collect();
        changed(given, wanted, &["of-agent".to_owned()])
            .map(|labels| labels.iter().map(Label::to_string).collect())
    }

    #[test]
    fn labels_are_added_and_removed_and_each_is_there_once() {
        assert_eq!(change(&["b"], &["a", "b", "a"], &[]).unwrap(), ["a", "b"]);
        assert_eq!(change(&["a", "b"], &["c"], &["a", "gone"]).unwrap(), ["b", "c"]);
    }

    #[test]
    fn what_the_agents_configuration_gives_is_not_taken_away_here() {
        assert_eq!(
            change(&[], &[], &["of-agent"]).unwrap_err().code(),
            "label_of_agent"
        );
        // Given by both, it is the administrator's to take.
        assert_eq!(
            change(&["of-agent"], &[], &["of-agent"]).unwrap(),
            [] as [&str; 0]
        );
        assert_eq!(change(&[], &["of-agent"], &[]).unwrap(), ["of-agent"]);
    }

    #[test]
    fn a_contradiction_and_too_many_are_refused() {
        assert_eq!(change(&["a"], &["a"], &["a"]).unwrap_err().code(), "bad_labels");
        let many: Vec<String> = (0..=LABELS_MAX).map(|n| format!("l{n}")).collect();
        let mut many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(change(&[], &many, &[]).unwrap_err().code(), "too_many_labels");
        many.pop();
        assert_eq!(change(&[], &many, &[]).unwrap().len(), LABELS_MAX);
        let one_more = LabelChange::Set(labels(&many).into_iter().chain(labels(&["x"])).collect());
        assert_eq!(
            changed(BTreeSet::new(), one_more, &[]).unwrap_err().code(),
            "too_many_labels"
        );
    }
}
