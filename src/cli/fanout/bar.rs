//! A bar on stderr, for people: how many hosts have their outcome. None when stderr is no terminal.

use super::view;
use indicatif::{ProgressBar, ProgressStyle};
use tripline_protocol::fanout::FanoutCounts;

const HOSTS: &str = "[{bar:30}] {pos}/{len} hosts: {msg}";

/// How far a fan-out is; it goes when it is dropped.
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::new(0);
        // The template is a constant that is right; a wrong one would only look different.
        bar.set_style(ProgressStyle::with_template(HOSTS).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self(bar)
    }

    /// So far.
    pub(super) fn at(&self, counts: &FanoutCounts) {
        self.0.set_length(counts.hosts);
        self.0.set_message(view::counts(counts));
        self.0.set_position(view::over(counts));
    }

    /// Does something to the terminal without the bar.
    pub(super) fn aside<T>(&self, what: impl FnOnce() -> T) -> T {
        self.0.suspend(what)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
