//! A whole service: it hears of suspicious logins, and greets whoever asks.
//!
//! `GREETER_SECRET=shared cargo run -p tripline-service --features server --example greeter`, then
//! `TRIPLINE_SERVICE_SECRET=shared tripline service test http://127.0.0.1:8080/`.

use serde_json::json;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::SystemTime;
use tripline_service::protocol::{Answer, Call, Parameter, ParameterKind};
use tripline_service::{On, Runtime, Service, on, server};

struct Greeter;

impl Service for Greeter {
    fn detect_subscriptions(&self) -> Vec<String> {
        vec!["suspicious-login".to_owned()]
    }

    fn on_detection(&self) -> On<'_> {
        on(async |call: Call| {
            let host = call
                .data
                .pointer("/routing/hostname")
                .and_then(|name| name.as_str());
            println!("a suspicious login on {}", host.unwrap_or("an unknown host"));
            Answer::done()
        })
    }

    fn request_params(&self) -> BTreeMap<String, Parameter> {
        let name = Parameter {
            kind: ParameterKind::Str,
            desc: "whom to greet".to_owned(),
            is_required: true,
            values: Vec::new(),
        };
        BTreeMap::from([("name".to_owned(), name)])
    }

    fn on_request(&self) -> On<'_> {
        on(async |call: Call| {
            let name = call.data.pointer("/name").and_then(|name| name.as_str());
            Answer::done_with(json!({"greeting": format!("hello, {}", name.unwrap_or_default())}))
        })
    }
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let missing = "GREETER_SECRET must be set: what the cloud signs with";
    let secret = std::env::var("GREETER_SECRET").map_err(|_| std::io::Error::other(missing))?;
    let runtime = Runtime::new(Arc::new(Greeter), secret, SystemTime::now().into());
    server::serve(Arc::new(runtime), TcpListener::bind(server::address()?)?).await
}
