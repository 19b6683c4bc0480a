//! The JSON Schemas of files that are checked in are those of the code.

use crate::pages::root;
use serde_json::Value;
use tripline_actors::pipeline::{job_schema, pipeline_schema};

fn hold(path: &str, now: &Value) {
    let checked_in = std::fs::read_to_string(root().join(path)).unwrap_or_default();
    let now = serde_json::to_string_pretty(now).unwrap() + "\n";
    let mut lines = checked_in.lines().zip(now.lines()).enumerate();
    let first = lines.find(|(_, (old, new))| old != new);
    assert!(
        checked_in == now,
        "the language has changed: look at what `make schemas` changes in {path}, and check that in. The first line \
         that differs: {first:?}"
    );
}

#[test]
fn the_schemas_checked_in_are_the_codes() {
    hold("docs/pipeline.schema.json", &pipeline_schema());
    hold("docs/job.schema.json", &job_schema());
}
