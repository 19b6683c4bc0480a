//! The connection to one server, as one caller.

use crate::builder::Builder;
use crate::error::Result;
use crate::host::{Host, Hosts};
use crate::http::{Http, Request};
use serde::de::IgnoredAny;
use std::fmt;
use std::sync::Arc;
use tripline_protocol::Org;
use tripline_protocol::api::HostView;

/// A server, asked as the owner of one token. Cloning it is cheap, and clones share their connections.
///
/// It must be used inside a tokio runtime with time and I/O, and from one runtime only.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    http: Http,
    org: Option<Org>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server", &self.shared.http.server())
            .field("org", &self.shared.org)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Connects to the server at `url` with a token: checks that it answers and that the token is in force. A
    /// server whose certificate the system does not trust needs [`Client::builder`] and [`Builder::ca_file`].
    ///
    /// ```no_run
    /// # async fn example() -> tripline_client::Result<()> {
    /// let token = std::env::var("TRIPLINE_TOKEN").unwrap_or_default();
    /// let client = tripline_client::Client::connect("https://tripline.example:7443", token).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect(url: impl Into<String>, token: impl AsRef<str>) -> Result<Self> {
        Self::builder(url).token(token).connect().await
    }

    /// The same with more to say.
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder::new(url)
    }

    pub(crate) fn new(http: Http, org: Option<Org>) -> Self {
        Self {
            shared: Arc::new(Shared { http, org }),
        }
    }

    pub(crate) fn http(&self) -> &Http {
        &self.shared.http
    }

    /// The server's address.
    pub fn server(&self) -> &str {
        self.shared.http.server()
    }

    /// The org it was told to work in.
    pub fn org(&self) -> Option<&Org> {
        self.shared.org.as_ref()
    }

    /// Asks for something that every token which may read gets.
    pub(crate) async fn check(&self) -> Result<()> {
        let request = Request::get(&[&"hosts"]).query("limit", 1);
        let request = request.query_if("org", self.org());
        self.http().ask_once::<IgnoredAny>(&request).await.map(drop)
    }

    /// A host by its name, its host id or its sensor id.
    ///
    /// Fails with [`Error::Server`](crate::Error::Server): `not_found`, and `ambiguous_host` for a name that
    /// several hosts have.
    ///
    /// ```no_run
    /// # async fn example(client: tripline_client::Client) -> tripline_client::Result<()> {
    /// let host = client.host("web01").await?;
    /// println!("{} runs {}", host.hostname(), host.view().platform);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn host(&self, name: impl ToString) -> Result<Host> {
        let request = Request::get(&[&"hosts", &name.to_string()]).query_if("org", self.org());
        let view: HostView = self.http().ask(&request).await?;
        Ok(Host::new(self.clone(), view))
    }

    /// Many hosts; which ones can be said.
    ///
    /// ```no_run
    /// # async fn example(client: tripline_client::Client) -> tripline_client::Result<()> {
    /// for host in client.hosts().label("web").online().list().await? {
    ///     println!("{}", host.hostname());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn hosts(&self) -> Hosts {
        Hosts::new(self.clone())
    }
}
