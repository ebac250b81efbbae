//! A timeline as text: the sums of the start, then each step with its place in it.

use std::fmt::Write as _;

use seams::explain::{Span, StartFigures, Step, Timeline};

use super::{
    explanation,
    layout::{self, Zone},
};

/// Characters of a bar.
const BAR: usize = 32;
/// Width of the names of steps.
const NAME: usize = 34;

pub(super) fn render(told: &Timeline, zone: &Zone) -> String {
    let mut out = String::new();
    layout::heading(&mut out, &told.pod, &told.node, &told.source);
    layout::line(&mut out, format_args!("Seen    {}, first by this kubelet: offset 0", zone.full(told.seen)));
    if told.taken_up {
        out.push_str("\nThe pod was there before this kubelet: another process started it, so there is no start to tell.\n");
    }
    let of_start: Vec<&Step> = told.steps.iter().filter(|step| step.of_start).collect();
    let later: Vec<&Step> = told.steps.iter().filter(|step| !step.of_start).collect();
    if let Some(figures) = &told.start {
        sums(&mut out, figures);
    } else if !told.taken_up {
        out.push_str("\nSTART   not over yet\n");
    }
    start(&mut out, told, &of_start);
    since_then(&mut out, told, &later, zone);
    out
}

fn sums(out: &mut String, figures: &StartFigures) {
    let to = match figures.status_sent {
        Some(_) => "to the status patch with phase Running",
        None => "until it was found running",
    };
    let _ = writeln!(out, "\nSTART   {} from the first sight {to}", ms(figures.total_ms));
    let calls = figures.cri_calls;
    let _ =
        writeln!(out, "  {:>12}  at least one of {calls} runtime calls was under way", ms(figures.cri_ms));
    if figures.init_ms > 0.0 {
        let _ = writeln!(out, "  {:>12}  only init containers were at work", ms(figures.init_ms));
    }
    let _ = writeln!(
        out,
        "  {:>12}  added by the kubelet; for {} of the whole no step was under way",
        ms(figures.added_latency_ms),
        ms(figures.idle_ms)
    );
}

fn start(out: &mut String, told: &Timeline, steps: &[&Step]) {
    if steps.is_empty() && told.inspections.is_empty() {
        return;
    }
    let ends = steps.iter().map(|step| end(&step.span)).chain(told.inspections.iter().map(end));
    let whole = told.start.as_ref().map_or(0.0, |start| start.total_ms);
    let whole = ends.fold(whole, f64::max).max(0.001);
    let _ = writeln!(out, "\n  {:>12} {:>12}  {:NAME$} 0 … {}", "OFFSET", "TOOK", "STEP", ms(whole));
    for step in steps {
        row(out, &name(step), &step.span, Some(whole));
        for (name, span) in parts(step) {
            row(out, &format!("  {name}"), span, Some(whole));
        }
    }
    let looks = &told.inspections;
    if !looks.is_empty() {
        let sum: f64 = looks.iter().filter_map(|look| look.duration_ms).sum();
        let name = format!("{} looks at the runtime's account", looks.len());
        let bars = bars(looks, whole);
        layout::line(out, format_args!("  {:>12} {:>12}  {name:NAME$} |{bars}|", "", ms(sum)));
    }
}

/// What a step is made of, by its beginning: runtime calls, and a wait that is none of them.
fn parts(step: &Step) -> Vec<(&str, &Span)> {
    let wait = step.wait.iter().map(|span| ("waits for a place", span));
    let mut parts: Vec<_> = wait.chain(step.calls.iter().map(|it| (it.call.as_str(), &it.span))).collect();
    parts.sort_by(|(_, a), (_, b)| a.offset_ms.total_cmp(&b.offset_ms));
    parts
}

fn since_then(out: &mut String, told: &Timeline, steps: &[&Step], zone: &Zone) {
    let mut lines: Vec<(f64, String)> = Vec::new();
    for step in steps {
        let mut line = String::new();
        row(&mut line, &name(step), &step.span, None);
        lines.push((step.span.offset_ms, line));
    }
    for why in &told.why {
        let text = explanation::sentence(&why.why, told.now, zone);
        let label = format!("{:>12} {:>12}", ms(why.offset_ms), "");
        let mut line = String::new();
        layout::labelled(&mut line, 2, &label, label.chars().count() + 2, &format!("· {text}"));
        lines.push((why.offset_ms, line));
    }
    if lines.is_empty() {
        return;
    }
    lines.sort_by(|a, b| a.0.total_cmp(&b.0));
    let title = if steps.is_empty() { "DECIDED" } else { "DECIDED, AND DONE SINCE THE START" };
    let _ = writeln!(out, "\n{title}");
    if told.forgotten > 0 {
        let _ = writeln!(
            out,
            "  {} older entries between the start and the newest are forgotten",
            told.forgotten
        );
    }
    lines.iter().for_each(|(_, line)| out.push_str(line));
}

fn name(step: &Step) -> String {
    let mut name = step.step.clone();
    if let Some(container) = &step.container {
        let _ = write!(name, " {container}");
    }
    match step.state.as_str() {
        "failed" => name.push_str(": failed"),
        "under_way" => name.push_str(": under way"),
        _ => {}
    }
    if step.failed_before > 0 {
        let _ = write!(name, " ×{}", step.failed_before + 1);
    }
    name
}

fn row(out: &mut String, name: &str, span: &Span, whole: Option<f64>) {
    let took = span.duration_ms.map(ms).unwrap_or_else(|| "…".to_owned());
    // Before it is padded.
    let mut line = format!("  {:>12} {took:>12}  {:NAME$}", ms(span.offset_ms), layout::shown(name));
    if let Some(whole) = whole {
        let _ = write!(line, " |{}|", bars(std::slice::from_ref(span), whole));
    }
    layout::line(out, format_args!("{line}"));
}

fn end(span: &Span) -> f64 {
    span.offset_ms + span.duration_ms.unwrap_or(0.0)
}

/// Where in the whole the spans are. One without an end reaches to the right border; each shows at least once.
fn bars(spans: &[Span], whole: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the bar")]
    let place = |at: f64| ((at / whole).clamp(0.0, 1.0) * BAR as f64) as usize;
    let mut bar = [' '; BAR];
    for span in spans {
        let from = place(span.offset_ms).min(BAR - 1);
        let to = span.duration_ms.map_or(BAR, |took| place(span.offset_ms + took)).max(from + 1);
        bar.iter_mut().take(to).skip(from).for_each(|cell| *cell = '#');
    }
    bar.iter().collect()
}

/// `412.3 ms`, from ten seconds on `12.4 s`.
fn ms(millis: f64) -> String {
    if millis < 10_000.0 { format!("{millis:.1} ms") } else { format!("{:.1} s", millis / 1_000.0) }
}
