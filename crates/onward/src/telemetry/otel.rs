//! Traces and metrics for an OpenTelemetry collector, if the standard variables name one.
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>

use std::collections::HashMap;
use std::time::Instant;

use onward_worker::{Attribute, Failure, FailureKind, Message, TRACEPARENT};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{MetricExporter, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::field::Empty;
use tracing::level_filters::LevelFilter;
use tracing::{Instrument as _, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::config::identity::Identity;
use crate::process::exit::{CommandError, Exit};
use crate::telemetry::metrics::{FAMILIES, GAUGES, Watched};

/// The target of the span around a handler. The log does not show it, because the log has a span of its own.
pub(crate) const TARGET: &str = "onward::otel";

/// The exporters that the variables ask for.
#[derive(Debug, Default)]
pub(crate) struct Exporters {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
}

impl Exporters {
    /// Opens the exporters that the variables ask for. Call it outside a runtime: the exporters block threads of their own.
    pub(crate) fn open(identity: &Identity) -> Result<Self, CommandError> {
        let mut exporters = Self::default();
        if is_on("TRACES")? {
            let exporter = SpanExporter::builder()
                .with_http()
                .build()
                .map_err(|error| unusable_exporter("TRACES", &error))?;
            let traces = SdkTracerProvider::builder().with_batch_exporter(exporter);
            exporters.traces = Some(traces.with_resource(resource(identity)).build());
        }
        if is_on("METRICS")? {
            let exporter = MetricExporter::builder()
                .with_http()
                .build()
                .map_err(|error| unusable_exporter("METRICS", &error))?;
            let metrics = SdkMeterProvider::builder().with_periodic_exporter(exporter);
            let metrics = metrics.with_resource(resource(identity)).build();
            global::set_meter_provider(metrics.clone());
            exporters.metrics = Some(metrics);
        }
        Ok(exporters)
    }

    /// Exports the spans of handlers and the spans inside them, from the level `INFO` on.
    pub(crate) fn layer<S>(&self) -> Option<Box<dyn Layer<S> + Send + Sync>>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let tracer = self.traces.as_ref()?.tracer("onward");
        // The worker's own span belongs to the log, and an exporter that traced itself would never end.
        let filter = Targets::new().with_default(LevelFilter::INFO);
        let filter = ["onward_worker", "opentelemetry", "hyper", "reqwest"]
            .into_iter()
            .fold(filter, |filter, target| filter.with_target(target, LevelFilter::OFF));
        Some(tracing_opentelemetry::layer().with_tracer(tracer).with_filter(filter).boxed())
    }

    /// Sends the traces and metrics that still wait.
    pub(crate) fn end(&self) {
        let traces = self.traces.as_ref().map(SdkTracerProvider::shutdown);
        let metrics = self.metrics.as_ref().map(SdkMeterProvider::shutdown);
        for error in [traces, metrics].into_iter().flatten().filter_map(Result::err) {
            tracing::warn!(%error, "some traces or metrics could not be sent to the collector");
        }
    }
}

/// Whether to export a signal: only if a variable names the collector. OpenTelemetry's own default, `localhost`, would fail
/// on most machines.
fn is_on(signal: &str) -> Result<bool, CommandError> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let own = |rest: &str| {
        set(&format!("OTEL_EXPORTER_OTLP_{signal}_{rest}"))
            .or_else(|| set(&format!("OTEL_EXPORTER_OTLP_{rest}")))
    };
    let is_disabled = set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let exporter = set(&format!("OTEL_{signal}_EXPORTER"));
    if is_disabled || exporter.as_deref() == Some("none") || own("ENDPOINT").is_none() {
        return Ok(false);
    }
    if let Some(other) = exporter.filter(|exporter| exporter != "otlp") {
        let help = "set it to `otlp` or `none`; `/metrics` serves the metrics for Prometheus without it";
        return Err(CommandError::new(
            Exit::Configuration,
            format!("OTEL_{signal}_EXPORTER is `{other}`"),
            help,
        ));
    }
    match own("PROTOCOL").as_deref() {
        None | Some("http/protobuf") => Ok(true),
        Some(other) => {
            let help = "set it to `http/protobuf`, which a collector accepts on port 4318";
            Err(CommandError::new(
                Exit::Configuration,
                format!("OTEL_EXPORTER_OTLP_PROTOCOL is `{other}`"),
                help,
            ))
        }
    }
}

fn unusable_exporter(signal: &str, error: &dyn std::error::Error) -> CommandError {
    let help = format!("check OTEL_EXPORTER_OTLP_{signal}_ENDPOINT and OTEL_EXPORTER_OTLP_ENDPOINT");
    CommandError::new(
        Exit::Configuration,
        format!("{} cannot be exported: {error}", signal.to_lowercase()),
        help,
    )
}

/// The resource: the values of `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, or else the app's name and version.
fn resource(identity: &Identity) -> Resource {
    let own = [("service.name", &identity.name), ("service.version", &identity.version)];
    let set = Resource::builder().build();
    let is_set = |key: &str| {
        set.iter().any(|(name, value)| name.as_str() == key && !value.as_str().starts_with("unknown_service"))
    };
    let own = own
        .into_iter()
        .filter(|(key, _)| !is_set(key))
        .map(|(key, value)| KeyValue::new(key, value.to_owned()));
    Resource::builder().with_attributes(own.collect::<Vec<_>>()).build()
}

/// Exports the counters of messages for as long as the app runs.
pub(crate) fn observe(watched: &[Watched]) {
    let meter = global::meter("onward");
    for family in &FAMILIES {
        let watched = watched.to_vec();
        meter
            .f64_observable_counter(family.name)
            .with_description(family.help)
            .with_callback(move |observer| {
                for Watched { queue, monitor, .. } in &watched {
                    for (value, number) in (family.values)(&monitor.ledger()) {
                        let mut labels = vec![KeyValue::new("messaging.destination.name", *queue)];
                        labels.extend(family.label.map(|label| KeyValue::new(label, value)));
                        observer.observe(number, &labels);
                    }
                }
            })
            .build();
    }
    for gauge in &GAUGES {
        let watched = watched.to_vec();
        meter
            .f64_observable_gauge(gauge.name)
            .with_description(gauge.help)
            .with_callback(move |observer| {
                for watched in &watched {
                    if let Some(value) = (gauge.value)(watched) {
                        let labels = [KeyValue::new("messaging.destination.name", watched.queue)];
                        observer.observe(value, &labels);
                    }
                }
            })
            .build();
    }
}

/// Puts a span around a handler, as a child of the sender's span. The span becomes the trace context of the handler's
/// message, so that the handler's own calls and messages are its children.
/// <https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/>
pub(crate) fn traced<F, Fut>(
    queue: &'static str,
    handle: F,
) -> impl Fn(Message) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>
+ Clone
+ Send
+ Sync
+ 'static
where
    F: Fn(Message) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let duration = global::meter("onward")
        .f64_histogram("messaging.process.duration")
        .with_description("How long handlers took.")
        .with_unit("s")
        .with_boundaries(vec![
            0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 60.0, 300.0,
        ])
        .build();
    move |mut message| {
        let span = tracing::info_span!(
            target: TARGET,
            "process",
            otel.name = %format_args!("process {queue}"),
            otel.kind = "consumer",
            otel.status_description = Empty,
            messaging.system = "aws_sqs",
            messaging.operation.name = "process",
            "messaging.operation.type" = "process",
            messaging.destination.name = queue,
            messaging.message.id = %message.id,
            "error.type" = Empty,
        );
        follow(&span, &mut message);
        let work = handle(message);
        let (outcome, duration) = (SpanOutcome { span: span.clone(), is_recorded: false }, duration.clone());
        let handled = async move {
            let started = Instant::now();
            let result = work.await;
            let error = outcome.finish(&result);
            let mut labels = vec![
                KeyValue::new("messaging.system", "aws_sqs"),
                KeyValue::new("messaging.operation.name", "process"),
                KeyValue::new("messaging.destination.name", queue),
            ];
            labels.extend(error.map(|error| KeyValue::new("error.type", error)));
            duration.record(started.elapsed().as_secs_f64(), &labels);
            result
        };
        Box::pin(handled.instrument(span))
    }
}

/// Makes the span a child of the message's trace context, then makes the span the message's trace context.
fn follow(span: &Span, message: &mut Message) {
    let propagator = TraceContextPropagator::new();
    if let Some(traceparent) = message.traceparent() {
        let sender = propagator.extract(&HashMap::from([(TRACEPARENT.to_owned(), traceparent)]));
        // A span that is not exported has no parent to set.
        let _ = span.set_parent(sender);
    }
    let mut named = HashMap::new();
    propagator.inject_context(&span.context(), &mut named);
    message
        .attributes
        .extend(named.remove(TRACEPARENT).map(|own| (TRACEPARENT.to_owned(), Attribute::text(own))));
}

/// Writes an outcome into its span. A handler that is dropped before its end was interrupted: by its timeout, by a panic, or
/// by the end of the grace.
struct SpanOutcome {
    span: Span,
    is_recorded: bool,
}

impl SpanOutcome {
    /// Records the outcome, and returns the kind of the error if it is one.
    fn finish(mut self, result: &Result<(), Failure>) -> Option<&'static str> {
        self.is_recorded = true;
        let failure = result.as_ref().err()?;
        let kind = match failure.kind {
            FailureKind::Reject | FailureKind::Undecodable => "rejected",
            _ => "retried",
        };
        self.record(kind, &failure.reason);
        Some(kind)
    }

    fn record(&self, kind: &str, reason: &str) {
        self.span.record("error.type", kind);
        // This also sets the status to error.
        self.span.record("otel.status_description", reason);
    }
}

impl Drop for SpanOutcome {
    fn drop(&mut self) {
        if !self.is_recorded {
            self.record(
                "cut_short",
                "the handler timed out, panicked, or did not end within the grace of the stop",
            );
        }
    }
}
