//! Pipelines.

/// The rules in force.
#[derive(Debug, Default)]
pub struct RuleSet {}
