//! The layer: which events count, and their way out.

use std::{cell::RefCell, io::Write as _};

use jiff::Timestamp;
use tracing::{
    Event, Level, Metadata, Subscriber,
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::{Format, OURS, Routing, Verbosity, fields::Fields, json, klog, vmodule::VModule};

/// Facts about an event beyond its pairs.
pub(super) struct Line<'a> {
    pub(super) level: Level,
    pub(super) v: u32,
    pub(super) file: &'a str,
    pub(super) line: u32,
}

/// Takes a line with its end.
pub(super) type Sink = Box<dyn Fn(Level, &str) + Send + Sync>;

/// Lines to the standard streams. Errors are dropped: nobody is left to tell.
pub(super) fn stdio(routing: Routing) -> Sink {
    Box::new(move |level, line| {
        let _ = match routing {
            Routing::Split if level > Level::ERROR => std::io::stdout().lock().write_all(line.as_bytes()),
            Routing::Split | Routing::Stderr => std::io::stderr().lock().write_all(line.as_bytes()),
        };
    })
}

/// The layer.
pub(super) struct Klog {
    format: Format,
    sink: Sink,
    verbosity: Verbosity,
    vmodule: VModule,
}

impl Klog {
    pub(super) fn new(format: Format, sink: Sink, verbosity: Verbosity, vmodule: VModule) -> Self {
        Self { format, sink, verbosity, vmodule }
    }

    /// Verbosity in the file of a call site.
    fn allowed(&self, metadata: &Metadata<'_>) -> u32 {
        metadata.file().and_then(|file| self.vmodule.level(file)).unwrap_or_else(|| self.verbosity.get())
    }

    fn write(&self, line: &Line<'_>, fields: &Fields) {
        thread_local! {
            static BUFFER: RefCell<String> = const { RefCell::new(String::new()) };
        }
        BUFFER.with_borrow_mut(|buffer| {
            buffer.clear();
            match self.format {
                Format::Text => klog::write(buffer, line, fields, Timestamp::now()),
                Format::Json => json::write(buffer, line, fields, Timestamp::now()),
            }
            (self.sink)(line.level, buffer);
            // One dump of the configuration must not be held for ever.
            buffer.shrink_to(4096);
        });
    }
}

fn is_ours(target: &str) -> bool {
    let root = target.split("::").next().unwrap_or(target);
    OURS.contains(&root)
}

/// The least verbosity at which an event without a field `v` is shown. `None`: always.
fn threshold(metadata: &Metadata<'_>) -> Option<u32> {
    match (*metadata.level(), is_ours(metadata.target())) {
        (Level::ERROR, _) | (Level::WARN, true) => None,
        (Level::WARN, false) => Some(1),
        (Level::INFO, true) => Some(0),
        (Level::INFO, false) => Some(2),
        (Level::DEBUG, true) => Some(2),
        (Level::DEBUG, false) => Some(8),
        (Level::TRACE, true) => Some(5),
        (Level::TRACE, false) => Some(10),
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Klog {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.is_span() || threshold(metadata).is_none() {
            return Interest::always();
        }
        let may_name_level = metadata.fields().field("v").is_some();
        let allowed = self.allowed(metadata);
        match threshold(metadata) {
            Some(least) if least <= allowed => Interest::always(),
            _ if may_name_level => Interest::always(),
            _ => Interest::never(),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_span()
            || metadata.fields().field("v").is_some()
            || threshold(metadata).is_none_or(|least| least <= self.allowed(metadata))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let most = self.verbosity.get().max(self.vmodule.most());
        Some(match most {
            0 => LevelFilter::INFO,
            1..=4 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        })
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut own = Fields::default();
        event.record(&mut own);
        let level = *metadata.level();
        let v = own.v.or_else(|| threshold(metadata)).unwrap_or(0);
        if level > Level::WARN && v > self.allowed(metadata) {
            return;
        }
        let mut fields = Fields { message: std::mem::take(&mut own.message), ..Fields::default() };
        for span in
            context.event_scope(event).into_iter().flat_map(tracing_subscriber::registry::Scope::from_root)
        {
            if let Some(context) = span.extensions().get::<Fields>() {
                context.pairs.iter().for_each(|(name, value)| fields.set(name, value.clone()));
            }
        }
        own.pairs.into_iter().for_each(|(name, value)| fields.set(name, value));
        let file = metadata.file().unwrap_or("unknown");
        self.write(&Line { level, v, file, line: metadata.line().unwrap_or(0) }, &fields);
    }
}
