//! How long to wait before the next attempt to reach the server.

use std::time::Duration;
use uuid::Uuid;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(15);

/// Doubles from 0.2 s to 15 s; each wait is a random half to whole of it, so that many agents do not come
/// back at once.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// Begins again with the shortest wait.
    pub fn reset(&mut self) {
        self.next = FIRST;
    }

    /// The next wait, chosen by a fraction from 0 to 1.
    fn step(&mut self, fraction: f64) -> Duration {
        let most = self.next;
        self.next = (most * 2).min(LONGEST);
        most.mul_f64(0.5 + fraction.clamp(0.0, 1.0) / 2.0)
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        // Version and variant are in the upper half.
        let random = (Uuid::new_v4().as_u128() & 0xffff_ffff) as u32;
        self.step(f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_the_longest_and_start_again() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..9).map(|_| backoff.step(1.0).as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 6400, 12800, 15000, 15000]);
        backoff.reset();
        assert_eq!(backoff.step(0.0).as_millis(), 100);
    }
}
