//! A watch of the bench's pods: every event with the moment of its arrival.

use std::{
    collections::BTreeMap,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Duration,
};

use anyhow::{Result, bail};
use jiff::Timestamp;

use super::pod::Pod;
use crate::wait::{Since, time_of_day};

/// A moment, by both clocks: the steady one for durations, the time of day for comparing with logs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) since: Since,
    pub(super) time: Timestamp,
}

impl Stamp {
    /// This moment.
    pub(super) fn now() -> Self {
        Self { since: Since::now(), time: time_of_day() }
    }
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Added,
    Modified,
    Deleted,
}

/// One event.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) at: Stamp,
    pub(super) kind: Kind,
    pub(super) pod: Pod,
}

/// Events as they come. Each is seen once, by whoever waits at that time; [`Watch::pods`] always knows the newest state.
#[derive(Debug)]
pub(super) struct Watch {
    events: Receiver<Result<Event>>,
    newest: BTreeMap<String, Pod>,
}

impl Watch {
    pub(super) fn new(events: Receiver<Result<Event>>) -> Self {
        Self { events, newest: BTreeMap::new() }
    }

    /// The pods that there are, by name, as the last event that was looked at showed them.
    pub(super) fn pods(&self) -> &BTreeMap<String, Pod> {
        &self.newest
    }

    /// The next event; `None` when the time is over.
    fn next(&mut self, bound: Duration) -> Result<Option<Event>> {
        let event = match self.events.recv_timeout(bound) {
            Ok(event) => event?,
            Err(RecvTimeoutError::Timeout) => return Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("the watch is over"),
        };
        match event.kind {
            Kind::Deleted => self.newest.remove(&event.pod.name),
            Kind::Added | Kind::Modified => self.newest.insert(event.pod.name.clone(), event.pod.clone()),
        };
        Ok(Some(event))
    }

    /// Look at each event until one gives a value.
    ///
    /// # Errors
    /// The bound is over, or the watch broke.
    pub(super) fn until<T>(
        &mut self,
        what: &str,
        bound: Duration,
        mut look: impl FnMut(&Event) -> Option<T>,
    ) -> Result<T> {
        let begun = Since::now();
        while let Some(event) = self.next(bound.saturating_sub(begun.elapsed()))? {
            if let Some(value) = look(&event) {
                return Ok(value);
            }
        }
        bail!("waited {bound:?} for {what}")
    }

    /// Look at each event for this long; what is looked for may or may not come.
    ///
    /// # Errors
    /// The watch broke.
    pub(super) fn during(&mut self, time: Duration, mut look: impl FnMut(&Event)) -> Result<()> {
        let begun = Since::now();
        while let Some(event) = self.next(time.saturating_sub(begun.elapsed()))? {
            look(&event);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use serde_json::json;

    use super::*;

    fn event(kind: Kind, name: &str, phase: &str) -> Event {
        let object = json!({ "metadata": { "name": name, "uid": "u" }, "status": { "phase": phase } });
        Event { at: Stamp::now(), kind, pod: Pod::of(&object).unwrap() }
    }

    #[test]
    fn the_newest_state_is_kept_and_waits_are_bounded() {
        let (sender, receiver) = mpsc::channel();
        let mut watch = Watch::new(receiver);
        for sent in [
            event(Kind::Added, "a", "Pending"),
            event(Kind::Added, "b", "Pending"),
            event(Kind::Modified, "a", "Running"),
            event(Kind::Deleted, "b", "Pending"),
        ] {
            sender.send(Ok(sent)).unwrap();
        }
        let running = |event: &Event| event.pod.is_running().then(|| event.pod.name.clone());
        assert_eq!(watch.until("a to run", Duration::from_secs(5), running).unwrap(), "a");
        assert_eq!(watch.pods().len(), 2);
        let mut seen = 0;
        watch.during(Duration::from_millis(1), |_| seen += 1).unwrap();
        assert_eq!((seen, watch.pods().len()), (1, 1));
        let error = watch.until("c to run", Duration::ZERO, running).unwrap_err().to_string();
        assert!(error.contains("c to run"), "{error}");
        drop(sender);
        assert!(watch.until("c to run", Duration::from_secs(5), running).is_err());
    }
}
