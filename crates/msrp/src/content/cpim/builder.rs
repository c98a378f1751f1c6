//! Making a message/cpim.

use bytes::Bytes;

use super::escape::{escape, line_end};
use super::header::{Scope, is_name};
use super::{Address, CPIM_NAMESPACE, Cpim, CpimError, CpimErrorKind};
use crate::content::{DateTime, HeadErrorKind, MediaType, MimeHeader};

/// A message/cpim in the making: its headers, in the order in which they are given.
#[derive(Debug, Clone)]
pub struct CpimBuilder {
    headers: String,
    scope: Scope,
    mime: Vec<MimeHeader>,
    needs_date_time: bool,
}

impl CpimBuilder {
    pub(super) fn new(from: &Address, to: &Address) -> Self {
        let mut new =
            Self { headers: String::new(), scope: Scope::default(), mime: Vec::new(), needs_date_time: false };
        new.push("From: ", &from.to_string());
        new.with_to(to)
    }

    fn push(&mut self, start: &str, raw: &str) {
        self.headers.extend([start, raw, "\r\n"]);
    }

    /// For one more.
    #[must_use]
    pub fn with_to(mut self, to: &Address) -> Self {
        self.push("To: ", &to.to_string());
        self
    }

    /// With a copy for somebody.
    #[must_use]
    pub fn with_cc(mut self, cc: &Address) -> Self {
        self.push("cc: ", &cc.to_string());
        self
    }

    /// With the time at which it is sent; a message can have one.
    #[must_use]
    pub fn with_date_time(mut self, date_time: &DateTime) -> Self {
        self.push("DateTime: ", date_time.as_str());
        self
    }

    /// With what it is about.
    ///
    /// # Errors
    /// CR, LF or NUL in it.
    pub fn with_subject(mut self, text: &str) -> Result<Self, CpimError> {
        let raw = escaped(text)?;
        self.push("Subject: ", &raw);
        Ok(self)
    }

    /// With what it is about in a language, such as `en`.
    ///
    /// # Errors
    /// CR, LF or NUL in the text, or a tag that is none.
    pub fn with_subject_in(mut self, language: &str, text: &str) -> Result<Self, CpimError> {
        let is_tag = !language.is_empty() && language.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_tag {
            return Err(CpimError::new(CpimErrorKind::Parameter, 0));
        }
        let raw = escaped(text)?;
        self.push(&format!("Subject:;lang={language} "), &raw);
        Ok(self)
    }

    /// With a prefix for the namespace of a URI, in front of what has that prefix.
    ///
    /// # Errors
    /// A prefix or a URI that is none.
    pub fn with_namespace(mut self, prefix: &str, uri: &str) -> Result<Self, CpimError> {
        let value = format!("{prefix} <{uri}>");
        if prefix.is_empty() || !prefix.chars().all(is_name) || self.scope.declare(&value).is_none() {
            return Err(CpimError::new(CpimErrorKind::Namespace, 0));
        }
        self.push("NS: ", &value);
        Ok(self)
    }

    /// With a header of another namespace, as `prefix.Name`.
    ///
    /// # Errors
    /// A name that is none or has no declared prefix, or CR, LF or NUL in the value.
    pub fn with_header(self, name: &str, value: &str) -> Result<Self, CpimError> {
        let raw = escaped(value)?;
        self.with_raw_header(name, &raw)
    }

    /// With a header whose value is escaped already.
    pub(in crate::content) fn with_raw_header(mut self, name: &str, raw: &str) -> Result<Self, CpimError> {
        self.check_name(name)?;
        if let Some(offset) = raw.bytes().position(|byte| byte.is_ascii_control()) {
            return Err(CpimError::new(CpimErrorKind::Head(HeadErrorKind::Control), offset));
        }
        self.push(&format!("{name}: "), raw);
        Ok(self)
    }

    /// With a header or a feature, as `prefix.Name`, that the recipient must understand to act on the message.
    ///
    /// # Errors
    /// A name that is none or has no declared prefix.
    pub fn with_require(mut self, name: &str) -> Result<Self, CpimError> {
        self.check_name(name)?;
        self.push("Require: ", name);
        Ok(self)
    }

    /// That is no message without a DateTime.
    pub(in crate::content) fn needing_date_time(self) -> Self {
        Self { needs_date_time: true, ..self }
    }

    /// The headers of RFC 3862 have methods of their own, and nothing else is in their namespace.
    fn check_name(&self, name: &str) -> Result<(), CpimError> {
        let (namespace, _) = self.scope.resolve(name).map_err(|()| CpimError::new(CpimErrorKind::Name, 0))?;
        match namespace.as_deref() {
            None => Err(CpimError::new(CpimErrorKind::Namespace, 0)),
            Some(CPIM_NAMESPACE) => Err(CpimError::new(CpimErrorKind::Name, 0)),
            Some(_) => Ok(()),
        }
    }

    /// With a MIME header of the body inside.
    ///
    /// # Errors
    /// A name that is no token or is Content-Type, or control characters in the value.
    pub fn with_mime_header(mut self, name: &str, value: &str) -> Result<Self, CpimError> {
        let header = MimeHeader::new(name, value).map_err(|kind| CpimError::new(CpimErrorKind::Head(kind), 0))?;
        if header.is("Content-Type") {
            return Err(CpimError::new(CpimErrorKind::Duplicate, 0));
        }
        self.mime.push(header);
        Ok(self)
    }

    /// The message around a body, which is not copied.
    ///
    /// # Errors
    /// More headers than a recipient takes, or a second time.
    pub fn build(self, content_type: &MediaType, body: impl Into<Bytes>) -> Result<Cpim, CpimError> {
        let mut head = self.headers;
        head.push_str(&format!("\r\nContent-Type: {content_type}\r\n"));
        for header in &self.mime {
            head.extend([header.name(), ": ", header.value(), "\r\n"]);
        }
        head.push_str("\r\n");
        // What is written is what is read: by the grammar and the limits that its recipient has.
        let message = Cpim::read_any(&head.into())?;
        if self.needs_date_time && message.date_time.is_none() {
            return Err(CpimError::new(CpimErrorKind::DateTimeMissing, 0));
        }
        Ok(Cpim { body: body.into(), ..message })
    }
}

/// A text with its escapes.
fn escaped(text: &str) -> Result<String, CpimError> {
    if let Some(offset) = line_end(text) {
        return Err(CpimError::new(CpimErrorKind::Head(HeadErrorKind::Control), offset));
    }
    let mut raw = String::with_capacity(text.len());
    escape(text, false, &mut raw);
    Ok(raw)
}
