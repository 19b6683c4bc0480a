//! Jobs that the server runs: durable, in the host's order, whether this program goes on or not.
//!
//! Deliberately not here: jobs that this program runs, which is `jobs`.

use crate::client::Client;
use crate::error::{Error, Result};
use crate::http::{HOLD_MAX, Repeat, Request};
use crate::jobs::JobHost;
use crate::transfer::Download;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use futures_util::{FutureExt, Stream};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tripline_protocol::JobId;
use tripline_protocol::api::JobView;
use tripline_protocol::job::{JobSpec, Outcome};
use tripline_protocol::step::ArtifactRef;
use uuid::Uuid;

/// How often a job that is watched is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Jobs that the server runs.
impl Client {
    /// Has the server run a job on a host. Awaited, the job is durable and waits for its turn: it runs although this
    /// program ends, and although the host is away now.
    ///
    /// ```no_run
    /// # async fn example(client: tripline_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use tripline_client::JobSpec;
    ///
    /// let job: JobSpec = serde_json::from_value(serde_json::json!({
    ///     "name": "look",
    ///     "expires": "7d",
    ///     "steps": [{"list_processes": {}}, {"get_file": {"path": "/var/log/auth.log"}}],
    /// }))?;
    /// let job = client.run_job("web01", job).await?;
    /// println!("{} has {} steps", job.id(), job.result().await?.steps.len());
    /// # Ok(())
    /// # }
    /// ```
    pub fn run_job(&self, host: impl Into<JobHost>, job: JobSpec) -> RunJob {
        RunJob::new(self.clone(), host.into(), "job", json!(job))
    }

    /// The same with a job that has its steps at the server, under a name.
    ///
    /// ```no_run
    /// # async fn example(client: tripline_client::Client) -> tripline_client::Result<()> {
    /// let job = client.run_named_job("web01", "collect-logs").param("days", 7).await?;
    /// job.result().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn run_named_job(&self, host: impl Into<JobHost>, name: impl Into<String>) -> RunJob {
        RunJob::new(self.clone(), host.into(), "named", json!(name.into()))
    }

    /// A job of the server's, whoever submitted it.
    pub async fn server_job(&self, job_id: JobId) -> Result<ServerJob> {
        let request = Request::get(&[&"jobs", &job_id]);
        let view = self.http().ask(&request).await?;
        Ok(ServerJob {
            client: self.clone(),
            view,
        })
    }
}

/// A job to be submitted. Made by [`Client::run_job`] and [`Client::run_named_job`]; await it.
#[derive(Debug)]
#[must_use = "a job is submitted when it is awaited"]
pub struct RunJob {
    client: Client,
    /// As `POST /v1/jobs` takes it.
    body: Map<String, Value>,
    params: Map<String, Value>,
    wrong: Option<Error>,
}

impl RunJob {
    fn new(client: Client, host: JobHost, kind: &str, job: Value) -> Self {
        let mut body = Map::new();
        body.insert(kind.to_owned(), job);
        body.insert("host".to_owned(), json!(host.to_text()));
        if let Some(org) = client.org() {
            body.insert("org".to_owned(), json!(org));
        }
        // An answer that is lost does not make a second job.
        body.insert("idempotency_key".to_owned(), json!(Uuid::new_v4().to_string()));
        Self {
            client,
            body,
            params: Map::new(),
            wrong: None,
        }
    }

    /// A parameter of a named job.
    pub fn param(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        match serde_json::to_value(value) {
            Ok(value) => drop(self.params.insert(name.into(), value)),
            Err(error) => {
                let text = format!("parameter {} has no JSON form: {error}", name.into());
                self.wrong = Some(Error::unsupported("bad_argument", text).because(error));
            }
        }
        self
    }

    /// Whatever is submitted with the same key on the same host is the same job. Default: a key of its own.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.body.insert("idempotency_key".to_owned(), json!(key.into()));
        self
    }

    async fn submit(mut self) -> Result<ServerJob> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        if !self.params.is_empty() {
            self.body.insert("params".to_owned(), Value::Object(self.params));
        }
        let request = Request::post(&[&"jobs"]).json(&self.body)?;
        let view = self.client.http().ask(&request.repeat(Repeat::Freely)).await?;
        Ok(ServerJob {
            client: self.client,
            view,
        })
    }
}

impl IntoFuture for RunJob {
    type Output = Result<ServerJob>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.submit().boxed()
    }
}

/// A job of the server's, as it was when it was asked for. Dropping it does nothing to the job.
#[derive(Debug, Clone)]
pub struct ServerJob {
    client: Client,
    view: JobView,
}

impl ServerJob {
    /// Its id.
    pub fn id(&self) -> JobId {
        self.view.job_id
    }

    /// Everything the server says of it.
    pub fn view(&self) -> &JobView {
        &self.view
    }

    /// The same job as it is now.
    pub async fn refreshed(&self) -> Result<ServerJob> {
        self.client.server_job(self.id()).await
    }

    /// Every change of it that is seen by looking twice a second: as it is now, and so on until its end.
    ///
    /// ```no_run
    /// # async fn example(job: tripline_client::ServerJob) -> tripline_client::Result<()> {
    /// let mut changes = job.watch();
    /// while let Some(change) = changes.next_change().await {
    ///     let change = change?;
    ///     println!("{} {:?}", change.state, change.waiting.map(|waiting| waiting.position));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(&self) -> JobWatch {
        let changes = stream::try_unfold(Watching::of(self), |mut watching| async move {
            let next = watching.next().await?;
            Ok(next.map(|view| (view, watching)))
        });
        JobWatch(changes.fuse().boxed())
    }

    /// Waits until it has ended, however that was.
    pub async fn ended(&self) -> Result<JobView> {
        let request = Request::get(&[&"jobs", &self.id()]);
        loop {
            let view: JobView = self.client.http().ask(&request.clone().held(HOLD_MAX)).await?;
            if view.state.outcome().is_some() {
                return Ok(view);
            }
        }
    }

    /// Waits until it has succeeded. One that ended in another way is an error: of the step that failed, of
    /// [`Error::Timeout`] when its time was over, else of [`Error::Server`] with the outcome or its reason as code.
    pub async fn result(&self) -> Result<JobView> {
        let view = self.ended().await?;
        match view.state.outcome() {
            Some(Outcome::Succeeded) => Ok(view),
            outcome => Err(why(&view, outcome)),
        }
    }

    /// Ends it: one that waits never runs, one that runs ends when its host has confirmed that.
    ///
    /// Fails with [`Error::Server`] `job_ended` when it has ended before.
    pub async fn cancel(&self) -> Result<JobView> {
        let request = Request::post(&[&"jobs", &self.id(), &"cancel"]);
        self.client.http().ask(&request.repeat(Repeat::Freely)).await
    }

    /// A content that the job fetched, as its steps name it.
    ///
    /// ```no_run
    /// # async fn example(job: tripline_client::ServerJob) -> tripline_client::Result<()> {
    /// for artifact in job.result().await?.steps.iter().filter_map(|step| step.artifact.as_ref()) {
    ///     job.download(artifact).to_path(&artifact.name).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn download(&self, artifact: &ArtifactRef) -> Download<'_> {
        let request = Request::get(&[&"jobs", &self.id(), &"artifacts", &artifact.sha256]);
        Download::of(&self.client, request, artifact.clone())
    }
}

/// Changes of a job. Made by [`ServerJob::watch`].
pub struct JobWatch(BoxStream<'static, Result<JobView>>);

impl fmt::Debug for JobWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobWatch")
    }
}

impl JobWatch {
    /// The next change, without a need for a stream's own methods.
    pub async fn next_change(&mut self) -> Option<Result<JobView>> {
        self.0.next().await
    }
}

impl Stream for JobWatch {
    type Item = Result<JobView>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

/// Looking at a job.
struct Watching {
    client: Client,
    request: Request,
    seen: Option<JobView>,
}

impl Watching {
    fn of(job: &ServerJob) -> Self {
        Self {
            client: job.client.clone(),
            request: Request::get(&[&"jobs", &job.id()]),
            seen: None,
        }
    }

    async fn next(&mut self) -> Result<Option<JobView>> {
        if self
            .seen
            .as_ref()
            .is_some_and(|seen| seen.state.outcome().is_some())
        {
            return Ok(None);
        }
        loop {
            let request = match self.seen {
                None => self.request.clone(),
                Some(_) => self.request.clone().held(LOOK),
            };
            let view: JobView = self.client.http().ask(&request).await?;
            if self.seen.as_ref() != Some(&view) {
                self.seen = Some(view.clone());
                return Ok(Some(view));
            }
        }
    }
}

/// Why a job brought nothing.
fn why(view: &JobView, outcome: Option<Outcome>) -> Error {
    let (code, text) = view.reason.as_ref().map_or_else(
        || (view.state.to_string(), "it did not say why".to_owned()),
        |reason| (reason.code.clone(), reason.text.clone()),
    );
    let text = format!(
        "job {} on {}: {}: {text}",
        view.name, view.host.hostname, view.state
    );
    match outcome {
        Some(Outcome::TimedOut | Outcome::Expired) => Error::timeout(code, text),
        Some(Outcome::Failed) => view
            .steps
            .iter()
            .rev()
            .find_map(|step| step.error.clone())
            .map_or_else(|| Error::server(code, text), Error::from),
        _ => Error::server(code, text),
    }
}

#[cfg(test)]
mod tests;
