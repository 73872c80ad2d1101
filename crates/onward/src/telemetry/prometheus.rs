//! The metrics in the text format of OpenMetrics, which Prometheus reads.
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>

use std::fmt::Error;

use onward_worker::{BUCKETS, Durations};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::telemetry::metrics::{FAMILIES, GAUGES, Watched};

/// The type of the text for HTTP.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;

/// Gauges that are not of a worker, as they were read just now.
#[derive(Debug)]
pub(crate) struct Reading {
    pub name: &'static str,
    pub help: &'static str,
    pub values: Vec<(Labels, f64)>,
}

/// What a scrape shows.
#[derive(Debug)]
struct Scrape {
    watched: Vec<Watched>,
    readings: Vec<Reading>,
}

/// The counters, gauges and histograms of the workers, and what else was read.
pub(crate) fn text(watched: Vec<Watched>, readings: Vec<Reading>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape { watched, readings }));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("a String takes every write");
    text
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        for family in &FAMILIES {
            let name = family.name.replace('.', "_");
            let mut metric = encoder.encode_descriptor(&name, family.help, None, MetricType::Counter)?;
            for Watched { queue, monitor, .. } in &self.watched {
                for (value, number) in (family.values)(&monitor.ledger()) {
                    let mut labels = of_queue(queue);
                    labels.extend(family.label.map(|label| (label, value.to_owned())));
                    counter(&mut metric.encode_family(&labels)?, number)?;
                }
            }
        }
        for gauge in &GAUGES {
            let name = gauge.name.replace('.', "_");
            let mut metric = encoder.encode_descriptor(&name, gauge.help, None, MetricType::Gauge)?;
            for watched in &self.watched {
                if let Some(value) = (gauge.value)(watched) {
                    gauge_value(&mut metric.encode_family(&of_queue(watched.queue))?, value)?;
                }
            }
        }
        let help = "How long handlers took, each attempt counted.";
        let name = "onward_handler_duration_seconds";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for Watched { queue, monitor, .. } in &self.watched {
            let durations = monitor.handler_durations();
            let labels = of_queue(queue);
            let mut of_queue = metric.encode_family(&labels)?;
            let (sum, count) = (durations.sum_us as f64 / 1e6, durations.count());
            of_queue.encode_histogram::<NoLabelSet>(sum, count, &buckets(&durations), None)?;
        }
        for Reading { name, help, values } in &self.readings {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (labels, value) in values {
                // An empty set of labels is written as a pair of braces.
                match labels.is_empty() {
                    true => gauge_value(&mut metric, *value)?,
                    false => gauge_value(&mut metric.encode_family(labels)?, *value)?,
                }
            }
        }
        Ok(())
    }
}

/// Whole numbers are written without a fraction, as a person expects of a count.
fn counter(metric: &mut MetricEncoder<'_>, value: f64) -> Result<(), Error> {
    match value.fract() {
        0.0 => metric.encode_counter::<NoLabelSet, _, f64>(&(value as u64), None),
        _ => metric.encode_counter::<NoLabelSet, _, f64>(&value, None),
    }
}

fn gauge_value(metric: &mut MetricEncoder<'_>, value: f64) -> Result<(), Error> {
    match value.fract() {
        0.0 => metric.encode_gauge(&(value as i64)),
        _ => metric.encode_gauge(&value),
    }
}

fn of_queue(queue: &str) -> Labels {
    vec![("queue", queue.to_owned())]
}

/// Each bound with the number of runs in its bucket; the library adds them up.
fn buckets(durations: &Durations) -> Vec<(f64, u64)> {
    let bounds = BUCKETS.iter().map(|bound| bound.as_secs_f64()).chain([f64::MAX]);
    bounds.zip(durations.counts).collect()
}
