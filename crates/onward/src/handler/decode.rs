//! JSON bodies, and what a body is that does not decode.

use std::cell::Cell;
use std::fmt;

use onward_worker::Failure;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde_json::Value;

/// Decodes a body. One that does not decode is undecodable, with a hint where it is an envelope of another AWS service.
pub(crate) fn decode<T: DeserializeOwned>(body: &str) -> Result<T, Failure> {
    // serde takes a list for a struct, field by field. In a message that is an accident.
    if body.trim_start().starts_with('[') && is_struct::<T>() {
        return Err(Failure::undecodable("the body does not decode: it is a list, not an object"));
    }
    serde_json::from_str(body).map_err(|error| {
        let hint = envelope(body).map(|hint| format!("; {hint}")).unwrap_or_default();
        Failure::undecodable(format!("the body does not decode: {error}{hint}"))
    })
}

/// What a body is that another AWS service has wrapped.
fn envelope(body: &str) -> Option<&'static str> {
    let value: Value = serde_json::from_str(body).ok()?;
    let has = |name: &str| value.get(name).is_some();
    match () {
        () if has("TopicArn") && has("Message") => {
            Some("it is a notification of SNS: take `Sns<T>`, or turn raw message delivery on")
        }
        () if has("detail-type") && has("detail") => {
            Some("it is an event of EventBridge: take `EventBridge<T>`")
        }
        () if has("specversion") && has("type") => Some("it is a CloudEvent: take `CloudEvent<T>`"),
        () if value["Event"] == "s3:TestEvent" => {
            Some("it is the test event that S3 sends once for a new notification")
        }
        () if value["Records"][0]["eventSource"] == "aws:s3" => {
            Some("it is an event of S3: its list is `Records`")
        }
        () if value[0] == "software.amazon.payloadoffloading.PayloadS3Pointer" => {
            Some("it points to a body in S3, written by the SQS extended client")
        }
        () => None,
    }
}

/// Whether a type is a struct, by the first thing that it asks a deserializer for.
fn is_struct<T: DeserializeOwned>() -> bool {
    let is_struct = Cell::new(false);
    // It fails in any case: only what was asked for counts.
    let _ = T::deserialize(Question(&is_struct));
    is_struct.get()
}

struct Question<'a>(&'a Cell<bool>);

/// The question was heard.
#[derive(Debug)]
struct Heard;

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("heard")
    }
}

impl std::error::Error for Heard {}

impl serde::de::Error for Heard {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl<'de> Deserializer<'de> for Question<'_> {
    type Error = Heard;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Heard> {
        Err(Heard::custom("heard"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Heard> {
        self.0.set(true);
        Err(Heard)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use onward_worker::FailureKind;

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Order {
        destination: String,
        #[serde(rename = "body")]
        _body: Value,
    }

    fn refused(body: &str) -> String {
        let failure = decode::<Order>(body).expect_err("does not decode");
        assert_eq!(failure.kind, FailureKind::Undecodable);
        failure.reason
    }

    #[test]
    fn a_body_that_does_not_decode_is_rejected() {
        let reason = refused("{\"a\": ");
        assert_eq!(reason, "the body does not decode: EOF while parsing a value at line 1 column 6");
        let order = decode::<Order>(r#"{"destination": "ok", "body": {}}"#).expect("decodes");
        assert_eq!(order.destination, "ok");
    }

    #[test]
    fn a_list_is_not_taken_for_an_object() {
        assert!(refused(r#"["ok", {"a": 1}]"#).contains("it is a list"));
        assert_eq!(decode::<Vec<u8>>("[1, 2]").expect("decodes"), [1, 2]);
        assert_eq!(decode::<(u8, u8)>("[1, 2]").expect("decodes"), (1, 2));
        assert!(decode::<Value>("[1, 2]").expect("decodes").is_array());
    }

    #[test]
    fn an_envelope_is_named() {
        for (body, hint) in [
            (r#"{"Type": "Notification", "TopicArn": "arn:x", "Message": "{}"}"#, "`Sns<T>`"),
            (r#"{"detail-type": "x", "source": "y", "detail": {}}"#, "`EventBridge<T>`"),
            (
                r#"{"specversion": "1.0", "type": "x", "source": "y", "id": "1", "data": {}}"#,
                "`CloudEvent<T>`",
            ),
            (r#"{"Service": "Amazon S3", "Event": "s3:TestEvent"}"#, "test event"),
            (r#"{"Records": [{"eventSource": "aws:s3"}]}"#, "event of S3"),
        ] {
            assert!(refused(body).contains(hint), "{body}: {}", refused(body));
        }
    }
}
