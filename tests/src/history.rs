//! What a pod went through, in a form in which two kubelets can be compared.
//!
//! A status is made of *strands*: the phase, each condition, the state of each container, its `ready`, and so on. Two
//! kubelets of different speed never write the same versions of one status, since each joins what happened between two
//! of its writes. But what a strand goes through is the doing of the kubelet, not of its speed. Compared are therefore:
//!
//! * the last status, to the letter;
//! * of each strand, its different values in the order in which they came first: ours has all that upstream's has, but for
//!   [`FIRST`], which the quicker one joins with what it finds out a millisecond later. It may have [`joinable`] ones that
//!   upstream's does not have: they are true for a moment, and the slower kubelet joins them away. On a busy machine ours
//!   may do so with [`brief`] ones. How often a container went round a loop of restarts does not count;
//! * of each strand, its steps from one value to the next, joinable ones left out: ours may take none that upstream does
//!   not take. This is what finds a status that goes back. One that flickers is found by counting how often what is
//!   false becomes true, of a pod whose containers never restart;
//! * the events as a set of type, reason, field and text, whatever their number and whether they were combined.
//!
//! The order between different strands is not compared: most of it follows from the last status and from the steps, and
//! nobody promises the order between containers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::{beside::Both, normal::Normal, play::Played, recorder::Past};

/// First wait before a restart, and the longest, in seconds (contract §7).
const BACK_OFF: (u64, u64) = (10, 300);

/// Everything that is compared of one pod.
#[must_use]
pub fn history(played: &Played, normal: &Normal) -> Value {
    let past = &played.past;
    let status = |version: &Value| {
        let mut status = version["status"].clone();
        even_out(&mut status, played.goes_on);
        status
    };
    let mut last = status(past.now());
    normal.numbered(&mut last);
    let strands = strands(past.versions.iter().map(|version| {
        let mut status = status(version);
        normal.all(&mut status);
        status
    }));
    let distinct = |values: &Vec<String>| {
        let mut kept: Vec<&String> = Vec::new();
        for value in values.iter().filter(|value| !fleeting(value)) {
            if !kept.contains(&value) {
                kept.push(value);
            }
        }
        json!(kept)
    };
    json!({
        "status": last,
        "came to its end": played.ended,
        "gone": past.gone,
        "history": strands.iter().map(|(name, values)| (name.clone(), distinct(values))).collect::<Map<_, _>>(),
        "events": events(past, normal),
        "strands": strands,
    })
}

/// Takes out of ours what upstream may have joined away, and leaves in the strands only what is wrong with them: steps
/// that upstream does not take.
pub fn compare_steps(both: &mut Both<Value>) {
    let Some(pods) = both.ours.as_object_mut() else { return };
    for (pod, ours) in pods {
        let theirs = both.upstream.get_mut(pod).and_then(Value::as_object_mut);
        let Some(theirs) = theirs else { continue };
        let their_strands = theirs.remove("strands").unwrap_or_default();
        let Some(ours) = ours.as_object_mut() else { continue };
        let strands = ours.remove("strands").unwrap_or_default();
        for (strand, values) in ours.get_mut("history").and_then(Value::as_object_mut).into_iter().flatten() {
            let their_values = theirs.get_mut("history").and_then(|history| history.get_mut(strand));
            if let Some(their_values) = their_values.and_then(Value::as_array_mut) {
                let own = texts(Some(values));
                their_values.retain(|value| {
                    let value = value.as_str().unwrap_or_default();
                    own.contains(&value) || value != FIRST && !brief(strand, value)
                });
            }
            let known = texts(theirs.get("history").and_then(|history| history.get(strand)));
            if let Some(values) = values.as_array_mut() {
                values.retain(|value| {
                    let value = value.as_str().unwrap_or_default();
                    known.contains(&value) || !joinable(strand, value)
                });
            }
        }
        let restarts = |(strand, values): (&String, &Value)| {
            strand.ends_with(" restartCount") && texts(Some(values)).iter().any(|count| *count != "0")
        };
        let restarted = strands.as_object().into_iter().flatten().any(restarts);
        for (strand, values) in strands.as_object().into_iter().flatten() {
            let wrong =
                wrong_steps(strand, &texts(Some(values)), &texts(their_strands.get(strand)), restarted);
            if !wrong.is_empty() {
                ours.insert(format!("steps of {strand}"), json!(wrong));
            }
        }
    }
}

fn texts(values: Option<&Value>) -> Vec<&str> {
    values.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// What ours does that upstream does not.
fn wrong_steps(strand: &str, ours: &[&str], theirs: &[&str], restarted: bool) -> Vec<String> {
    let steps = |values: &[&str]| -> BTreeSet<String> {
        let mut values: Vec<&str> =
            values.iter().copied().filter(|value| !fleeting(value) && !joinable(strand, value)).collect();
        values.dedup();
        values.windows(2).map(|pair| pair.join(" → ")).collect()
    };
    let allowed = steps(theirs);
    let mut wrong: Vec<String> = steps(ours).into_iter().filter(|step| !allowed.contains(step)).collect();
    let rises = |values: &[&str]| values.windows(2).filter(|pair| holds(pair[1]) && !holds(pair[0])).count();
    if !restarted && rises(ours) > rises(theirs).max(1) {
        wrong.push(format!("becomes true {} times, upstream's {}", rises(ours), rises(theirs)));
    }
    wrong
}

fn holds(value: &str) -> bool {
    matches!(value, "true" | "True")
}

/// What a container waits for before anything is known.
const FIRST: &str = "waiting ContainerCreating";

/// Values that a kubelet may join away: `waiting` without a reason is the moment between a container's creation and its
/// start.
fn fleeting(value: &str) -> bool {
    value == "waiting"
}

/// Values that the slower kubelet may join away: that a container runs or has ended between two others, and what follows
/// from that.
fn joinable(strand: &str, value: &str) -> bool {
    match strand.split_once(' ') {
        Some(("container", _)) => {
            // A failed pull is shown for two seconds, then its back-off.
            matches!(value, "true" | "false" | "running")
                || ["terminated", "waiting ErrImagePull: "].iter().any(|start| value.starts_with(start))
        }
        Some(("condition", "Ready" | "ContainersReady")) => {
            holds(value) || value.starts_with("False: ContainersNotReady")
        }
        _ => false,
    }
}

/// Values that either kubelet may join away on a busy machine: that a container was ready which ended soon after. Of one
/// that still runs the last status tells it.
fn brief(strand: &str, value: &str) -> bool {
    let ready =
        matches!(strand, "condition Ready" | "condition ContainersReady") || strand.ends_with(" ready");
    ready && holds(value)
}

/// A container that is restarted again and again was seen at some round, and which one is chance: its number goes, and a
/// wait that is the right one for that number becomes `$DELAY`.
fn even_out(status: &mut Value, goes_on: bool) {
    for list in ["initContainerStatuses", "containerStatuses"] {
        for container in status[list].as_array_mut().into_iter().flatten() {
            let count = container["restartCount"].as_u64().unwrap_or_default();
            if count == 0 {
                continue;
            }
            if goes_on {
                container["restartCount"] = json!(1);
            }
            let rounds = u32::try_from(count - 1).unwrap_or(u32::MAX);
            let delay = BACK_OFF.0.saturating_mul(2u64.saturating_pow(rounds)).min(BACK_OFF.1);
            let right = match delay {
                0..60 => format!("back-off {delay}s "),
                _ => format!("back-off {}m{}s ", delay / 60, delay % 60),
            };
            if let Some(Value::String(text)) = container.pointer_mut("/state/waiting/message") {
                *text = text.replace(&right, "back-off $DELAY ");
            }
        }
    }
}

/// Values of each strand, oldest first, without repeats.
fn strands(statuses: impl Iterator<Item = Value>) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for status in statuses {
        for (strand, value) in facts(&status) {
            let values = all.entry(strand).or_default();
            if values.last() != Some(&value) {
                values.push(value);
            }
        }
    }
    all
}

/// Strands of one status with their values.
fn facts(status: &Value) -> Vec<(String, String)> {
    let mut all = vec![("phase".to_owned(), joined(status, &["phase", "reason", "message"]))];
    for condition in items(status, "conditions") {
        let strand = format!("condition {}", text(condition, "type"));
        let value = joined(condition, &["status", "reason", "message"]);
        // Which containers are still missing is the containers' strands' to tell.
        let value = value.split_once(" status: [").map_or(value.clone(), |(before, _)| before.to_owned());
        all.push((strand, value));
    }
    for list in ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"] {
        for container in items(status, list) {
            let name = text(container, "name");
            all.push((format!("container {name}"), state(&container["state"])));
            all.push((format!("container {name} before"), state(&container["lastState"])));
            for field in ["ready", "started", "restartCount"] {
                all.push((format!("container {name} {field}"), container[field].to_string()));
            }
        }
    }
    all
}

fn state(state: &Value) -> String {
    let Some((kind, inner)) = state.as_object().and_then(|fields| fields.iter().next()) else {
        return "none".to_owned();
    };
    let code = inner["exitCode"].as_i64().map(|code| format!(" {code}")).unwrap_or_default();
    format!("{kind}{code} {}", joined(inner, &["reason", "message"])).trim_end().to_owned()
}

fn items<'v>(status: &'v Value, list: &str) -> impl Iterator<Item = &'v Value> {
    status[list].as_array().into_iter().flatten()
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

fn joined(value: &Value, fields: &[&str]) -> String {
    let parts: Vec<&str> =
        fields.iter().map(|field| text(value, field)).filter(|text| !text.is_empty()).collect();
    parts.join(": ")
}

/// Texts by type, reason and field. Only those of a kubelet: others' are not our matter.
fn events(past: &Past, normal: &Normal) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in past.events.iter().filter(|event| event["source"]["component"] == "kubelet") {
        let field = text(&event["involvedObject"], "fieldPath");
        let key = format!("{} {} {field}", text(event, "type"), text(event, "reason"));
        // Whether likes are combined depends on how many there were.
        let message = text(event, "message").trim_start_matches("(combined from similar events): ");
        all.entry(key.trim_end().to_owned()).or_default().insert(normal.text(message));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(upstream: &[&str], ours: &[&str]) -> Value {
        let side = |values: &[&str]| json!({"Pod a": {"strands": {"container c": values}}});
        let mut both = Both { upstream: side(upstream), ours: side(ours) };
        compare_steps(&mut both);
        both.ours["Pod a"].take()
    }

    #[test]
    fn upstream_may_join_runs_away_but_ours_may_not_go_back() {
        let upstream = ["waiting ContainerCreating", "waiting CrashLoopBackOff"];
        let more =
            ["waiting ContainerCreating", "running", "terminated 1", "waiting CrashLoopBackOff", "running"];
        assert_eq!(both(&upstream, &more), json!({}));
        assert_eq!(
            both(&upstream, &[&upstream[..], &upstream[..1]].concat()),
            json!({"steps of container c": ["waiting CrashLoopBackOff → waiting ContainerCreating"]})
        );
    }

    #[test]
    fn what_flickers_is_found_unless_containers_restart() {
        let (steady, flickers) = (["false", "true"], ["false", "true", "false", "true"]);
        let strand = "container c ready";
        assert_eq!(wrong_steps(strand, &flickers, &steady, true), [""; 0]);
        let wrong = "becomes true 2 times, upstream's 1";
        assert_eq!(wrong_steps(strand, &flickers, &steady, false), [wrong]);
        assert_eq!(wrong_steps(strand, &flickers, &flickers, false), [""; 0]);
    }

    #[test]
    fn what_upstream_does_not_show_is_no_difference_if_it_may_be_joined_away() {
        let side = |values: &[&str]| json!({"p": {"history": {"container c": values}, "strands": {}}});
        let mut both = Both {
            upstream: side(&["waiting A", "running"]),
            ours: side(&["waiting A", "terminated 1", "waiting B", "running"]),
        };
        compare_steps(&mut both);
        assert_eq!(both.ours["p"]["history"]["container c"], json!(["waiting A", "waiting B", "running"]));
    }

    #[test]
    fn that_it_was_ready_for_a_moment_may_be_missing_and_that_it_never_was_may_not() {
        let side = |values: &[&str]| json!({"p": {"history": {"condition Ready": values}, "strands": {}}});
        let mut both = Both { upstream: side(&["False: A", "True"]), ours: side(&["False: A"]) };
        compare_steps(&mut both);
        assert_eq!(both.upstream, both.ours);
        let mut both = Both { upstream: side(&["False: A", "False: B"]), ours: side(&["False: A"]) };
        compare_steps(&mut both);
        assert_ne!(both.upstream, both.ours);
    }

    #[test]
    fn the_first_wait_may_be_joined_with_what_follows() {
        let side = |values: &[&str]| json!({"p": {"history": {"container c": values}, "strands": {}}});
        let mut both = Both {
            upstream: side(&[FIRST, "waiting InvalidImageName"]),
            ours: side(&["waiting InvalidImageName"]),
        };
        compare_steps(&mut both);
        assert_eq!(both.upstream, both.ours);
        let mut both = Both { upstream: side(&[FIRST, "running"]), ours: side(&[FIRST]) };
        compare_steps(&mut both);
        assert_ne!(both.upstream, both.ours);
    }

    #[test]
    fn the_wait_that_belongs_to_the_round_is_any_wait() {
        let mut status = json!({"containerStatuses": [
            {"restartCount": 3, "state": {"waiting": {"message": "back-off 40s restarting"}}},
            {"restartCount": 4, "state": {"waiting": {"message": "back-off 1m20s restarting"}}},
            {"restartCount": 9, "state": {"waiting": {"message": "back-off 5m0s restarting"}}},
            {"restartCount": 1, "state": {"waiting": {"message": "back-off 20s restarting"}}},
        ]});
        even_out(&mut status, true);
        let shown: Vec<_> =
            items(&status, "containerStatuses").map(|c| text(&c["state"]["waiting"], "message")).collect();
        let right = "back-off $DELAY restarting";
        assert_eq!(shown, [right, right, right, "back-off 20s restarting"]);
    }
}
