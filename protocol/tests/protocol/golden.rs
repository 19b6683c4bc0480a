//! Golden files: a map of cases, each of which a test must claim.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;

/// The text of a golden file.
pub(crate) fn text(file: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "golden", file]
        .iter()
        .collect();
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The cases of a golden file; dropping it fails the test while cases are left unclaimed.
pub(crate) struct Golden {
    file: &'static str,
    cases: BTreeMap<String, Box<RawValue>>,
}

impl Golden {
    pub(crate) fn open(file: &'static str) -> Self {
        let cases = serde_json::from_str(&text(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        Self { file, cases }
    }

    /// `value` is written as the file has it, field for field, and read from it.
    pub(crate) fn both_ways<T>(&mut self, case: &str, value: &T)
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug,
    {
        let text = self
            .cases
            .remove(case)
            .unwrap_or_else(|| panic!("{}: no case {case:?}", self.file));
        let text = text.get();
        let expected: Value = serde_json::from_str(text).unwrap();
        let written = serde_json::to_value(value).unwrap();
        assert_eq!(written, expected, "{}: writing {case:?}", self.file);
        let read: T =
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{}: {case:?}: {error}", self.file));
        assert_eq!(&read, value, "{}: reading {case:?}", self.file);
        let again: T = serde_json::from_value(expected).unwrap();
        assert_eq!(&again, value, "{}: reading {case:?} from a value", self.file);
    }
}

impl Drop for Golden {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let left: Vec<&String> = self.cases.keys().collect();
            assert!(
                left.is_empty(),
                "{}: cases that no test claims: {left:?}",
                self.file
            );
        }
    }
}
