//! Detections: events of a form that services and pipelines rely on, whoever reports them.

use crate::step::ServerCall;
use crate::subject::Etype;
use serde_json::{Map, Value, json};

/// What was detected.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// What, in 1 to [`ServerCall::CAT_CHARS_MAX`] characters on one line.
    pub cat: String,
    /// How urgent it is, 0 to [`ServerCall::PRIORITY_MAX`].
    pub priority: u8,
    /// More about it.
    pub data: Value,
}

impl Detection {
    /// What is wrong with it; `None`: nothing.
    pub fn fault(&self) -> Option<String> {
        fault(&self.cat, self.priority)
    }

    /// The data of its event: `cat`, `priority` and `data`, to which a reporter may add.
    pub fn to_data(self) -> Map<String, Value> {
        let Self { cat, priority, data } = self;
        let fields = [("cat", json!(cat)), ("priority", json!(priority)), ("data", data)];
        fields
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect()
    }
}

/// What is wrong with a detection; `None`: nothing.
pub(crate) fn fault(cat: &str, priority: u8) -> Option<String> {
    let most = ServerCall::PRIORITY_MAX;
    let high = || (priority > most).then(|| format!("priority {priority} is above {most}"));
    cat_fault(cat).or_else(high)
}

fn cat_fault(cat: &str) -> Option<String> {
    let most = ServerCall::CAT_CHARS_MAX;
    let fits = (1..=most).contains(&cat.chars().count()) && !cat.contains(char::is_control);
    (!fits).then(|| format!("cat must be 1 to {most} characters on one line"))
}

/// What is wrong with the data of an event of type `detection`: it must say what was detected. Other events have no form.
pub fn fault_of_event(etype: &Etype, data: &Value) -> Option<String> {
    if *etype != Etype::detection() {
        return None;
    }
    match data.get("cat") {
        Some(Value::String(cat)) => cat_fault(cat),
        Some(_) => Some("the cat of a detection must be a text".into()),
        None => Some("a detection needs data.cat, which says what was detected".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detection_says_what_was_detected() {
        let detection = |cat: &str, priority| Detection {
            cat: cat.into(),
            priority,
            data: json!([1]),
        };
        let data = json!({ "cat": "miner", "priority": 5, "data": [1] });
        assert_eq!(Value::Object(detection("miner", 5).to_data()), data);
        assert_eq!(detection(&"é".repeat(200), 10).fault(), None);
        for (cat, priority, expected) in [
            ("", 0, "1 to 200 characters"),
            ("a\nb", 0, "on one line"),
            ("a", 11, "priority 11 is above 10"),
        ] {
            let fault = detection(cat, priority).fault().unwrap();
            assert!(fault.contains(expected), "{fault}");
        }
        assert!(detection(&"é".repeat(201), 0).fault().is_some());
    }

    #[test]
    fn an_event_of_that_type_has_a_cat_and_others_need_none() {
        let fault = |etype: &str, data: Value| fault_of_event(&etype.parse().unwrap(), &data);
        assert_eq!(fault("acme.detection", json!(null)), None);
        // What else a detection has is its reporter's.
        assert_eq!(
            fault("detection", json!({ "cat": "miner", "priority": "high" })),
            None
        );
        for data in [
            json!(null),
            json!([]),
            json!({}),
            json!({ "cat": 1 }),
            json!({ "cat": "" }),
        ] {
            assert!(fault("detection", data.clone()).is_some(), "{data}");
        }
    }
}
