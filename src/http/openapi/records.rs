//! The audit and the store.

use super::super::{audit, store};
use super::Group;
use super::operation::{Operation, get, post};
use tripline_protocol::api::{Page, Role, StoreView};
use tripline_protocol::audit::{AuditChain, AuditRecord, AuditVerified};

pub(super) const GROUP: Group = Group {
    tag: "records",
    about: "Who did what, verifiable; and the server's store.",
    operations,
};

fn operations() -> Vec<Operation> {
    audit_trail().into_iter().chain(stored()).collect()
}

fn audit_trail() -> Vec<Operation> {
    let chain = |operation: Operation| operation.refused(404, &["not_found"]);
    vec![
        get("/v1/audit", "listAudit", "List records of the audit")
            .says(
                "Newest first. A page may have fewer items than `limit`, and even none, while `next` says that there is \
                 more. A token that is bound to an org sees that org's chain only.",
            )
            .role(Role::Viewer)
            .query::<audit::ListAudit>()
            .refused(404, &["not_found"])
            .refused(422, &["bad_cursor", "too_many_chains"])
            .answers::<Page<AuditRecord>>(200, "A page of records."),
        get("/v1/audit/chains", "listChains", "List the chains of the audit")
            .role(Role::Viewer)
            .answers::<Page<AuditChain>>(200, "What is kept of each chain that the token may see."),
        chain(get("/v1/audit/{org}/records", "readRecords", "Read a chain"))
            .says("A line each, oldest first, exactly as they are kept and hashed; each is an `AuditRecord`.")
            .role(Role::Viewer)
            .query::<audit::ListRecords>()
            .answers_text("Records.", "application/x-ndjson"),
        chain(get("/v1/audit/{org}/records/{number}", "showRecord", "Read one record"))
            .says("Exactly as it is kept and hashed.")
            .role(Role::Viewer)
            .refused(400, &["bad_parameter"])
            .answers::<AuditRecord>(200, "The record."),
        chain(post("/v1/audit/{org}/verified", "noteVerified", "Say what a verification found"))
            .says("Who verified a chain puts on record that it did, and what it found.")
            .role(Role::Viewer)
            .body::<AuditVerified>()
            .answers_nothing("It is on record."),
    ]
}

fn stored() -> Vec<Operation> {
    vec![
        get("/v1/store", "showStore", "Show how the automatic exports are")
            .role(Role::Viewer)
            .answers::<StoreView>(200, "The exports that the server makes by itself."),
        get("/v1/store/export", "exportStore", "Export the store")
            .says("All rows at one moment, for `tripline store import`; see docs/operations.md.")
            .role(Role::Admin)
            .all_orgs()
            .query::<store::Wanted>()
            .answers_with(200, "The export.", "application/octet-stream", None),
    ]
}
