//! Calls over HTTP: signed, and bounded in time, in what is read, and in where they go.

use super::resolver::{Forbidden, Gate, Lookup, System};
use crate::cli::chain;
use parking_lot::Mutex;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, StatusCode, Url};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tripline_actors::clock::Clock;
use tripline_actors::ports::{BoxFuture, CallFailure, ServiceCall, ServiceCaller};
use tripline_protocol::api::ServiceSpec;
use tripline_protocol::limacharlie::{Answer, Call, SIGNATURE_HEADER, USER_AGENT};
use tripline_protocol::{Name, Span};

/// What is read of an answer, in bytes. A longer one is none.
pub const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Answers of a service that are longer are read one after the other: as JSON in memory they are many times as large.
const LARGE_BYTES: usize = 256 * 1024;
/// How long a connection may take, where the deadline is not sooner.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection that is not used is kept. The reference implementation closes them after ten seconds, and one that
/// is closed just when a call goes out is a call that failed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// Services whose connections are kept; beyond, those of the one that was not called for longest are closed.
const LINES_MAX: usize = 256;

/// CAs of services that have their own, by name.
pub(crate) type Authorities = HashMap<Name, Vec<Certificate>>;

/// Calls services. Their connections live on the runtime it was made in, not on that of who asks.
#[derive(Clone)]
pub struct HttpCaller {
    lines: Arc<Lines>,
    clock: Arc<dyn Clock>,
    runtime: Handle,
}

/// The connections to services.
struct Lines {
    lookup: Arc<dyn Lookup>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    lines: HashMap<Name, Arc<Line>>,
    authorities: Authorities,
    /// Counts calls, so that the one longest ago is known.
    calls: u64,
}

/// The connections to one service.
struct Line {
    url: Url,
    gate: Gate,
    in_flight: u32,
    client: Client,
    large: Arc<Semaphore>,
    called: Mutex<u64>,
}

impl Line {
    /// Of a service, as it is registered.
    fn new(
        service: &ServiceSpec,
        own: Option<&[Certificate]>,
        lookup: &Arc<dyn Lookup>,
    ) -> Result<Self, CallFailure> {
        let transport = |error: &dyn std::error::Error| CallFailure::Transport(chain(error));
        let url = Url::parse(&service.url).map_err(|error| transport(&error))?;
        let gate = Gate {
            allow_private: service.allow_private,
            lookup: Arc::clone(lookup),
        };
        let client = client(&url, service.in_flight, own, gate.clone());
        Ok(Self {
            client: client.map_err(|error| transport(&error))?,
            url,
            gate,
            in_flight: service.in_flight,
            large: Arc::new(Semaphore::new(1)),
            called: Mutex::default(),
        })
    }

    fn is_of(&self, service: &ServiceSpec) -> bool {
        Url::parse(&service.url).is_ok_and(|url| url == self.url)
            && self.gate.allow_private == service.allow_private
            && self.in_flight == service.in_flight
    }
}

/// No proxy: what it is asked to call cannot be checked. No redirect: a signed message is for whom it was signed.
fn client(url: &Url, in_flight: u32, own: Option<&[Certificate]>, gate: Gate) -> reqwest::Result<Client> {
    let idle_max = usize::try_from(in_flight).unwrap_or(usize::MAX);
    let client = Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(idle_max)
        .user_agent(USER_AGENT)
        .dns_resolver(gate);
    let client = match own {
        Some(own) => client.tls_certs_only(own.iter().cloned()),
        // Plain HTTP must not fail because a machine has no root certificates.
        None if url.scheme() == "http" => client.tls_certs_only([]),
        None => client,
    };
    client.build()
}

impl HttpCaller {
    /// On the runtime within which it is called.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with(clock, Arc::new(System))
    }

    fn with(clock: Arc<dyn Clock>, lookup: Arc<dyn Lookup>) -> Self {
        let kept = Mutex::default();
        Self {
            lines: Arc::new(Lines { lookup, kept }),
            clock,
            runtime: Handle::current(),
        }
    }

    /// The CAs of services from now on; connections that were made with others are not used again.
    pub(crate) fn set_authorities(&self, authorities: Authorities) {
        let mut kept = self.lines.kept.lock();
        kept.lines.clear();
        kept.authorities = authorities;
    }

    /// How long a call may take from now on.
    fn time_left(&self, call: &ServiceCall) -> Span {
        let until_deadline = call
            .call
            .deadline
            .map(|deadline| deadline.since(self.clock.now()));
        until_deadline.map_or(call.service.deadline, |left| left.min(call.service.deadline))
    }
}

impl Lines {
    fn line(&self, service: &ServiceSpec) -> Result<Arc<Line>, CallFailure> {
        let mut kept = self.kept.lock();
        kept.calls += 1;
        let calls = kept.calls;
        let known = kept.lines.get(&service.name).filter(|line| line.is_of(service));
        let line = match known {
            Some(line) => Arc::clone(line),
            None => {
                let own = kept.authorities.get(&service.name).map(Vec::as_slice);
                let line = Arc::new(Line::new(service, own, &self.lookup)?);
                kept.add(service.name.clone(), &line);
                line
            }
        };
        *line.called.lock() = calls;
        Ok(line)
    }

    async fn exchange(
        &self,
        service: &ServiceSpec,
        secret: &str,
        call: &Call,
    ) -> Result<Answer, CallFailure> {
        let line = self.line(service)?;
        line.gate
            .check(&line.url)
            .map_err(|forbidden| CallFailure::Forbidden(forbidden.to_string()))?;
        let body = call.to_body();
        let request = line
            .client
            .post(line.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(SIGNATURE_HEADER, tripline_service::sign(secret, &body))
            .body(body);
        let response = request.send().await.map_err(failed)?;
        match response.status() {
            StatusCode::OK => read(response, &line.large).await,
            status => Err(CallFailure::Status(status.as_u16())),
        }
    }
}

impl Kept {
    fn add(&mut self, name: Name, line: &Arc<Line>) {
        if self.lines.len() >= LINES_MAX && !self.lines.contains_key(&name) {
            let oldest = self.lines.iter().min_by_key(|(_, line)| *line.called.lock());
            let oldest = oldest.map(|(name, _)| name.clone());
            oldest.map(|name| self.lines.remove(&name));
        }
        self.lines.insert(name, Arc::clone(line));
    }
}

/// What went wrong, without the address, in which somebody may have put a secret.
fn failed(error: reqwest::Error) -> CallFailure {
    match Forbidden::behind(&error) {
        Some(forbidden) => CallFailure::Forbidden(forbidden.to_string()),
        None => CallFailure::Transport(chain(&error.without_url())),
    }
}

/// The body, up to [`ANSWER_BYTES_MAX`].
async fn read(mut response: Response, large: &Arc<Semaphore>) -> Result<Answer, CallFailure> {
    const TOO_LONG: CallFailure = CallFailure::TooLong(ANSWER_BYTES_MAX as u64);
    let announced = response.content_length().unwrap_or_default();
    if announced > ANSWER_BYTES_MAX as u64 {
        return Err(TOO_LONG);
    }
    let (mut body, mut turn) = (Vec::new(), None);
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        let bytes = body.len() + chunk.len();
        if bytes > ANSWER_BYTES_MAX {
            return Err(TOO_LONG);
        }
        if bytes > LARGE_BYTES && turn.is_none() {
            // Nobody closes it.
            turn = Arc::clone(large).acquire_owned().await.ok();
        }
        body.extend_from_slice(&chunk);
    }
    match turn {
        None => Ok(Answer::read(&body)?),
        // The runtime has others to serve meanwhile.
        Some(turn) => {
            let reading = tokio::task::spawn_blocking(move || {
                let answer = Answer::read(&body);
                drop(turn);
                answer
            });
            let read = reading
                .await
                .map_err(|error| CallFailure::Transport(chain(&error)))?;
            Ok(read?)
        }
    }
}

impl ServiceCaller for HttpCaller {
    fn call(&self, call: ServiceCall) -> BoxFuture<Result<Answer, CallFailure>> {
        let (lines, left) = (Arc::clone(&self.lines), self.time_left(&call));
        let task = Task(self.runtime.spawn(async move {
            let ServiceCall {
                service,
                secret,
                call,
            } = call;
            let exchange = lines.exchange(&service, secret.reveal(), &call);
            match tokio::time::timeout(left.to_duration(), exchange).await {
                Ok(answer) => answer,
                Err(_) => Err(CallFailure::Transport(format!("no answer within {left}"))),
            }
        }));
        Box::pin(task.answer())
    }
}

/// A call under way, given up when nobody waits for it any more.
struct Task(JoinHandle<Result<Answer, CallFailure>>);

impl Task {
    async fn answer(mut self) -> Result<Answer, CallFailure> {
        match (&mut self.0).await {
            Ok(answer) => answer,
            Err(error) => Err(CallFailure::Transport(chain(&error))),
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests;
