//! Changes of jobs and hosts, for who follows them.

use super::Core;
use crate::changes::{Follower, Mark};
use tripline_protocol::api::{HostChange, JobChange};

impl Core {
    /// Every change of a job's state from now on, or from what came after `mark` on; of all orgs.
    pub fn follow_jobs(&self, mark: Option<Mark>) -> Follower<JobChange> {
        self.ground.streams.follow_jobs(mark)
    }

    /// Every change of a host from now on; of all orgs. What is listed after this call was made is not older than the
    /// first change that is heard.
    pub fn follow_hosts(&self) -> Follower<HostChange> {
        self.ground.streams.follow_hosts()
    }
}
