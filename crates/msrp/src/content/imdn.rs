//! Instant Message Disposition Notification: message/imdn+xml, which says what became of a message (RFC 5438).

use super::cpim::check_uri;
use super::xml::{self, Element, Reader};
use super::{Address, Cpim, CpimError, DateTime, MediaType, Multipart, MultipartError, Subject, XmlError};

mod headers;
mod notification;

pub use headers::{Disposition, DispositionRequest, ImdnHeaders};
use notification::NOTIFICATIONS;
pub use notification::{DeliveryStatus, DisplayStatus, Notification, ProcessingStatus};

/// The namespace of the headers of RFC 5438.
pub const IMDN_NAMESPACE: &str = "urn:ietf:params:imdn";

/// The namespace of the elements of message/imdn+xml.
const XML_NAMESPACE: &str = "urn:ietf:params:xml:ns:imdn";

/// A notification of what became of a message.
///
/// ```
/// use postroad_msrp::content::{Address, Cpim, DeliveryStatus, Disposition, Imdn, ImdnHeaders, MediaType, Notification};
///
/// let (alice, bob) = (Address::new("im:alice@example.com")?, Address::new("im:bob@example.com")?);
/// let asking = ImdnHeaders::new("34jk324j")?.with_request(Disposition::PositiveDelivery);
/// let message = Cpim::builder(&alice, &bob)
///     .with_date_time(&"2006-04-04T12:16:49-05:00".parse()?)
///     .with_imdn(&asking)?
///     .build(&MediaType::text_plain(), "Hello World")?;
///
/// let delivered = Imdn::answering(&message, Notification::Delivery(DeliveryStatus::Delivered))?;
/// let answer = delivered.expect("it was asked for").wrap(&bob, &alice, &ImdnHeaders::new("d834jied93rf")?)?;
/// assert_eq!(Imdn::all_in(&answer)?[0].message_id(), "34jk324j");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imdn {
    message_id: Box<str>,
    date_time: Box<str>,
    recipient: Option<Box<str>>,
    original_recipient: Option<Box<str>>,
    subject: Option<Subject>,
    notification: Notification,
}

impl Imdn {
    /// How many octets a Message-ID may have: whoever wants notifications keeps those of many messages.
    pub const MAX_MESSAGE_ID: usize = 512;

    /// A notification about the message of this Message-ID and DateTime.
    ///
    /// # Errors
    /// A Message-ID that is no token.
    pub fn new(message_id: &str, date_time: &DateTime, notification: Notification) -> Result<Self, ImdnError> {
        headers::check_message_id(message_id)?;
        Ok(Self {
            message_id: message_id.into(),
            date_time: date_time.as_str().into(),
            recipient: None,
            original_recipient: None,
            subject: None,
            notification,
        })
    }

    /// What became of a message, for who sent it; none if the sender did not ask for that, or cannot, since the message
    /// is a notification itself (RFC 5438 7.2.1). It is about the first recipient that the message names.
    ///
    /// # Errors
    /// Headers of the message that break their grammar.
    pub fn answering(message: &Cpim, notification: Notification) -> Result<Option<Self>, ImdnError> {
        let headers = ImdnHeaders::of(message)?;
        let Some(message_id) = headers.message_id() else { return Ok(None) };
        if !headers.wants(notification) || is_notification(message) {
            return Ok(None);
        }
        let recipient = message.to().first();
        let original = headers.original_to().or(recipient);
        Ok(Some(Self {
            message_id: message_id.into(),
            date_time: message.date_time().map_or_else(Box::default, |time| time.as_str().into()),
            recipient: recipient.map(|address| address.uri().into()),
            original_recipient: original.map(|address| address.uri().into()),
            // What a peer writes with escapes may be nothing that XML can say.
            subject: message.subjects().next().filter(|subject| xml::unwritable(&subject.text).is_none()),
            notification,
        }))
    }

    /// With the URI of the final recipient.
    ///
    /// # Errors
    /// What is no URI with a scheme.
    pub fn with_recipient(self, uri: &str) -> Result<Self, ImdnError> {
        check_uri(uri).map_err(|_| ImdnError::Uri)?;
        Ok(Self { recipient: Some(uri.into()), ..self })
    }

    /// With the URI that the message was sent to at first.
    ///
    /// # Errors
    /// What is no URI with a scheme.
    pub fn with_original_recipient(self, uri: &str) -> Result<Self, ImdnError> {
        check_uri(uri).map_err(|_| ImdnError::Uri)?;
        Ok(Self { original_recipient: Some(uri.into()), ..self })
    }

    /// With what the message is about.
    ///
    /// # Errors
    /// Control characters, or what XML cannot say.
    pub fn with_subject(self, subject: Subject) -> Result<Self, ImdnError> {
        let texts = [Some(&subject.text), subject.language.as_ref()];
        if texts.into_iter().flatten().any(|text| xml::unwritable(text).is_some()) {
            return Err(ImdnError::Control);
        }
        Ok(Self { subject: Some(subject), ..self })
    }

    /// Without those to whom the message went, as a list does whose members are nobody's business (RFC 5438 8).
    #[must_use]
    pub fn without_recipients(self) -> Self {
        Self { recipient: None, original_recipient: None, ..self }
    }

    /// The Message-ID of the message that it is about.
    #[must_use]
    pub fn message_id(&self) -> &str {
        &self.message_id
    }

    /// The DateTime of the message that it is about, which is no date if the peer says so.
    #[must_use]
    pub fn date_time(&self) -> Option<DateTime> {
        self.date_time.parse().ok()
    }

    /// The URI of the final recipient.
    #[must_use]
    pub fn recipient(&self) -> Option<&str> {
        self.recipient.as_deref()
    }

    /// The URI that the message was sent to at first.
    #[must_use]
    pub fn original_recipient(&self) -> Option<&str> {
        self.original_recipient.as_deref()
    }

    /// What the message is about.
    #[must_use]
    pub fn subject(&self) -> Option<&Subject> {
        self.subject.as_ref()
    }

    /// What it tells of.
    #[must_use]
    pub fn notification(&self) -> Notification {
        self.notification
    }

    /// Reads a message/imdn+xml. Elements of other namespaces are passed over.
    ///
    /// # Errors
    /// What is no XML, has a document type or is too big, and a document that lacks something or says it twice.
    pub fn parse(input: &[u8]) -> Result<Self, ImdnError> {
        let mut reader = Reader::new(input)?;
        reader.root(XML_NAMESPACE, "imdn")?;
        let [mut message_id, mut date_time, mut recipient, mut original_recipient] = [const { None }; 4];
        let (mut subject, mut notification) = (None, None);
        while let Some(element) = reader.child()? {
            let Some(name) = element.name_in(XML_NAMESPACE) else {
                reader.skip()?;
                continue;
            };
            match name {
                "message-id" => once(&mut message_id, reader.text()?.into_boxed_str(), "message-id")?,
                "datetime" => once(&mut date_time, reader.text()?.into_boxed_str(), "datetime")?,
                "recipient-uri" => once(&mut recipient, reader.text()?.into_boxed_str(), "recipient-uri")?,
                "original-recipient-uri" => {
                    once(&mut original_recipient, reader.text()?.into_boxed_str(), "original-recipient-uri")?;
                }
                "subject" => {
                    let language = element.language().map(str::to_owned);
                    once(&mut subject, Subject { text: reader.text()?, language }, "subject")?;
                }
                _ if NOTIFICATIONS.iter().any(|(_, known, _)| *known == name) => {
                    let found = read_notification(&mut reader, name)?;
                    once(&mut notification, found, "notification")?;
                }
                _ => reader.skip()?,
            }
        }
        reader.finish()?;
        let message_id = message_id.ok_or(ImdnError::Missing("message-id"))?;
        if !(1..=Self::MAX_MESSAGE_ID).contains(&message_id.len()) {
            return Err(ImdnError::MessageId);
        }
        Ok(Self {
            message_id,
            date_time: date_time.ok_or(ImdnError::Missing("datetime"))?,
            recipient,
            original_recipient,
            subject,
            notification: notification.ok_or(ImdnError::Missing("notification"))?,
        })
    }

    /// The document, as message/imdn+xml.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let mut out = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<imdn xmlns=\"{XML_NAMESPACE}\">\r\n");
        let mut element = |name: &str, attributes: &str, text: &str| {
            out.extend(["<", name, attributes, ">"]);
            xml::escape(text, &mut out);
            out.extend(["</", name, ">\r\n"]);
        };
        element("message-id", "", &self.message_id);
        element("datetime", "", &self.date_time);
        for (name, uri) in [("recipient-uri", &self.recipient), ("original-recipient-uri", &self.original_recipient)] {
            if let Some(uri) = uri {
                element(name, "", uri);
            }
        }
        if let Some(Subject { text, language }) = &self.subject {
            let mut attributes = String::new();
            if let Some(language) = language {
                attributes.push_str(" xml:lang=\"");
                xml::escape(language, &mut attributes);
                attributes.push('"');
            }
            element("subject", &attributes, text);
        }
        let (_, kind, status) = NOTIFICATIONS
            .into_iter()
            .find(|(notification, ..)| *notification == self.notification)
            .expect("the table has each notification");
        out.push_str(&format!("<{kind}><status><{status}/></status></{kind}>\r\n</imdn>\r\n"));
        out
    }

    /// The message in which it is sent (RFC 5438 7.2.1): from whoever it is about, to who sent that message, with a
    /// Message-ID of its own. Requests and recorded routes in the headers are left out, as they must be.
    ///
    /// # Errors
    /// More headers than a recipient takes.
    pub fn wrap(&self, from: &Address, to: &Address, headers: &ImdnHeaders) -> Result<Cpim, CpimError> {
        Cpim::builder(from, to)
            .with_imdn(&headers.clone().for_notification())?
            .with_mime_header("Content-Disposition", "notification")?
            .build(&MediaType::imdn(), self.to_xml())
    }

    /// The notifications in a message: none if it is another one, and several if they were put together on their way
    /// (RFC 5438 8.3, 9).
    ///
    /// # Errors
    /// One that is none.
    pub fn all_in(message: &Cpim) -> Result<Vec<Self>, ImdnError> {
        if !is_notification(message) {
            return Ok(Vec::new());
        }
        if message.content_type().is("message", "imdn+xml") {
            return Ok(vec![Self::parse(message.body())?]);
        }
        let parts = Multipart::parse(message.content_type(), message.body())?;
        let notifications = parts.parts().iter().filter(|part| part.content_type().is("message", "imdn+xml"));
        notifications.map(|part| Self::parse(part.body())).collect()
    }
}

/// Whether a message says that it is one (RFC 5438 9).
fn is_notification(message: &Cpim) -> bool {
    let content_type = message.content_type();
    let disposition = message.mime_header("Content-Disposition").map(|value| value.split(';').next().unwrap_or(value));
    (content_type.is("message", "imdn+xml") || content_type.is("multipart", "mixed"))
        && disposition.is_some_and(|value| value.trim().eq_ignore_ascii_case("notification"))
}

fn once<T>(place: &mut Option<T>, value: T, name: &'static str) -> Result<(), ImdnError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(ImdnError::Duplicate(name)),
    }
}

/// `<status>` with one element that is known, in an element that is open.
fn read_notification(reader: &mut Reader<'_>, kind: &str) -> Result<Notification, ImdnError> {
    let mut found = None;
    while let Some(child) = reader.child()? {
        if child.name_in(XML_NAMESPACE) != Some("status") {
            reader.skip()?;
            continue;
        }
        while let Some(status) = reader.child()? {
            reader.skip()?;
            let known = |status: &Element<'_>| {
                let name = status.name_in(XML_NAMESPACE)?;
                NOTIFICATIONS.iter().find(|(_, of, known)| (*of, *known) == (kind, name))
            };
            match known(&status) {
                Some((notification, ..)) => once(&mut found, *notification, "status")?,
                // Others may say more, in namespaces of their own.
                None if status.name_in(XML_NAMESPACE).is_none() => {}
                None => return Err(ImdnError::Status),
            }
        }
    }
    found.ok_or(ImdnError::Missing("status"))
}

/// Why something is no notification, or no request for one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImdnError {
    /// The document is no XML, or not of this kind.
    #[error("{0}")]
    Xml(#[from] XmlError),
    /// A message could not be made.
    #[error("{0}")]
    Cpim(#[from] CpimError),
    /// Notifications that were put together cannot be taken apart.
    #[error("{0}")]
    Multipart(#[from] MultipartError),
    /// The document lacks an element.
    #[error("no {0}")]
    Missing(&'static str),
    /// An element or a header is there twice which may not be.
    #[error("{0} is there twice")]
    Duplicate(&'static str),
    /// A status that its notification does not have.
    #[error("an unknown status")]
    Status,
    /// A Message-ID is no token, or has none or more than [`Imdn::MAX_MESSAGE_ID`] octets.
    #[error("no Message-ID of 1 to {} octets", Imdn::MAX_MESSAGE_ID)]
    MessageId,
    /// An address is none.
    #[error("no address in {0}")]
    Address(&'static str),
    /// A URI is none.
    #[error("no URI")]
    Uri,
    /// A text has control characters, or others that XML cannot say.
    #[error("a character that no XML has")]
    Control,
    /// What is asked for is no list of tokens, or is too long a list.
    #[error("no list of dispositions")]
    Disposition,
}

#[cfg(test)]
mod tests;
