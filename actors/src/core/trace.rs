//! Where traces go.

use super::Core;
use crate::trace::TraceSink;
use std::sync::Arc;

impl Core {
    /// From now on the spans of what is done go to `sink`. Whether those of an event are wanted says its `traceparent`;
    /// of events and jobs without one, `ratio` of 1 is. Only the first call counts.
    pub fn set_traces(&self, sink: Arc<dyn TraceSink>, ratio: f64) {
        self.ground.traces.set(sink, ratio);
    }
}
