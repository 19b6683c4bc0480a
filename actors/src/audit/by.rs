//! On whose behalf something is done.

use crate::access::Principal;
use serde::{Deserialize, Serialize};
use tripline_protocol::audit::{Place, Who, WhoKind};
use tripline_protocol::job::PipelineRef;

/// Who, and from where. Edges make one of each request and pass it on with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// Who.
    pub who: Who,
    /// From where; `None`: the server did it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Place>,
}

impl By {
    /// The server itself, or whoever can write its files.
    pub fn system() -> Self {
        Self {
            who: Who::of_kind(WhoKind::System),
            from: None,
        }
    }

    /// A pipeline.
    pub fn pipeline(pipeline: &PipelineRef) -> Self {
        Self {
            who: Who::pipeline(&pipeline.name, pipeline.version.as_str()),
            from: None,
        }
    }

    /// LimaCharlie, whose signature was right.
    pub fn limacharlie(from: Option<Place>) -> Self {
        Self {
            who: Who::of_kind(WhoKind::Limacharlie),
            from,
        }
    }

    /// Somebody whose token, key or secret is not valid.
    pub fn unknown(from: Place) -> Self {
        Self {
            who: Who::of_kind(WhoKind::Unknown),
            from: Some(from),
        }
    }
}

impl From<&Principal> for By {
    fn from(principal: &Principal) -> Self {
        let who = Who {
            name: Some(principal.name.clone()),
            role: Some(principal.role),
            ..Who::with_id(WhoKind::Token, &principal.token_id)
        };
        Self {
            who,
            from: principal.place.clone(),
        }
    }
}
