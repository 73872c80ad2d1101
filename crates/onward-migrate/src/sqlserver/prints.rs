use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::instrument::WithSubscriber as _;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// The messages of `PRINT`, and of `RAISERROR` below severity 11.
///
/// tiberius has no interface for these messages; it logs them. So while a batch runs, this listens to the driver's log. It
/// passes everything else on to the previous log.
#[derive(Debug, Clone, Default)]
pub(super) struct Prints(Arc<Mutex<Vec<String>>>);

/// Where tiberius logs the tokens that a server sends.
const TARGET: &str = "tiberius::tds::stream::token";

/// The other tokens that tiberius logs there, in its words.
const NOT_PRINTED: &[&str] = &[
    "Database change from ",
    "Packet size change from ",
    "SQL collation change",
    "Begin transaction",
    "Commit transaction",
    "Rollback transaction",
    "Defect transaction",
    "Server requested routing to ",
    "Fallback mirror server: ",
    "Ignored env change: ",
];

impl Prints {
    /// Runs a future and keeps what the server prints meanwhile.
    pub(super) async fn heard<T>(&self, run: impl Future<Output = T>) -> T {
        let next = tracing::dispatcher::get_default(Clone::clone);
        run.with_subscriber(Dispatch::new(Listener { prints: self.clone(), next })).await
    }

    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
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
            event.record(&mut Message(&self.prints));
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

struct Message<'a>(&'a Prints);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" && !NOT_PRINTED.iter().any(|other| text.starts_with(other)) {
            self.0.0.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        }
    }
}
