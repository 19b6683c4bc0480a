//! Numbers that a field must reach or keep below.

use super::field::Numbers;
use super::shelf::Number;
use crate::pipeline::condition::need::Side;

/// The bounds that pipelines compare one field with.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    least: Vec<(f64, Number)>,
    most: Vec<(f64, Number)>,
}

impl Bounds {
    pub(super) fn add(&mut self, side: Side, bound: f64, number: Number) {
        match side {
            Side::Least => self.least.push((bound, number)),
            Side::Most => self.most.push((bound, number)),
        }
    }

    /// Puts them in order, when all are there.
    pub(super) fn finish(&mut self) {
        for bounds in [&mut self.least, &mut self.most] {
            bounds.sort_unstable_by(|(one, _), (other, _)| one.total_cmp(other));
            bounds.shrink_to_fit();
        }
    }

    /// Adds those whose bound `value` does not miss.
    pub(super) fn find(&self, value: f64, found: &mut Numbers) {
        let reached = self.least.partition_point(|(bound, _)| *bound <= value);
        found.extend(self.least.iter().take(reached).map(|(_, number)| number));
        let exceeded = self.most.partition_point(|(bound, _)| *bound < value);
        found.extend(self.most.iter().skip(exceeded).map(|(_, number)| number));
    }

    /// Adds all.
    pub(super) fn all(&self, found: &mut Numbers) {
        found.extend(self.least.iter().chain(&self.most).map(|(_, number)| number));
    }
}
