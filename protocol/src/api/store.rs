//! The server's store and its automatic exports.

use crate::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// `GET /v1/store`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoreView {
    /// Exports that the server makes by itself.
    pub exports: ExportsView,
}

/// Exports that the server makes by itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExportsView {
    /// Their folder; none: they are off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// How often one is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// How many there may be.
    pub kept_max: u64,
    /// The last one that was made and verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<ExportView>,
    /// Why the last attempt failed; none after one that succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<ExportFailure>,
}

/// An export in the folder of exports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExportView {
    /// The name of its file.
    pub file: String,
    /// The moment whose rows it has.
    pub made_at: Timestamp,
    /// Bytes of its file.
    pub bytes: u64,
    /// Its rows; none when it was made before the server was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

/// An export that could not be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExportFailure {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub why: String,
}
