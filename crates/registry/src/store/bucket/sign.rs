//! Signatures of requests to S3-compatible servers (AWS Signature Version 4, header form).

use ring::{digest, hmac};

/// Stands for a body that is not signed: it is a blob, which its digest protects.
pub const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// Who signs, and for what.
#[derive(Clone)]
pub struct Signer {
    /// Access key.
    pub access_key: String,
    /// Secret key.
    pub secret_key: String,
    /// Of the bucket.
    pub region: String,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// A request to be signed.
#[derive(Debug)]
pub struct Canonical<'c> {
    /// `GET`, …
    pub method: &'c str,
    /// Encoded path.
    pub path: &'c str,
    /// Encoded query, its parameters sorted by name.
    pub query: &'c str,
    /// Signed headers in lower case, sorted by name; `host` and `x-amz-date` are among them.
    pub headers: &'c [(&'c str, &'c str)],
    /// Digest of the body, or [`UNSIGNED`].
    pub payload: &'c str,
    /// `20130524T000000Z`.
    pub time: &'c str,
}

impl Signer {
    /// The value of `Authorization`.
    #[must_use]
    pub fn sign(&self, request: &Canonical<'_>) -> String {
        let day = &request.time[..8];
        let names = request.headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let headers: String =
            request.headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let canonical =
            format!("{}\n{}\n{}\n{headers}\n{names}\n{}", request.method, request.path, request.query, request.payload);
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", request.time, sha256(canonical.as_bytes()));
        let mut key = mac(format!("AWS4{}", self.secret_key).as_bytes(), day);
        for part in [self.region.as_str(), "s3", "aws4_request"] {
            key = mac(key.as_ref(), part);
        }
        let signature = berth_kit::id::hex(mac(key.as_ref(), &text).as_ref());
        format!("AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", self.access_key)
    }
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

/// SHA-256 in hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    berth_kit::id::hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// Encodes a part of a URI; slashes stay in paths.
#[must_use]
pub fn encode(text: &str, keeps_slashes: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(byte as char),
            b'/' if keeps_slashes => encoded.push('/'),
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example "GET Object" of Amazon's documentation of Signature Version 4.
    #[test]
    fn the_documented_example_is_signed_as_documented() {
        let signer = Signer {
            access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            region: "us-east-1".to_owned(),
        };
        let empty = sha256(b"");
        let headers = [
            ("host", "examplebucket.s3.amazonaws.com"),
            ("range", "bytes=0-9"),
            ("x-amz-content-sha256", &empty),
            ("x-amz-date", "20130524T000000Z"),
        ];
        let authorization = signer.sign(&Canonical {
            method: "GET",
            path: "/test.txt",
            query: "",
            headers: &headers,
            payload: &empty,
            time: "20130524T000000Z",
        });
        assert!(
            authorization.ends_with("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
            "{authorization}"
        );
    }

    #[test]
    fn parts_of_uris_are_encoded() {
        assert_eq!(encode("a b/ü+", true), "a%20b/%C3%BC%2B");
        assert_eq!(encode("a/b", false), "a%2Fb");
    }
}
