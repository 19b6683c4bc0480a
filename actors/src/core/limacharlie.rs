//! Calls of LimaCharlie, as the edge reaches the service role.

use super::Core;
use crate::core::HostFilter;
use crate::ground::Ground;
use crate::limacharlie::{
    Carried, Given, NOT_SUBSCRIBED, NewsTold, Offer, Offered, REQUEST_HOSTS_MAX, TakeCall, Wish, read_call,
};
use crate::limacharlie::{Hosts, Work};
use crate::littlebrother::Receipt;
use crate::pipeline::RuleSet;
use crate::record::HostRecord;
use crate::refusal::Refusal;
use crate::router::{HostBook, Hosts as _};
use crate::scheduler::NewJob;
use std::io::Read;
use std::sync::Arc;
use tripline_protocol::limacharlie::{Answer, Call, JobUpdate, ServiceEtype, org_of_oid};
use tripline_protocol::{JobId, Org, Sha256, Timestamp};

/// Contents of resources that are handed out in one answer, in bytes.
pub const RESOURCE_BYTES_MAX: u64 = 8 * 1024 * 1024;

impl Core {
    /// Takes a call whose signature was right; what it caused is durable when it returns. A repeat is answered as the first was.
    ///
    /// Refuses with `Invalid` and `NotFound` for good, and with `Busy` and `Unavailable` for now.
    pub async fn limacharlie_call(&self, etype: ServiceEtype, call: Call) -> Result<Answer, Refusal> {
        let deadline = call.deadline;
        let (key, given) = read_call(&self.ground, etype, call)?;
        let work = match given {
            Given::Work(work) => work,
            // What was accepted once is not asked for by what is there now.
            Given::Wish(..) if self.ground.limacharlie.has_note(&self.ground.store, &key)? => {
                Work::Jobs(Vec::new())
            }
            // As whatever else it asks for: its hosts may be gone, and are not looked for.
            Given::Wish(org, ..) if self.ground.limacharlie.is_leaving(&org) => {
                return Ok(Answer::refused(NOT_SUBSCRIBED));
            }
            Given::Wish(org, wish, depth) => Work::Jobs(self.wished(&org, &wish, &key.mid, depth).await?),
        };
        let (reply, answer) = self.doors.limacharlie.enter()?;
        self.peers()?.limacharlie.do_send(TakeCall {
            key,
            etype,
            work,
            deadline,
            by: self.on_record(),
            reply,
        });
        let Some(left) = deadline.map(|deadline| left(deadline, self.ground.now())) else {
            return answer.wait().await;
        };
        match tokio::time::timeout(left, answer.wait()).await {
            Ok(answer) => answer,
            Err(_) => Ok(Answer::again("the same message is still being handled")),
        }
    }

    /// The rules in force, for what they offer.
    pub fn rules(&self) -> Arc<RuleSet> {
        self.generations.rules().set
    }

    /// Something that is offered to an org by name: `job/<name>`, or `artifact/<job id>/<sha256>` of one of its jobs. With its
    /// content if there is `room` for so many bytes of it; `None`: its hash alone, for which no content is read.
    ///
    /// Refuses with `NotFound`, `Conflict` (`not_subscribed`), and `Invalid` (`too_large`) where there is not room enough.
    pub async fn limacharlie_resource(
        &self,
        org: Org,
        name: &str,
        room: Option<u64>,
    ) -> Result<Offered, Refusal> {
        if self.ground.limacharlie.is_leaving(&org) {
            return Err(Refusal::Conflict {
                code: "not_subscribed",
                detail: NOT_SUBSCRIBED.to_owned(),
            });
        }
        let not_found = || Refusal::NotFound {
            what: "resource",
            id: name.chars().take(120).collect(),
        };
        if let Some(job) = name.strip_prefix("job/") {
            let rules = self.rules();
            let job = job.parse().ok().and_then(|name| rules.named_job(&name).cloned());
            let job = job.ok_or_else(not_found)?;
            let content = room.map(|room| fits(job.text().len() as u64, room)).transpose()?;
            return Ok(Offer::job(&job, content.is_some()));
        }
        let artifact = name
            .strip_prefix("artifact/")
            .and_then(|rest| rest.split_once('/'));
        let ids = artifact.and_then(|(job, sha256)| Some((job.parse().ok()?, sha256.parse().ok()?)));
        let (job_id, sha256): (JobId, Sha256) = ids.ok_or_else(not_found)?;
        let artifact = self.artifact_of_job(Some(org), job_id, &sha256).await?;
        let content = match room {
            None => None,
            Some(room) => {
                fits(artifact.bytes, room)?;
                Some(contents(&self.ground, sha256.clone(), artifact.bytes).await?)
            }
        };
        Ok(Offered {
            category: "artifact",
            sha256,
            content,
        })
    }

    /// The news of jobs that go into an answer to a call of this org, and who is to be told whether it was written.
    pub fn limacharlie_news(&self, oid: &str) -> Option<(Vec<JobUpdate>, Receipt)> {
        let org = org_of_oid(oid)?;
        let taken = self.ground.limacharlie.take_news(&self.ground.store, &org);
        let Carried { updates, told } = taken.ok().filter(|carried| !carried.told.is_empty())?;
        let core = self.clone();
        let receipt = Receipt::new(move |written| {
            // Without actors nothing is noted, and it goes again.
            if let Ok(peers) = core.peers() {
                peers.limacharlie.do_send(NewsTold { org, told, written });
            }
        });
        Some((updates, receipt))
    }

    async fn wished(&self, org: &Org, wish: &Wish, mid: &str, depth: u8) -> Result<Vec<NewJob>, Refusal> {
        let rules = self.rules();
        let job = wish.named(&rules)?;
        let params = wish.params(job)?;
        let book = HostBook::new(&self.ground.store, &self.ground.attachments);
        let mut made = Vec::new();
        for host in self.wished_hosts(org, wish).await? {
            let rendered = job.render(&params, &book.facts(&host)?);
            let rendered = rendered.map_err(|error| Refusal::Invalid {
                code: error.code(),
                detail: error.to_string(),
            })?;
            made.push(NewJob {
                job_id: JobId::derive_submitted(org, &format!("limacharlie/{mid}"), host.host_id),
                org: org.clone(),
                spec: rendered.spec,
                vars: rendered.vars,
                host: host.to_ref(),
                pipeline: None,
                event: None,
                fanout: None,
                investigation_id: None,
                traceparent: None,
                depth,
                by: Some((*self.by).clone()),
                run: 0,
            });
        }
        Ok(made)
    }

    async fn wished_hosts(&self, org: &Org, wish: &Wish) -> Result<Vec<HostRecord>, Refusal> {
        let book = || HostBook::new(&self.ground.store, &self.ground.attachments);
        let selector = match &wish.hosts {
            Hosts::Named(name) => return book().named(Some(org), name).map(|host| vec![host]),
            Hosts::Selected(selector) => selector.clone(),
        };
        let mut filter = HostFilter {
            org: Some(org.clone()),
            selector,
            after: None,
            limit: REQUEST_HOSTS_MAX + 1,
        };
        let mut found = Vec::new();
        loop {
            let page = self.list_targets(filter.clone()).await?;
            for view in page.items {
                found.extend(book().by_id(view.host_id)?);
            }
            filter.after = page.next;
            if found.len() > REQUEST_HOSTS_MAX || filter.after.is_none() {
                break;
            }
        }
        let detail = match found.len() {
            0 => "the selector selects no host".to_owned(),
            count if count > REQUEST_HOSTS_MAX => {
                format!("the selector selects more than {REQUEST_HOSTS_MAX} hosts; use a fan-out for so many")
            }
            _ => return Ok(found),
        };
        Err(Refusal::Invalid {
            code: "bad_params",
            detail,
        })
    }
}

/// How long until a deadline.
fn left(deadline: Timestamp, now: Timestamp) -> std::time::Duration {
    deadline.since(now).to_duration()
}

/// Whether a content fits where so much room is left.
fn fits(bytes: u64, room: u64) -> Result<(), Refusal> {
    if bytes <= room {
        return Ok(());
    }
    Err(Refusal::Invalid {
        code: "too_large",
        detail: format!(
            "{bytes} bytes where {room} are left: at most {RESOURCE_BYTES_MAX} bytes are handed out in one answer, ask for fewer \
             names at once"
        ),
    })
}

async fn contents(ground: &Ground, sha256: Sha256, bytes: u64) -> Result<Vec<u8>, Refusal> {
    const UNREADABLE: Refusal = Refusal::Unavailable {
        detail: "an artifact cannot be read",
    };
    let artifacts = Arc::clone(&ground.artifacts);
    let read = move || {
        let (file, _) = artifacts.open_read(&sha256).map_err(|error| {
            tracing::error!(%sha256, %error, "an artifact cannot be read");
            UNREADABLE
        })?;
        let mut content = Vec::new();
        let mut file = file.take(bytes);
        file.read_to_end(&mut content).map_err(|_| UNREADABLE)?;
        Ok(content)
    };
    tokio::task::spawn_blocking(read).await.map_err(|_| UNREADABLE)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::{Door, Reply};
    use crate::fixture::{Fixture, delete, eventually};
    use crate::limacharlie::{Cut, ForgetJobs, ForgetSensors, Sweep, Swept, WithdrawMessages};
    use crate::store::Table;
    use serde_json::json;
    use uuid::Uuid;

    const OID: &str = "8cbe27f4-bfa1-4afb-ba19-138cd51389cd";
    /// More than any part.
    const ROWS: usize = 250;

    fn detection(number: usize) -> Call {
        let sid = Uuid::from_u128(number as u128 + 1);
        let routing = json!({ "sid": sid, "hostname": format!("h{number}"), "plat": 0x2000_0000 });
        Call {
            version: None,
            oid: Some(OID.into()),
            mid: Some(format!("m{number}")),
            deadline: None,
            jwt: None,
            tripdepth: None,
            etype: "detection".into(),
            data: json!({ "cat": "x", "routing": routing }),
        }
    }

    /// How much of the org each part found, until there are no more.
    async fn parts(fixture: &Fixture, tell: impl Fn(&crate::core::Peers, Sweep)) -> Vec<usize> {
        let (mut parts, mut after) = (Vec::new(), None);
        loop {
            let (reply, swept): (Reply<Swept>, _) = Door::new("test", 1).enter().unwrap();
            let cut = Cut {
                asked_at: fixture.now(),
                purged_at: None,
            };
            let org = OID.parse().unwrap();
            let peers = fixture.core.peers().unwrap();
            let sweep = Sweep {
                org,
                cut,
                after,
                reply,
            };
            tell(&peers, sweep);
            let swept = swept.wait().await.unwrap();
            parts.push(swept.found);
            match swept.next {
                Some(next) => after = Some(next),
                None => return parts,
            }
        }
    }

    #[actix::test]
    async fn rows_of_an_org_that_leaves_are_looked_at_a_part_at_a_time_and_others_are_served_in_between() {
        let fixture = Fixture::start();
        for number in 0..ROWS {
            let call = detection(number);
            fixture
                .core
                .limacharlie_call(ServiceEtype::Detection, call)
                .await
                .unwrap();
        }
        let own = fixture.enrol_in(Some(OID), "web-1").await.host_id;
        for _ in 0..ROWS {
            fixture.submit(own, vec![delete()]).await;
        }
        eventually("all of it was sent", || async {
            (fixture.rows(Table::Sent) >= ROWS).then_some(())
        })
        .await;
        let sensors = parts(&fixture, |peers, sweep| {
            peers.directory.do_send(ForgetSensors(sweep));
        });
        let jobs = parts(&fixture, |peers, sweep| {
            peers.scheduler.do_send(ForgetJobs(sweep))
        });
        let messages = parts(&fixture, |peers, sweep| {
            peers.outbox.do_send(WithdrawMessages {
                sweep,
                is_quarantine: false,
                upto: u64::MAX,
            });
        });
        for (what, parts) in [
            ("sensors", sensors.await),
            ("jobs", jobs.await),
            ("messages", messages.await),
        ] {
            assert!(parts.iter().sum::<usize>() >= ROWS, "{what}: {parts:?}");
            assert!(parts.iter().all(|part| *part <= ROWS - 50), "{what}: {parts:?}");
        }
        assert_eq!(fixture.rows(Table::Host), 1);
    }
}
