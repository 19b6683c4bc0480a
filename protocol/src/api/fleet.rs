//! Hosts that an administrator forgets.

use crate::id::{HostId, Org};
use serde::{Deserialize, Serialize};

/// Answer to `DELETE /v1/hosts/{host}`: what was forgotten, and what was ended for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgottenHost {
    /// Its id; ended jobs and sessions still name it.
    pub host_id: HostId,
    /// Its name.
    pub hostname: String,
    /// Its tenant.
    pub org: Org,
    /// Jobs that were cancelled for it.
    #[serde(default)]
    pub jobs_cancelled: u32,
    /// Sessions that were closed for it.
    #[serde(default)]
    pub sessions_closed: u32,
}
