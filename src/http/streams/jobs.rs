//! `GET /v1/streams/jobs`: every change of a job's state.

use super::super::HttpState;
use super::super::auth::Viewer;
use super::super::body::parameter;
use super::super::problem::ApiError;
use super::super::sse::{self, Source, add, unknown};
use super::gap;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use tripline_actors::changes::{Follower, Mark, News};
use tripline_protocol::api::{EVENT_JOB, JobChange};
use tripline_protocol::job::JobState;
use tripline_protocol::{HostId, JobId, Name, Org};

/// Most jobs, names or states of one stream.
pub(in super::super) const WORDS_MAX: usize = 64;

/// The query.
#[derive(Debug, Default, PartialEq)]
struct Wanted {
    org: Option<Org>,
    host: Option<String>,
    jobs: Vec<JobId>,
    names: Vec<Name>,
    states: Vec<JobState>,
    after: Option<Mark>,
}

impl Wanted {
    /// Of pairs of names and values; `job`, `name` and `state` may be there more than once.
    fn read(pairs: Vec<(String, String)>) -> Result<Self, ApiError> {
        let mut wanted = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "org" => wanted.org = parameter("org", Some(&value))?,
                "host" => wanted.host = Some(value).filter(|host| !host.is_empty()),
                "job" => add("job", &value, WORDS_MAX, &mut wanted.jobs)?,
                "name" => add("name", &value, WORDS_MAX, &mut wanted.names)?,
                "state" => add("state", &value, WORDS_MAX, &mut wanted.states)?,
                "after" => wanted.after = parameter("after", Some(&value))?,
                other => return Err(unknown(other, "job, name, state, host, org or after")),
            }
        }
        Ok(wanted)
    }
}

pub(in super::super) async fn follow(
    caller: Viewer,
    request: HttpRequest,
    state: web::Data<HttpState>,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    let wanted = Wanted::read(query.into_inner())?;
    let org = caller.org_for(wanted.org.as_ref())?;
    let host = match &wanted.host {
        Some(host) => Some(state.core.get_host(org.clone(), host.clone()).await?.host_id),
        None => None,
    };
    let after = sse::last_event_id(&request)?.or(wanted.after);
    let place = state.places.take(&caller.token_id, "jobs")?;
    let source = Jobs {
        follower: state.core.follow_jobs(after),
        wanted,
        org,
        host,
        begun: false,
        passed: false,
    };
    Ok(sse::answer(&request, &state, place, source))
}

struct Jobs {
    follower: Follower<JobChange>,
    wanted: Wanted,
    org: Option<Org>,
    host: Option<HostId>,
    /// The place of the beginning was told.
    begun: bool,
    /// Something was heard and not shown since the last place was told.
    passed: bool,
}

impl Source for Jobs {
    type Place = Mark;

    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        if !std::mem::replace(&mut self.begun, true) {
            return Ok(Some(sse::reached(self.follower.mark())));
        }
        loop {
            let news = self.follower.next().await;
            self.passed = false;
            match news {
                News::Missed(missed) => return gap(Some(self.follower.mark()), "jobs", missed).map(Some),
                News::Change(change) if self.wants(&change) => {
                    return sse::block(Some(self.follower.mark()), EVENT_JOB, &*change).map(Some);
                }
                News::Change(_) => self.passed = true,
            }
        }
    }

    fn passed(&mut self) -> Option<Mark> {
        std::mem::take(&mut self.passed).then(|| self.follower.mark())
    }
}

impl Jobs {
    fn wants(&self, change: &JobChange) -> bool {
        self.org.as_ref().is_none_or(|org| *org == change.org)
            && self.host.is_none_or(|host| host == change.host.host_id)
            && is_of(&self.wanted.jobs, &change.job_id)
            && is_of(&self.wanted.names, &change.name)
            && is_of(&self.wanted.states, &change.state)
    }
}

/// No words are all words.
fn is_of<T: PartialEq>(words: &[T], word: &T) -> bool {
    words.is_empty() || words.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tripline_protocol::job::Outcome;
    use uuid::Uuid;

    fn read(query: &str) -> Result<Wanted, ApiError> {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(query).expect("pairs");
        Wanted::read(pairs.into_inner())
    }

    #[test]
    fn words_come_one_by_one_or_in_a_list() {
        let id = "00000000-0000-0000-0000-000000000007";
        let mark = "00000000000000000000000000000001.9";
        let wanted = read(&format!(
            "state=running,failed&state=queued&name=contain&job={id}&host=pc&org=acme&after={mark}"
        ));
        assert_eq!(
            wanted.expect("understood"),
            Wanted {
                org: Some("acme".parse().expect("an org")),
                host: Some("pc".into()),
                jobs: vec![JobId(Uuid::from_u128(7))],
                names: vec!["contain".parse().expect("a name")],
                states: vec![
                    JobState::Running,
                    JobState::Ended(Outcome::Failed),
                    JobState::Queued
                ],
                after: Some(mark.parse().expect("a mark")),
            }
        );
        assert_eq!(
            read("state=&name=&job=&host=&org=&after=").expect("nothing"),
            Wanted::default()
        );
    }

    #[test]
    fn what_is_wrong_in_the_query_is_named() {
        for (query, named) in [
            ("states=running", "states"),
            ("state=done", "state"),
            ("name=A%20B", "name"),
            ("job=7", "job"),
            ("after=7", "after"),
            ("org=a.b", "org"),
        ] {
            let error = read(query).expect_err(query).to_string();
            assert!(error.contains(named), "{query}: {error}");
        }
        let many = "queued,".repeat(WORDS_MAX + 1);
        assert!(read(&format!("state={many}")).is_err());
    }
}
