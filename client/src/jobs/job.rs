//! What a job is: a function of a session, or a type.

use crate::error::Error;
use crate::session::Session;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::marker::PhantomData;
use std::sync::Arc;

/// A job as a type of its own: what it needs is in its fields.
///
/// ```
/// use tripline_client::{Error, Job, RegistryValue, Session};
///
/// struct GetRegistryValue {
///     key: String,
/// }
///
/// impl Job for GetRegistryValue {
///     type Output = RegistryValue;
///     type Error = Error;
///
///     async fn run(&self, session: &Session) -> Result<RegistryValue, Error> {
///         session.get_registry_value(&*self.key).await
///     }
/// }
/// ```
pub trait Job: Send + Sync + 'static {
    /// What it brings.
    type Output: Send + 'static;
    /// Why it brings nothing. An [`Error`] becomes one when the job cannot even begin.
    type Error: From<Error> + Send + 'static;

    /// Does it, in a session on its host. The session may be used for the next job of that host, so leave nothing
    /// behind that would disturb it.
    fn run(&self, session: &Session) -> impl Future<Output = Result<Self::Output, Self::Error>> + Send;
}

impl<J: Job> Job for Arc<J> {
    type Output = J::Output;
    type Error = J::Error;

    fn run(&self, session: &Session) -> impl Future<Output = Result<Self::Output, Self::Error>> + Send {
        J::run(self, session)
    }
}

/// What can be submitted as a job: a [`Job`], or `async fn(&Session) -> Result<T, E>` and closures like it.
///
/// `By` only tells the two apart; the compiler finds it. The first argument of a closure needs its type:
/// `async |session: &Session| …`.
pub trait IntoJob<By>: Send + 'static {
    /// What it brings.
    type Output: Send + 'static;
    /// Why it brings nothing.
    type Error: From<Error> + Send + 'static;

    /// Does it.
    fn begin(self, session: &Session) -> BoxFuture<'_, Result<Self::Output, Self::Error>>;
}

/// Of jobs that are types.
#[derive(Debug)]
pub struct ByType;

/// Of jobs that are functions.
#[derive(Debug)]
pub struct ByFunction<T, E>(PhantomData<fn() -> (T, E)>);

impl<J: Job> IntoJob<ByType> for J {
    type Output = J::Output;
    type Error = J::Error;

    fn begin(self, session: &Session) -> BoxFuture<'_, Result<J::Output, J::Error>> {
        async move { self.run(session).await }.boxed()
    }
}

/// An async function of a session whose future can go from thread to thread.
pub trait JobFunction<'s, T, E>: FnOnce(&'s Session) -> Self::Running {
    /// Its future.
    type Running: Future<Output = Result<T, E>> + Send + 's;
}

impl<'s, F, R, T, E> JobFunction<'s, T, E> for F
where
    F: FnOnce(&'s Session) -> R,
    R: Future<Output = Result<T, E>> + Send + 's,
{
    type Running = R;
}

impl<F, T, E> IntoJob<ByFunction<T, E>> for F
where
    F: for<'s> JobFunction<'s, T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    type Output = T;
    type Error = E;

    fn begin(self, session: &Session) -> BoxFuture<'_, Result<T, E>> {
        self(session).boxed()
    }
}
