//! `/healthz` and `/readyz`: for process supervisors and load balancers, without a token.

use super::HttpState;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use tripline_actors::Readiness;

/// Answers while the process serves at all.
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .content_type("text/plain")
        .body("ok\n")
}

/// `GET /readyz`.
#[derive(Debug, PartialEq, Serialize)]
struct Ready {
    /// Whether every part is.
    ready: bool,
    #[serde(flatten)]
    actors: Readiness,
    /// Whether the broker is connected.
    broker: bool,
    /// Which broker, or why there is none.
    broker_detail: String,
    /// Whether no new jobs start; that is as somebody wants it and leaves the server ready.
    paused: bool,
    /// Whether it is ending, and takes no new work.
    draining: bool,
}

/// What of the whole server an operator has asked for.
#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    paused: bool,
    draining: bool,
}

impl Ready {
    fn new(actors: Readiness, broker: bool, broker_detail: String, asked: Asked) -> Self {
        let Readiness {
            store,
            disk,
            outbox,
            actors: running,
        } = actors;
        Self {
            ready: store && disk && outbox && running && broker && !asked.draining,
            actors,
            broker,
            broker_detail,
            paused: asked.paused,
            draining: asked.draining,
        }
    }
}

/// 200 when the server can do its work, else 503; the body says which part cannot.
pub(super) async fn ready(state: web::Data<HttpState>) -> HttpResponse {
    let ready = Ready::new(
        state.core.readiness(),
        state.broker.connected(),
        state.broker.detail(),
        Asked {
            paused: state.core.pause_view().paused,
            draining: state.core.is_draining(),
        },
    );
    let mut response = match ready.ready {
        true => HttpResponse::Ok(),
        false => HttpResponse::ServiceUnavailable(),
    };
    response.insert_header((CACHE_CONTROL, "no-store")).json(ready)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Readiness = Readiness {
        store: true,
        disk: true,
        outbox: true,
        actors: true,
    };

    #[test]
    fn the_server_is_ready_only_when_every_part_is() {
        assert!(Ready::new(ALL, true, String::new(), Asked::default()).ready);
        assert!(!Ready::new(ALL, false, String::new(), Asked::default()).ready);
        for part in [
            Readiness { store: false, ..ALL },
            Readiness { disk: false, ..ALL },
            Readiness { outbox: false, ..ALL },
            Readiness { actors: false, ..ALL },
        ] {
            assert!(
                !Ready::new(part.clone(), true, String::new(), Asked::default()).ready,
                "{part:?}"
            );
        }
    }

    #[test]
    fn a_paused_server_is_ready_and_one_that_ends_is_not() {
        for (paused, draining) in [(true, false), (false, true)] {
            let ready = Ready::new(ALL, true, String::new(), Asked { paused, draining });
            assert_eq!(ready.ready, paused, "{ready:?}");
        }
    }

    #[test]
    fn each_part_is_told() {
        let ready = Ready::new(
            Readiness { disk: false, ..ALL },
            false,
            "connecting".into(),
            Asked {
                paused: true,
                draining: false,
            },
        );
        assert_eq!(
            serde_json::to_value(ready).expect("JSON"),
            serde_json::json!({"ready": false, "store": true, "disk": false, "outbox": true, "actors": true,
                "broker": false, "broker_detail": "connecting", "paused": true, "draining": false})
        );
    }
}
