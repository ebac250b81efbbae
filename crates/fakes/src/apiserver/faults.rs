//! What can go wrong, switched by the test.

use std::time::Duration;

use super::{Request, Shared};

/// State of the way to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Works.
    #[default]
    Up,
    /// Connections are refused; those that were open are cut.
    Refuse,
    /// Connections are taken, requests are read, nothing is answered; open watches fall silent. Requests that wait are
    /// answered when it is up again.
    Hang,
}

/// How a watch is told that its revision is gone; real servers do both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// HTTP status 410.
    Status,
    /// 200, and then an `ERROR` event with a Status of code 410.
    Event,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answered with this status and a `Status` body; nothing is done.
    Status(u16),
    /// The same with a `Retry-After` header, in seconds.
    RetryAfter(u16, u32),
    /// Answered with 200 and a body that is no JSON; nothing is done.
    Garbage,
    /// The connection is cut; nothing is done.
    Cut,
    /// It is done, and then the connection is cut: the client cannot know.
    DoneThenCut,
    /// Never answered; nothing is done.
    Hang,
    /// Done and answered after this time.
    Late(Duration),
}

/// Which requests are meant: all conditions hold.
#[derive(Clone, Debug, Default)]
pub struct Matching {
    method: Option<String>,
    path: Option<String>,
    watch: Option<bool>,
}

impl Matching {
    /// Every request.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests whose path contains this text, for example `/pods/web-1/status`.
    #[must_use]
    pub fn path(part: &str) -> Self {
        Self { path: Some(part.to_owned()), ..Self::default() }
    }

    /// Only with this HTTP method.
    #[must_use]
    pub fn method(self, method: &str) -> Self {
        Self { method: Some(method.to_owned()), ..self }
    }

    /// Only watches (`true`), or only what is no watch (`false`).
    #[must_use]
    pub fn watch(self, watch: bool) -> Self {
        Self { watch: Some(watch), ..self }
    }

    /// Whether a request is meant.
    #[must_use]
    pub fn matches(&self, request: &Request) -> bool {
        self.method.as_ref().is_none_or(|method| *method == request.method)
            && self.path.as_ref().is_none_or(|part| request.path.contains(part.as_str()))
            && self.watch.is_none_or(|watch| watch == request.is_watch())
    }
}

/// The switches of a [`FakeApi`](super::FakeApi). Each acts at once.
pub struct Faults<'a> {
    pub(super) shared: &'a Shared,
}

impl Faults<'_> {
    /// Take the network down, or up again (on the same port).
    pub fn network(&self, network: Network) {
        self.shared.signal(|signals| signals.network = network);
    }

    /// Delay every request by this time; zero for none.
    pub fn latency(&self, latency: Duration) {
        self.shared.faults.lock().latency = latency;
    }

    /// The next `times` requests that match get this fault. Rules are tried in the order in which they were made; one that
    /// is used up is gone.
    pub fn next(&self, matching: Matching, times: usize, fault: Fault) {
        if times > 0 {
            self.shared.faults.lock().rules.push(Rule { matching, left: Some(times), fault });
        }
    }

    /// Every request that matches gets this fault, until [`Faults::clear`].
    pub fn always(&self, matching: Matching, fault: Fault) {
        self.shared.faults.lock().rules.push(Rule { matching, left: None, fault });
    }

    /// The next `times` watches are told that their revision is gone.
    pub fn gone_on_watch(&self, times: usize, how: Gone) {
        let mut rules = self.shared.faults.lock();
        rules.gone.extend(std::iter::repeat_n(how, times));
    }

    /// End every open watch cleanly, as a server does after its time-out.
    pub fn close_watches(&self) {
        self.shared.signal(|signals| signals.watches_closed += 1);
    }

    /// Cut every open connection; new ones are taken.
    pub fn sever_connections(&self) {
        self.shared.signal(|signals| signals.severed += 1);
    }

    /// Everything works again: network, latency, rules.
    pub fn clear(&self) {
        *self.shared.faults.lock() = Rules::default();
        self.network(Network::Up);
    }
}

/// Faults in force.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) latency: Duration,
    rules: Vec<Rule>,
    gone: std::collections::VecDeque<Gone>,
}

#[derive(Debug)]
struct Rule {
    matching: Matching,
    left: Option<usize>,
    fault: Fault,
}

impl Rules {
    /// The fault for a request, used up.
    pub(super) fn take(&mut self, request: &Request) -> Option<Fault> {
        let place = self.rules.iter().position(|rule| rule.matching.matches(request))?;
        let rule = &mut self.rules[place];
        let fault = rule.fault.clone();
        if let Some(left) = &mut rule.left {
            *left -= 1;
            if *left == 0 {
                self.rules.remove(place);
            }
        }
        Some(fault)
    }

    /// Whether this watch is to be told that its revision is gone.
    pub(super) fn take_gone(&mut self) -> Option<Gone> {
        self.gone.pop_front()
    }
}
