//! Hosts: one, and many.

use crate::client::Client;
use crate::error::Result;
use crate::http::Request;
use crate::listing::{self, Listing};
use crate::session::OpenSession;
use tripline_protocol::HostId;
use tripline_protocol::api::HostView;
use tripline_protocol::verb::Verb;

/// A host, as it was when it was asked for.
#[derive(Debug, Clone)]
pub struct Host {
    client: Client,
    view: HostView,
}

impl Host {
    pub(crate) fn new(client: Client, view: HostView) -> Self {
        Self { client, view }
    }

    /// Everything the server says of it.
    pub fn view(&self) -> &HostView {
        &self.view
    }

    /// Its id, which no other host has.
    pub fn id(&self) -> HostId {
        self.view.host_id
    }

    /// Its name, which others may have, too.
    pub fn hostname(&self) -> &str {
        &self.view.hostname
    }

    /// Whether it can be reached.
    pub fn is_online(&self) -> bool {
        !self.view.attachments.is_empty()
    }

    /// Whether it offers this verb now.
    pub fn offers(&self, verb: Verb) -> bool {
        let attachments = &self.view.attachments;
        attachments
            .iter()
            .any(|attachment| attachment.verbs.contains(&verb))
    }

    /// The same host as it is now.
    pub async fn refreshed(&self) -> Result<Host> {
        let request = Request::get(&[&"hosts", &self.id()]);
        let view = self.client.http().ask(&request).await?;
        Ok(Self::new(self.client.clone(), view))
    }

    /// Opens a session: awaited, it waits until the session has a slot and the host is there.
    ///
    /// ```no_run
    /// # async fn example(client: tripline_client::Client) -> tripline_client::Result<()> {
    /// let session = client.host("web01").await?.session().await?;
    /// let listing = session.list_directory("/etc").await?;
    /// println!("{} entries", listing.files.len());
    /// session.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn session(&self) -> OpenSession {
        OpenSession::new(self.client.clone(), &self.view)
    }
}

/// Which hosts. Made by [`Client::hosts`].
#[derive(Debug, Clone)]
#[must_use = "it asks nobody before list or stream"]
pub struct Hosts {
    client: Client,
    org: Option<String>,
    label: Option<String>,
    online: bool,
}

impl Hosts {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            org: client.org().map(ToString::to_string),
            client,
            label: None,
            online: false,
        }
    }

    /// Only those of this org. Default: the client's, else all the token may see.
    pub fn org(mut self, org: impl Into<String>) -> Self {
        self.org = Some(org.into());
        self
    }

    /// Only those with this label.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Only those that can be reached now.
    pub fn online(mut self) -> Self {
        self.online = true;
        self
    }

    /// All of them.
    pub async fn list(self) -> Result<Vec<Host>> {
        self.stream().list().await
    }

    /// The same one by one, a page of the server's at a time.
    pub fn stream(self) -> Listing<Host> {
        let request = Request::get(&[&"hosts"])
            .query_if("org", self.org)
            .query_if("label", self.label);
        let (client, online) = (self.client.clone(), self.online);
        Listing::new(self.client, request, listing::ROWS).map(move |view| {
            let host = Host::new(client.clone(), view);
            (!online || host.is_online()).then_some(host)
        })
    }
}
