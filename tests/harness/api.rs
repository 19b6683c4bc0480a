//! The HTTP API, as any program would use it.

use super::eventually;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::time::Duration;
use tripline_protocol::api::{HostView, JobView, SlotsView};
use tripline_protocol::{HostId, JobId};

/// A server and a token.
#[derive(Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    url: String,
    token: String,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// The stable word of a problem.
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

impl Api {
    pub(crate) fn new(url: String, token: &str) -> Self {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(75))
            .build()
            .expect("a client");
        Self {
            http,
            url,
            token: token.to_owned(),
        }
    }

    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(&self.token)
    }

    /// `None` when no whole answer came.
    async fn send(request: RequestBuilder) -> Option<Answer> {
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        let text = response.text().await.ok()?;
        Some(Answer {
            status,
            body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
        })
    }

    pub(crate) async fn try_get(&self, path: &str) -> Option<Answer> {
        Self::send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> Option<Answer> {
        Self::send(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.try_get(path).await.expect("an answer")
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.try_post(path, body).await.expect("an answer")
    }

    /// A new token's secret.
    pub(crate) async fn create_token(&self, request: Value) -> String {
        let answer = self.post("/v1/tokens", &request).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.body["token"].as_str().expect("a secret").to_owned()
    }

    pub(crate) async fn enrol_token(&self) -> String {
        self.create_token(json!({"name": "agent", "role": "enrol"})).await
    }

    /// Submits a job and expects it to be taken.
    pub(crate) async fn submit(&self, host: HostId, job: Value) -> JobId {
        let answer = self.post("/v1/jobs", &json!({"host": host, "job": job})).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        serde_json::from_value(answer.body["job_id"].clone()).expect("a job id")
    }

    pub(crate) async fn job(&self, job_id: JobId) -> JobView {
        let answer = self.get(&format!("/v1/jobs/{job_id}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_value(answer.body).expect("a job")
    }

    /// Waits for a job's end; it need not be known yet, and the server need not answer yet.
    pub(crate) async fn ended(&self, job_id: JobId) -> JobView {
        eventually(&format!("job {job_id} ends"), async || {
            let answer = self.try_get(&format!("/v1/jobs/{job_id}?wait=5")).await?;
            let job: JobView = serde_json::from_value(answer.body).ok()?;
            if job.state.outcome().is_none() {
                println!("after 5 s job {job_id} is {}: {:?}", job.state, job.waiting);
                self.tell_what_is_open().await;
            }
            job.state.outcome().is_some().then_some(job)
        })
        .await
    }

    /// For whoever looks at a failed test: what has not ended.
    async fn tell_what_is_open(&self) {
        for job in self
            .jobs()
            .await
            .iter()
            .filter(|job| job.state.outcome().is_none())
        {
            println!("open: {job:?}");
        }
        println!("{:?}", self.slots().await);
    }

    /// Submits a job and waits for its end.
    pub(crate) async fn run(&self, host: HostId, job: Value) -> JobView {
        let job_id = self.submit(host, job).await;
        self.ended(job_id).await
    }

    /// All jobs, page by page.
    pub(crate) async fn jobs(&self) -> Vec<JobView> {
        let mut jobs = Vec::new();
        let mut path = "/v1/jobs?limit=500".to_owned();
        loop {
            let answer = self.get(&path).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let items: Vec<JobView> = serde_json::from_value(answer.body["items"].clone()).expect("jobs");
            jobs.extend(items);
            match answer.body["next"].as_str() {
                Some(next) => path = format!("/v1/jobs?limit=500&after={next}"),
                None => return jobs,
            }
        }
    }

    pub(crate) async fn slots(&self) -> SlotsView {
        let answer = self.get("/v1/slots").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_value(answer.body).expect("slots")
    }

    /// Waits until no slot is held and nobody waits for one.
    pub(crate) async fn all_slots_free(&self) {
        eventually("all slots are free", async || {
            let slots = self.slots().await;
            let nobody_waits = slots.waiting == 0 && slots.sessions_waiting == 0;
            (nobody_waits && slots.slots.iter().all(|slot| slot.session.is_none())).then_some(())
        })
        .await;
    }

    pub(crate) async fn host(&self, host: HostId) -> Option<HostView> {
        let answer = self.try_get(&format!("/v1/hosts/{host}")).await?;
        serde_json::from_value(answer.body).ok()
    }

    /// Waits until a host's agent is attached, or no longer is.
    pub(crate) async fn attached(&self, host: HostId, attached: bool) -> HostView {
        eventually(&format!("host {host} attached: {attached}"), async || {
            let view = self.host(host).await?;
            (view.attachments.is_empty() != attached).then_some(view)
        })
        .await
    }
}
