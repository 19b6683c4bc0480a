//! Windows in the store: a row each, written with the decision that changed it.

use super::{Kept, Place, Window, Windows};
use crate::ground::{rows, unreadable_key};
use crate::record::encode;
use crate::refusal::Refusal;
use crate::store::key::Key;
use crate::store::{Batch, Store, Table};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use tripline_protocol::{Span, Timestamp};
use uuid::Uuid;

/// A window as it is written.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WindowRecord {
    per: Span,
    #[serde(flatten)]
    window: Window,
}

impl Place {
    fn row(&self) -> Key {
        Key::new()
            .text(self.pipeline.as_str())
            .bytes(self.identity.as_bytes())
            .bytes(self.id.as_bytes())
    }

    /// The place that a row's key names.
    pub(crate) fn of_row(key: &[u8]) -> Option<Self> {
        let end = key.iter().position(|byte| *byte == 0)?;
        let name = std::str::from_utf8(key.get(..end)?).ok()?;
        let ids = key.get(end + 1..)?;
        let (identity, id) = ids.split_at_checked(16)?;
        Some(Self {
            pipeline: name.parse().ok()?,
            identity: Uuid::from_slice(identity).ok()?,
            id: Uuid::from_slice(id).ok()?,
        })
    }
}

impl Windows {
    /// Those in the store. One that is unreadable is an error, as what other guards counted is: without it a pipeline would
    /// act more often than it may. `store check --repair` removes it. What is over at `now` is let go of with the next batch.
    pub(crate) fn load(store: &Store, now: Timestamp) -> Result<Self, Refusal> {
        let mut windows = Self::default();
        rows(store, Table::Window, "window of suppression", |key, record| {
            let place = Place::of_row(key).ok_or_else(|| unreadable_key("a window of suppression"))?;
            let WindowRecord { per, window } = record?;
            let window = window.not_after(now);
            windows.put(&place, Kept { window, per });
            Ok(())
        })?;
        windows.sweep(now, usize::MAX);
        Ok(windows)
    }

    /// Adds what the decisions under way changed, and what was let go of, to their batch.
    pub(crate) fn stage(&mut self, batch: &mut Batch) {
        let changed = self.before.drain().map(|(place, _)| place);
        let changed: HashSet<Place> = changed.chain(self.gone.drain()).collect();
        for place in changed {
            match self.kept.get(&place) {
                Some(Kept { window, per }) => {
                    let (per, window) = (*per, window.clone());
                    batch.put(Table::Window, place.row(), encode(&WindowRecord { per, window }));
                }
                None => batch.delete(Table::Window, place.row()),
            }
        }
    }
}
