//! The trace that a message belongs to, as its sender recorded it.

use crate::message::Message;

/// The message attribute of the W3C's trace context. <https://www.w3.org/TR/trace-context/#traceparent-header>
pub const TRACEPARENT: &str = "traceparent";

impl Message {
    /// The trace context of the sender in the form of the W3C, from the attribute `traceparent` or else from the system
    /// attribute `AWSTraceHeader` of X-Ray; none if there is none or it is malformed.
    ///
    /// A handler passes it on to the services that it calls, as the header `traceparent`.
    ///
    /// ```
    /// use onward_worker::{Attribute, Message, TRACEPARENT};
    ///
    /// let sent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    /// let attributes = [(TRACEPARENT.to_owned(), Attribute::text(sent))].into();
    /// let message = Message { attributes, ..Message::default() };
    /// assert_eq!(message.traceparent().as_deref(), Some(sent));
    /// ```
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        let own = self.attribute(TRACEPARENT).filter(|value| is_traceparent(value)).map(str::to_owned);
        own.or_else(|| self.trace_header.as_deref().and_then(of_xray))
    }

    /// The id of that trace.
    pub(crate) fn trace_id(&self) -> Option<String> {
        self.traceparent().and_then(|traceparent| Some(traceparent.split('-').nth(1)?.to_owned()))
    }
}

/// `version-trace-parent-flags`, in lower-case hexadecimal; later versions may have more fields.
fn is_traceparent(value: &str) -> bool {
    let mut fields = value.split('-');
    let mut is_hex =
        |length| fields.next().is_some_and(|field| field.len() == length && field.bytes().all(is_hex_digit));
    let is_whole = is_hex(2) && is_hex(32) && is_hex(16) && is_hex(2);
    let is_valid = |field: usize| value.split('-').nth(field).is_some_and(|id| id.bytes().any(|b| b != b'0'));
    let ends = !value.starts_with("00-") || fields.next().is_none();
    is_whole && is_valid(1) && is_valid(2) && ends && !value.starts_with("ff-")
}

fn is_hex_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// `Root=1-TIME-ID;Parent=ID;Sampled=1`; time and id of the root are the trace's id.
/// <https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>
fn of_xray(header: &str) -> Option<String> {
    let field = |name: &str| {
        header.split(';').find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('=')).map(str::trim)
    };
    let root = field("Root")?.strip_prefix("1-")?.replace('-', "");
    let flags = if field("Sampled") == Some("1") { "01" } else { "00" };
    let traceparent = format!("00-{root}-{}-{flags}", field("Parent")?).to_lowercase();
    is_traceparent(&traceparent).then_some(traceparent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Attribute;

    fn message(attribute: Option<&str>, header: Option<&str>) -> Message {
        Message {
            attributes: attribute
                .map(|value| (TRACEPARENT.to_owned(), Attribute::text(value)))
                .into_iter()
                .collect(),
            trace_header: header.map(str::to_owned),
            ..Message::default()
        }
    }

    const OWN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const XRAY: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

    #[test]
    fn the_senders_own_context_comes_before_xrays() {
        assert_eq!(message(Some(OWN), Some(XRAY)).traceparent().as_deref(), Some(OWN));
        let converted = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";
        assert_eq!(message(None, Some(XRAY)).traceparent().as_deref(), Some(converted));
        assert_eq!(message(Some("nonsense"), Some(XRAY)).traceparent().as_deref(), Some(converted));
        assert_eq!(message(None, Some(XRAY)).trace_id().as_deref(), Some("5759e988bd862e3fe1be46a994272793"));
    }

    #[test]
    fn what_is_malformed_is_no_context() {
        for own in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(message(Some(own), None).traceparent(), None, "{own}");
        }
        for header in ["", "Root=1-5759e988-bd862e3fe1be46a994272793", "Root=2-a-b;Parent=53995c3f42cd8ad8"] {
            assert_eq!(message(None, Some(header)).traceparent(), None, "{header}");
        }
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert_eq!(message(Some(later), None).traceparent().as_deref(), Some(later));
    }
}
