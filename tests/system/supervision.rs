//! What a service manager and a health check see of a server.

use crate::harness::{Broker, Server, Site, tripline};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// What a service manager's socket holds, without waiting.
fn told(manager: &UnixDatagram) -> String {
    let mut buffer = [0; 1024];
    let mut text = String::new();
    while let Ok(length) = manager.recv(&mut buffer) {
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    text
}

fn manager(socket: &Path) -> UnixDatagram {
    let manager = UnixDatagram::bind(socket).expect("a socket");
    manager.set_nonblocking(true).expect("to look without waiting");
    manager
}

#[tokio::test]
async fn the_service_manager_is_told_when_the_server_serves_and_when_it_stops() {
    let site = Site::new().await;
    let socket = site.path("notify");
    let manager = manager(&socket);
    let mut server = Server::prepare(&site, &[]);
    server.set_variable("NOTIFY_SOCKET", &socket);
    server.spawn();
    server.process().says("tripline is ready").await;
    server.ready().await;
    let ready = told(&manager);
    assert!(
        ready.contains("READY=1\n") && !ready.contains("STOPPING"),
        "{ready:?}"
    );
    assert!(ready.contains(&format!(" and {}\n", server.url())), "{ready:?}");
    assert!(server.terminate().await.success());
    assert!(told(&manager).starts_with("STOPPING=1\n"));
}

#[tokio::test]
async fn a_server_that_does_not_start_never_says_that_it_serves() {
    let site = Site::new().await;
    let socket = site.path("notify");
    let manager = manager(&socket);
    let mut server = Server::prepare(&site, &[("slots.total", "none")]);
    server.set_variable("NOTIFY_SOCKET", &socket);
    server.spawn();
    assert_eq!(server.process().end().await.code(), Some(2));
    assert_eq!(told(&manager), "");
}

#[tokio::test]
async fn the_health_command_tells_by_its_exit_code_what_readyz_says() {
    let site = Site::new().await;
    let data = site.path("data");
    let mut broker = Broker::start(&site).await;
    let mut server = Server::start(&site, &[("nats.url", broker.url())]).await;
    let well = tripline(&data, &["health"]).await;
    assert_eq!((well.code, well.stderr.as_str()), (0, ""), "{well:?}");

    broker.kill();
    server.readiness(503).await;
    let ill = tripline(&data, &["health", "--output", "json"]).await;
    assert_eq!(ill.code, 1, "{ill:?}");
    assert!(ill.stderr.contains("not ready: broker"), "{ill:?}");
    let parts: serde_json::Value = serde_json::from_str(&ill.stdout).expect("JSON");
    assert_eq!(
        (&parts["ready"], &parts["broker"], &parts["store"]),
        (&false.into(), &false.into(), &true.into())
    );
    let table = tripline(&data, &["health"]).await;
    assert!(table.stdout.contains("broker_detail"), "{table:?}");

    let url = server.url();
    assert!(server.terminate().await.success());
    let away = tripline(&data, &["health", "--server", &url]).await;
    assert_eq!((away.code, away.stdout.as_str()), (3, ""), "{away:?}");
    assert!(away.stderr.contains("cannot reach"), "{away:?}");
}
