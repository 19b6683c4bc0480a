//! Labels that administrators give hosts and take from them.

use super::Directory;
use crate::audit::By;
use crate::door::Reply;
use crate::labels::{self, LabelChange};
use crate::refusal::Refusal;
use crate::scheduler::HostDiffers;
use crate::store::Batch;
use actix::prelude::*;
use std::sync::Arc;
use tripline_protocol::Org;
use tripline_protocol::api::{HostChangeKind, HostView};
use tripline_protocol::audit::Action;

/// Change the labels of a host, by its id, sensor id or name; from the API. Refuses with `NotFound`, `Invalid` and
/// `Conflict`.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct LabelHost {
    pub(crate) org: Option<Org>,
    pub(crate) name: String,
    pub(crate) change: LabelChange,
    pub(crate) by: Arc<By>,
    pub(crate) reply: Reply<HostView>,
}

impl Directory {
    fn label(
        &self,
        org: Option<&Org>,
        name: &str,
        change: LabelChange,
        by: &By,
    ) -> Result<HostView, Refusal> {
        let record = self.book().named(org, name)?;
        let store = &self.ground.store;
        let given = labels::given(store, record.host_id)?;
        let changed = labels::changed(given, change, &record.labels)?;
        let mut batch = Batch::new();
        labels::put(&mut batch, record.host_id, &changed);
        let entry = self.ground.audit(Action::HostLabel, by, Some(&record.org));
        batch.audit(entry.host(&record.to_ref()).detail("labels", &changed));
        store.commit(batch, || {});
        tracing::info!(host = %record.host_id, hostname = %record.hostname, labels = changed.len(), "host labelled");
        self.scheduler.do_send(HostDiffers(record.host_id));
        self.tell_of(&record, HostChangeKind::Labelled);
        self.view(&record)
    }
}

impl Handler<LabelHost> for Directory {
    type Result = ();
    fn handle(&mut self, message: LabelHost, _: &mut Self::Context) {
        let LabelHost {
            org,
            name,
            change,
            by,
            reply,
        } = message;
        let answer = self.label(org.as_ref(), &name, change, &by);
        self.ground.after_commit(move || reply.send(answer));
    }
}
