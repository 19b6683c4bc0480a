//! Tokens, and how agents come in.

use super::super::tokens;
use super::Group;
use super::operation::{Operation, delete, get, header, post};
use super::problem::AGENT_KEY;
use tripline_protocol::api::{CreateToken, CreatedToken, Enrol, Enrolled, Page, Role, TokenView};
use utoipa::openapi::response::ResponseBuilder;

pub(super) const GROUP: Group = Group {
    tag: "tokens",
    about: "Who may call. An administrator of one org sees and makes tokens of that org only.",
    operations: tokens,
};

pub(super) const AGENTS: Group = Group {
    tag: "agents",
    about: "The doors of agents. What goes through the channel is in docs/protocol.md.",
    operations: agents,
};

fn tokens() -> Vec<Operation> {
    vec![
        get("/v1/tokens", "listTokens", "List tokens")
            .role(Role::Admin)
            .query::<tokens::ListTokens>()
            .refused(422, &["bad_cursor"])
            .answers::<Page<TokenView>>(200, "A page of tokens, by id."),
        post("/v1/tokens", "createToken", "Make a token")
            .says("The answer has the secret, which is kept nowhere: there is no `Idempotency-Key` here.")
            .role(Role::Admin)
            .body::<CreateToken>()
            .refused(409, &["too_many_tokens"])
            .refused(422, &["token_name", "token_uses", "token_expires"])
            .makes::<CreatedToken>("The token, with its secret."),
        delete("/v1/tokens/{id}", "revokeToken", "Revoke a token")
            .role(Role::Admin)
            .refused(404, &["not_found"])
            .refused(409, &["admin_token"])
            .answers_nothing("It is in force no longer."),
    ]
}

fn agents() -> Vec<Operation> {
    let switching = ResponseBuilder::new()
        .description("The channel is open.")
        .header("Sec-WebSocket-Protocol", header("`tripline.agent.v1`"));
    vec![
        get("/v1/agent", "openAgentChannel", "Open an agent's channel")
            .says(
                "A WebSocket with the subprotocol `tripline.agent.v1`. The frames are not described here: docs/protocol.md, \
                 \"The agent channel\".",
            )
            .secured(AGENT_KEY, &[])
            .with(101, switching)
            .refused(400, &["bad_handshake"])
            .refused(401, &["unauthenticated", "unknown_agent_key"])
            .refused(429, &["too_many_requests"])
            .refused(500, &["internal"])
            .refused(503, &["busy", "unavailable"]),
        post("/v1/agent/enrol", "enrolAgent", "Enrol an agent")
            .says("The answer is the same whenever it is repeated.")
            .role(Role::Enrol)
            .body::<Enrol>()
            .refused(409, &["already_enrolled", "key_in_use"])
            .refused(422, &["bad_enrolment"])
            .answers::<Enrolled>(200, "The host."),
    ]
}
