//! The state machine of a service beside a model that looks at everything every time.

mod machine;
mod queue;
