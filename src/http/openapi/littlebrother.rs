//! The LittleBrother dialect: which paths there are while `littlebrother.secret` is set. Messages are in
//! docs/littlebrother.md and in that product.

use super::Group;
use super::operation::{Operation, get, post};

pub(super) const GROUP: Group = Group {
    tag: "compatibility: LittleBrother",
    about: "What LittleBrother clients and their desktop app ask, while `littlebrother.secret` is set; a client gives the \
            secret in each message. Every path is also served with `//` in front. See docs/littlebrother.md.",
    operations,
};

fn operations() -> Vec<Operation> {
    vec![
        get("/health", "lbHealth", "Whether the server is there").answers_text("It is.", "application/txt"),
        post(
            "/api/events",
            "lbEvents",
            "A client's message, answered with events for it",
        )
        .body_not_described("application/json")
        .answers_json(),
        get("/api/status", "lbStatus", "A user's status, for the desktop app").answers_json(),
        post(
            "/api/request-time-extension",
            "lbExtend",
            "Ask for more time; there is never any",
        )
        .answers_json(),
    ]
}
