//! Bodies that arrive over time: bytes, and JSON documents one after the other.

use crate::{Error, Result};
use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

/// A body as it comes.
pub struct Bytes {
    path: String,
    body: Incoming,
}

impl Bytes {
    pub(crate) fn new(path: String, body: Incoming) -> Self {
        Self { path, body }
    }

    /// The next chunk, `None` at the end.
    ///
    /// # Errors
    /// [`Error::Transport`] when the connection breaks.
    pub async fn next(&mut self) -> Result<Option<bytes::Bytes>> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Ok(Some(data)),
                    Err(_trailers) => {}
                },
                Some(Err(e)) => {
                    let reason = e.to_string();
                    return Err(Error::Transport { method: "read".into(), path: self.path.clone(), reason });
                }
            }
        }
    }

    /// Reads this body as JSON documents.
    #[must_use]
    pub fn documents(self) -> Documents {
        Documents { bytes: self, buffer: BytesMut::new(), ended: false }
    }
}

/// JSON documents one after the other, with or without line ends between.
pub struct Documents {
    bytes: Bytes,
    buffer: BytesMut,
    ended: bool,
}

impl Documents {
    /// The next document, `None` at the end.
    ///
    /// # Errors
    /// [`Error::Transport`], and [`Error::Decode`] for a document that is not a `T`.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        loop {
            if let Some(document) = self.take()? {
                return Ok(Some(document));
            }
            if self.ended {
                return match self.buffer.iter().all(u8::is_ascii_whitespace) {
                    true => Ok(None),
                    false => Err(self.refuse("unexpected end of a JSON document")),
                };
            }
            match self.bytes.next().await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None => self.ended = true,
            }
        }
    }

    fn take<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        let mut documents = serde_json::Deserializer::from_slice(&self.buffer).into_iter::<T>();
        let next = documents.next();
        let used = documents.byte_offset();
        match next {
            None => Ok(None),
            Some(Ok(document)) => {
                let _ = self.buffer.split_to(used);
                Ok(Some(document))
            }
            Some(Err(e)) if e.is_eof() => Ok(None),
            Some(Err(e)) => Err(self.refuse(&e.to_string())),
        }
    }

    fn refuse(&self, reason: &str) -> Error {
        Error::Decode { path: self.bytes.path.clone(), reason: reason.to_owned() }
    }
}
