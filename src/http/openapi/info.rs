//! What is said of the API as a whole.

use super::super::body::{BODY_BYTES_MAX, PAGE_ITEMS_MAX};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Info, InfoBuilder, License, Server, Tag};

/// Title, version and conventions.
pub(super) fn info() -> Info {
    let license = utoipa::openapi::info::LicenseBuilder::new()
        .name("MIT or Apache-2.0")
        .identifier(Some("MIT OR Apache-2.0"))
        .build();
    InfoBuilder::new()
        .title("Tripline")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(description()))
        .license(Some(license) as Option<License>)
        .build()
}

fn description() -> String {
    format!(
        "Turns events into live response: the HTTP API of the server.\n\n\
         **Conventions.** Bodies are JSON in UTF-8 of at most {BODY_BYTES_MAX} bytes where an operation does not say \
         otherwise. A field that is absent and one that is null are the same. Requests refuse fields that they do not \
         know, and so do queries; readers of answers pass such fields over, because a newer server may say more.\n\n\
         **Who calls.** Every operation of `/v1` names the role that its token needs: `viewer` reads, `operator` also \
         runs jobs, opens sessions and publishes events, `admin` may do everything, `enrol` only enrols agents. A token \
         that is bound to an org sees and changes nothing of another.\n\n\
         **Errors.** What is refused changed nothing and is answered with a problem (RFC 9457) whose `code` is a stable \
         word; each operation names the codes of its answers. A path that there is not is a 404 (`no_such_path`), a \
         method that a path does not take a 405 (`method_not_allowed`) with `Allow`.\n\n\
         **Pages.** A list has at most `limit` items (1 to {PAGE_ITEMS_MAX}); `next` of a page is the `after` of the next \
         one, and is absent on the last.\n\n\
         **Not described here:** what is on NATS, the frames of the agent channel and the LittleBrother clients' messages \
         (docs/protocol.md, docs/littlebrother.md), and the bodies of the Carbon Black dialect, which are that product's \
         (docs/carbon-black.md)."
    )
}

/// Paths stand for themselves: the document is served beside them.
pub(super) fn server() -> Server {
    Server::new("/")
}

/// A group of operations.
pub(super) fn tag(name: &str, about: &str) -> Tag {
    TagBuilder::new().name(name).description(Some(about)).build()
}
