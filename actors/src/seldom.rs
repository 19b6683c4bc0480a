//! Log lines that somebody else can cause as often as he likes: some are written, the others counted.

use tripline_protocol::{Span, Timestamp};

/// Lines within one span.
const LINES_MAX: u64 = 5;
/// The span.
const SPAN: Span = Span::from_secs(60);

/// Lines about one host.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seldom {
    begun: Option<Timestamp>,
    lines: u64,
}

impl Seldom {
    /// Whether a line may be written at `now`; if so, how many were not since the last one.
    pub fn tell(&mut self, now: Timestamp) -> Option<u64> {
        let mut unwritten = 0;
        if self.is_over(now) {
            unwritten = self.lines.saturating_sub(LINES_MAX);
            (self.begun, self.lines) = (Some(now), 0);
        }
        self.lines += 1;
        (self.lines <= LINES_MAX).then_some(unwritten)
    }

    /// Whether a line now would be the first of a span.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.begun.is_none_or(|begun| now.since(begun) >= SPAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_lines_a_minute_are_written_and_the_next_minute_counts_the_others() {
        let mut seldom = Seldom::default();
        let at = |seconds| Timestamp::from_micros(0).after(Span::from_secs(seconds));
        let told: Vec<_> = (0..8).map(|second| seldom.tell(at(second))).collect();
        assert_eq!(
            told,
            [Some(0), Some(0), Some(0), Some(0), Some(0), None, None, None]
        );
        assert_eq!(seldom.tell(at(59)), None);
        assert_eq!(seldom.tell(at(60)), Some(4));
        assert_eq!(seldom.tell(at(61)), Some(0));
    }
}
