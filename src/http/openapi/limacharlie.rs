//! The LimaCharlie dialect: which paths there are while `limacharlie.secret` is set. Calls are in docs/limacharlie.md.

use super::Group;
use super::operation::{Operation, post, put};

pub(super) const GROUP: Group = Group {
    tag: "compatibility: LimaCharlie",
    about: "What LimaCharlie calls, while `limacharlie.secret` is set; each call carries `lc-svc-sig`, an HMAC-SHA256 of its \
            body. See docs/limacharlie.md.",
    operations,
};

fn operations() -> Vec<Operation> {
    vec![
        post("/lc", "lcCall", "A call of LimaCharlie")
            .body_not_described("application/json")
            .answers_json(),
        put(
            "/lc",
            "lcCallPut",
            "The same, as the reference implementation takes it",
        )
        .body_not_described("application/json")
        .answers_json(),
    ]
}
