//! Purging the streams of an org, and how loud it is said that this fails.

use super::super::messages::OrgPurged;
use super::Parts;
use crate::refusal::Refusal;
use tripline_protocol::{Span, Timestamp};

/// A purge that fails for so long is no short absence of the broker: each time it is over, there is a warning.
const WARN_EVERY: Span = Span::from_secs(300);

/// Purges of an org that failed, one after another.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// When the first of them did, or there was a warning last.
    since: Option<Timestamp>,
}

/// What is said of a purge that failed.
#[derive(Debug, PartialEq, Eq)]
enum Say {
    /// That there is one.
    Info,
    Nothing,
    /// That somebody has to look.
    Warning,
}

impl Failures {
    fn another(&mut self, now: Timestamp) -> Say {
        match self.since {
            None => {
                self.since = Some(now);
                Say::Info
            }
            Some(since) if now.since(since) >= WARN_EVERY => {
                self.since = Some(now);
                Say::Warning
            }
            Some(_) => Say::Nothing,
        }
    }
}

impl Parts {
    /// Whether the streams were purged, and that is durable.
    pub(super) async fn purge(&mut self) -> Result<bool, Refusal> {
        let filters = self.ground.config.subjects.of_org(&self.org).to_vec();
        if let Err(error) = self.ground.publisher.purge(filters).await {
            match self.failures.another(self.ground.now()) {
                Say::Info => {
                    tracing::info!(org = %self.org, %error, "the streams of a removed org are not purged yet");
                }
                Say::Nothing => {}
                Say::Warning => tracing::warn!(
                    org = %self.org,
                    %error,
                    "the streams of a removed org cannot be purged: the broker is away, or does not let this server"
                ),
            }
            return Ok(false);
        }
        self.failures = Failures::default();
        let org = self.org.clone();
        self.ask(|reply| self.role.do_send(OrgPurged { org, reply }))
            .await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_that_fails_for_long_is_warned_of_and_not_at_every_attempt() {
        let mut failures = Failures::default();
        let mut at = |seconds| failures.another(Timestamp::from_micros(0).after(Span::from_secs(seconds)));
        assert_eq!(at(0), Say::Info);
        assert_eq!(at(5), Say::Nothing);
        assert_eq!(at(299), Say::Nothing);
        assert_eq!(at(300), Say::Warning);
        assert_eq!(at(305), Say::Nothing);
        assert_eq!(at(600), Say::Warning);
    }
}
