//! What is still to be done when its owner is gone.

/// Goes on by itself, if there is a runtime still.
pub(crate) fn run(task: impl Future<Output = ()> + Send + 'static) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(task)),
        Err(_) => tracing::debug!("no runtime any more; the server ends by itself what is not used"),
    }
}

/// What `task` gives, which goes on even when nobody waits for it any more: its result is then dropped, and does
/// on that occasion what is to be done.
pub(crate) async fn through<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    tokio::spawn(async move { drop(sender.send(task.await)) });
    receiver.await.ok()
}
