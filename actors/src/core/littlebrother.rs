//! LittleBrother clients, as the edges reach them.

use super::Core;
use crate::directory::{FromClient, LittlebrotherChanged, UnlinkHost};
use crate::littlebrother::{Answer, Settings, UserStatus};
use crate::refusal::Refusal;
use crate::scheduler::LinkHost;
use std::sync::Arc;
use tripline_protocol::Org;
use tripline_protocol::api::HostView;
use tripline_protocol::littlebrother::ClientMessage;

impl Core {
    /// Puts settings in force; `None` turns the dialect off. Clients hear of changes with their next answers.
    /// Agents that are to watch now and were not told so, or the other way round, are made to come again.
    pub fn set_littlebrother(&self, settings: Option<Settings>) {
        self.ground.littlebrother.store(settings.map(Arc::new));
        // A generation that is being made looks at them when it is.
        if let Ok(peers) = self.peers() {
            peers.directory.do_send(LittlebrotherChanged(self.ground.now()));
        }
    }

    /// The settings in force.
    pub fn littlebrother(&self) -> Option<Arc<Settings>> {
        self.ground.littlebrother.load_full()
    }

    /// Takes a client's message, whose secret was right; what it caused is durable when it returns. Refused, it
    /// changed nothing, and the client sends its events again.
    pub async fn littlebrother_message(&self, message: ClientMessage) -> Result<Answer, Refusal> {
        let (reply, answer) = self.doors.littlebrother.enter()?;
        self.peers()?.directory.do_send(FromClient { message, reply });
        answer.wait().await
    }

    /// A configured, active user; `None` for any other login.
    pub async fn littlebrother_user(&self, login: String) -> Result<Option<UserStatus>, Refusal> {
        let Some(settings) = self.littlebrother() else {
            return Ok(None);
        };
        let known = |user: &&_| is_active(user, &login);
        Ok(settings.users.iter().find(known).map(|_| {
            let hosts = self.ground.clients.logged_in(&login);
            UserStatus {
                logged_in: hosts > 0,
                hosts,
            }
        }))
    }

    /// The host `host` reports as the LittleBrother client, or is the sensor of LimaCharlie, whose own record is `own` from now
    /// on: that record's ids and name mean the host. Durable when it returns.
    pub async fn link_host(&self, org: Option<Org>, host: String, own: String) -> Result<HostView, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.scheduler.do_send(LinkHost {
            org,
            host,
            client: own,
            by: self.on_record(),
            reply,
        });
        self.with_open_jobs(answer.wait().await?).await
    }

    /// Ends what [`Core::link_host`] did; the client's own record stands for itself again. Commands that the client
    /// was carrying out for the host end as interrupted. `host` may name either record.
    pub async fn unlink_host(&self, org: Option<Org>, host: String) -> Result<HostView, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.directory.do_send(UnlinkHost {
            org,
            name: host,
            by: self.on_record(),
            reply,
        });
        self.with_open_jobs(answer.wait().await?).await
    }

    async fn with_open_jobs(&self, view: HostView) -> Result<HostView, Refusal> {
        let mut views = [view];
        self.count_open(&mut views).await?;
        let [view] = views;
        Ok(view)
    }
}

fn is_active(user: &tripline_protocol::littlebrother::UserConfig, login: &str) -> bool {
    user.active && user.login == login
}
