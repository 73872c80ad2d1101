//! Bodies that are encoded for the way: in Base64, because SQS takes only text, and before that with gzip.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::read::MultiGzDecoder;
use onward_worker::{Failure, Message};

/// The attribute that says that the body is Base64.
const TRANSFER_ENCODING: &str = "Content-Transfer-Encoding";

/// The attribute that says that the bytes are compressed.
const CONTENT_ENCODING: &str = "Content-Encoding";

/// The most bytes of a body after decompression: a small message must not fill the memory. It is 64 times what SQS carries.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The bytes that the body stands for, by its attributes. A compressed body is Base64 in any case.
pub(crate) fn bytes(message: &Message) -> Result<Cow<'_, [u8]>, Failure> {
    let encoding = message.attribute(CONTENT_ENCODING).unwrap_or("identity").to_ascii_lowercase();
    let is_base64 = message.attribute(TRANSFER_ENCODING).is_some_and(|it| it.eq_ignore_ascii_case("base64"));
    match encoding.as_str() {
        "identity" if !is_base64 => Ok(Cow::Borrowed(message.body.as_bytes())),
        "identity" => base64(message).map(Cow::Owned),
        "gzip" | "x-gzip" => decompressed(&base64(message)?, MAX_BYTES).map(Cow::Owned),
        other => {
            let known = "`gzip` and `identity` are known";
            Err(Failure::undecodable(format!("the body's {CONTENT_ENCODING} is `{other}`: {known}")))
        }
    }
}

/// The text that the body stands for.
pub(crate) fn text(message: &Message) -> Result<Cow<'_, str>, Failure> {
    let not_text = |error| Failure::undecodable(format!("the body is not UTF-8: {error}"));
    match bytes(message)? {
        Cow::Borrowed(_) => Ok(Cow::Borrowed(&message.body)),
        Cow::Owned(bytes) => {
            String::from_utf8(bytes).map(Cow::Owned).map_err(|error| not_text(error.utf8_error()))
        }
    }
}

fn base64(message: &Message) -> Result<Vec<u8>, Failure> {
    aws_smithy_types::base64::decode(message.body.trim())
        .map_err(|error| Failure::undecodable(format!("the body is not Base64: {error}")))
}

fn decompressed(bytes: &[u8], most: u64) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let read = MultiGzDecoder::new(bytes).take(most + 1).read_to_end(&mut body);
    read.map_err(|error| Failure::undecodable(format!("the body is not gzip: {error}")))?;
    if body.len() as u64 > most {
        return Err(Failure::undecodable(format!("the body has more than {most} bytes after decompression")));
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use onward_worker::{Attribute, FailureKind};

    use super::*;

    fn message(body: &str, attributes: &[(&str, &str)]) -> Message {
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), Attribute::text(*value));
        Message {
            body: body.to_owned(),
            attributes: attributes.iter().map(text).collect(),
            ..Message::default()
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("is in memory");
        encoder.finish().expect("is in memory")
    }

    fn refused(message: &Message) -> String {
        let failure = text(message).expect_err("is refused");
        assert_eq!(failure.kind, FailureKind::Undecodable);
        failure.reason
    }

    #[test]
    fn a_body_stands_for_what_its_attributes_say() {
        assert_eq!(text(&message("{}", &[])).expect("is text"), "{}");
        let encoded = message("aGVsbG8=\n", &[(TRANSFER_ENCODING, "BASE64")]);
        assert_eq!(text(&encoded).expect("is text"), "hello");
        let zipped = aws_smithy_types::base64::encode(gzip(b"hello"));
        for attributes in
            [&[(CONTENT_ENCODING, "gzip"), (TRANSFER_ENCODING, "base64")][..], &[(CONTENT_ENCODING, "GZIP")]]
        {
            assert_eq!(text(&message(&zipped, attributes)).expect("is text"), "hello");
        }
        // A sender that compresses in parts writes several members; the body is all of them.
        let parts = aws_smithy_types::base64::encode([gzip(b"hel"), gzip(b"lo")].concat());
        assert_eq!(text(&message(&parts, &[(CONTENT_ENCODING, "gzip")])).expect("is text"), "hello");
    }

    #[test]
    fn what_the_attributes_deny_is_undecodable() {
        let gzip_of = |body: &str| message(body, &[(CONTENT_ENCODING, "gzip")]);
        let cut = gzip(b"hello, hello, hello");
        assert!(refused(&gzip_of("{}")).contains("not Base64"));
        assert!(refused(&gzip_of("aGVsbG8=")).contains("not gzip"));
        assert!(
            refused(&gzip_of(&aws_smithy_types::base64::encode(&cut[..cut.len() - 9]))).contains("not gzip")
        );
        assert!(refused(&message("{}", &[(CONTENT_ENCODING, "br")])).contains("`br`"));
        assert!(refused(&message("/w==", &[(TRANSFER_ENCODING, "base64")])).contains("not UTF-8"));
    }

    #[test]
    fn a_small_body_cannot_become_a_large_one() {
        let zeros = gzip(&[0; 10_000]);
        assert!(zeros.len() < 100 && decompressed(&zeros, 10_000).is_ok());
        let reason = decompressed(&zeros, 9_999).expect_err("is too large").reason;
        assert_eq!(reason, "the body has more than 9999 bytes after decompression");
    }
}
