use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::instrument::WithSubscriber as _;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// The messages of `PRINT`, and of `RAISERROR` below severity 11.
///
/// tiberius has no interface for these messages; it logs them. So while a batch runs, this listens to the driver's log. It
/// passes everything else on to the previous log. The driver logs other events at the same level, so the place in its code that
/// logs messages is learned: it is the one that logs [`GREETING`], which a session prints first.
#[derive(Debug, Clone, Default)]
pub(super) struct Prints(Arc<Heard>);

#[derive(Debug, Default)]
struct Heard {
    lines: Mutex<Vec<String>>,
    /// The driver's call site for messages, once it is known.
    call_site: OnceLock<Identifier>,
}

/// What a session prints before anything else. No other event of the driver has this text.
pub(super) const GREETING: &str = "onward: the session begins";

/// Where tiberius logs the tokens that a server sends.
const TARGET: &str = "tiberius::tds::stream::token";

impl Prints {
    /// Runs a future and keeps what the server prints meanwhile.
    pub(super) async fn heard<T>(&self, run: impl Future<Output = T>) -> T {
        let next = tracing::dispatcher::get_default(Clone::clone);
        run.with_subscriber(Dispatch::new(Listener { prints: self.clone(), next })).await
    }

    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Listener {
    prints: Prints,
    next: Dispatch,
}

fn is_token(metadata: &Metadata<'_>) -> bool {
    metadata.target() == TARGET && *metadata.level() == Level::DEBUG && metadata.is_event()
}

impl Subscriber for Listener {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_token(metadata) || self.next.enabled(metadata)
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.next.new_span(span)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.next.record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.next.record_follows_from(span, follows);
    }

    fn event(&self, event: &Event<'_>) {
        if is_token(event.metadata()) {
            let call_site = event.metadata().callsite();
            event.record(&mut Message { heard: &self.prints.0, call_site });
        }
        if self.next.enabled(event.metadata()) {
            self.next.event(event);
        }
    }

    fn enter(&self, span: &Id) {
        self.next.enter(span);
    }

    fn exit(&self, span: &Id) {
        self.next.exit(span);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.next.clone_span(id)
    }

    fn try_close(&self, id: Id) -> bool {
        self.next.try_close(id)
    }
}

struct Message<'a> {
    heard: &'a Heard,
    call_site: Identifier,
}

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() != "message" {
            return;
        }
        let text = format!("{value:?}");
        match self.heard.call_site.get() {
            Some(known) if *known == self.call_site => {
                self.heard.lines.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            }
            None if text == GREETING => {
                self.heard.call_site.get_or_init(|| self.call_site.clone());
            }
            _ => {}
        }
    }
}
