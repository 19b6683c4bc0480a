//! What `get_resource` asks for and is answered.

use crate::id::Sha256;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The `data` of a `get_resource`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetResource {
    /// What is asked for.
    pub resource: ResourceNames,
    /// Whether the content is wanted, or only its hash. A cloud writes it always: the Python implementation needs it.
    #[serde(default)]
    pub is_include_data: bool,
}

/// One name, or several; the form of the answer follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ResourceNames {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// The `data` of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ResourceAnswer {
    /// To several names.
    Many {
        /// By name.
        resources: BTreeMap<String, Resource>,
    },
    /// To one name.
    One(Resource),
}

/// Something a service offers by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// SHA-256 of the content.
    pub hash: Sha256,
    /// What it is, such as `lookup` or `detect`.
    pub res_cat: String,
    /// The content in standard base64, when it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub res_data: Option<String>,
}
