//! An explanation as text: what to look at comes first.

use jiff::Timestamp;
use seams::explain::{Block, Explanation, Why};

use super::layout::{self, Zone, cells};

/// Width of labels within a block.
const LABEL: usize = 8;

pub(super) fn render(told: &Explanation, zone: &Zone) -> String {
    let mut out = String::new();
    layout::heading(&mut out, &told.pod, &told.node, &told.source);
    state(&mut out, told, zone);
    if told.blocks.is_empty() && told.ended.is_none() {
        out.push_str("\nNothing is blocked.\n");
    }
    for block in &told.blocks {
        self::block(&mut out, block, told.now, zone);
    }
    containers(&mut out, told);
    probes(&mut out, told, zone);
    lately(&mut out, &told.lately, told.now, zone);
    out
}

fn state(out: &mut String, told: &Explanation, zone: &Zone) {
    // A pod that is ready, or gone, is where it is to be; and that one was refused is its standing itself.
    let on_its_way = !matches!(told.standing.name.as_str(), "Ready" | "Gone");
    let holds = |block: &&Block| on_its_way && block.state == "failed" && block.step.name != "Admission";
    let failed = told.blocks.iter().find(holds);
    let stuck = match failed {
        Some(block) => format!(", held up by {}", subject(block)),
        None => String::new(),
    };
    layout::line(out, format_args!("State   {}{stuck}", told.standing.text));
    if let Some(since) = told.since {
        layout::line(out, format_args!("Since   {}", zone.relative(since, told.now)));
    }
    let phase = if told.phase.is_empty() { "not decided yet" } else { &told.phase };
    layout::line(out, format_args!("Phase   {phase}"));
    layout::line(out, format_args!("Seen    {}, first by this kubelet", zone.relative(told.seen, told.now)));
    if let Some(ended) = told.ended {
        layout::line(out, format_args!("Gone    {}", zone.relative(ended, told.now)));
    }
    layout::line(out, format_args!("Now     {}", zone.full(told.now)));
}

fn subject(block: &Block) -> String {
    match &block.container {
        Some(container) => format!("{} of container {container}", block.step.text),
        None => block.step.text.clone(),
    }
}

fn block(out: &mut String, block: &Block, now: Timestamp, zone: &Zone) {
    let title = match block.state.as_str() {
        "failed" => "BLOCKED",
        "under_way" => "UNDER WAY",
        _ => "WAITING",
    };
    out.push('\n');
    layout::line(out, format_args!("{title}: {}", subject(block)));
    let since = block.since.map(|at| zone.relative(at, now)).unwrap_or_else(|| "not known".to_owned());
    let tries = match block.tries {
        0 => String::new(),
        1 => "; 1 failure".to_owned(),
        tries => format!("; {tries} failures in a row"),
    };
    layout::labelled(out, 2, "since", LABEL, &format!("{since}{tries}"));
    layout::labelled(out, 2, "why", LABEL, &block.why);
    layout::labelled(out, 2, "who", LABEL, &block.actor.text);
    let next = match block.next_at {
        Some(at) => format!("{}: {}", zone.relative(at, now), block.next.text),
        None => block.next.text.clone(),
    };
    layout::labelled(out, 2, "next", LABEL, &next);
}

fn containers(out: &mut String, told: &Explanation) {
    if told.containers.is_empty() {
        return;
    }
    out.push_str("\nCONTAINERS\n");
    let mut rows = vec![cells(["NAME", "KIND", "STATE", "READY", "RESTARTS", "WAITS FOR"])];
    for container in &told.containers {
        let ready = if container.ready { "yes" } else { "no" };
        let restarts = container.restarts.to_string();
        let waits = container.waits_for.as_deref().unwrap_or("-");
        rows.push(cells([&container.name, &container.kind, &container.state, ready, &restarts, waits]));
    }
    layout::table(out, 2, &rows);
}

fn probes(out: &mut String, told: &Explanation, zone: &Zone) {
    if told.probes.is_empty() {
        return;
    }
    out.push_str("\nPROBES\n");
    let mut rows = vec![cells(["CONTAINER", "PROBE", "RESULT", "NEXT", "STANDS AT"])];
    for probe in &told.probes {
        let result = match probe.result {
            None => "none yet",
            Some(true) => "succeeds",
            Some(false) => "fails",
        };
        let next = probe.next.map(|at| zone.clock(at, told.now)).unwrap_or_else(|| "on hold".to_owned());
        rows.push(cells([&probe.container, &probe.kind, result, &next, &probe.text]));
    }
    layout::table(out, 2, &rows);
}

fn lately(out: &mut String, lately: &[Why], now: Timestamp, zone: &Zone) {
    if lately.is_empty() {
        return;
    }
    out.push_str("\nDECIDED LATELY\n");
    for why in lately {
        let clock = zone.clock(why.at, now);
        let width = clock.chars().count() + 2;
        layout::labelled(out, 2, &clock, width, &sentence(why, now, zone));
    }
}

/// `container web: Back-off pulling image "x" (7 times, last 14:05:12)`.
pub(super) fn sentence(why: &Why, now: Timestamp, zone: &Zone) -> String {
    let container = why.container.as_ref().map(|name| format!("container {name}: ")).unwrap_or_default();
    let times = match why.last {
        Some(last) => format!(" ({} times, last {})", why.times, zone.clock(last, now)),
        None => String::new(),
    };
    format!("{container}{}{times}", why.text)
}
