//! The headers with which notifications are asked for and find their way (RFC 5438 6 and 10).

use std::fmt;

use super::{DeliveryStatus, IMDN_NAMESPACE, Imdn, ImdnError, Notification};
use crate::content::cpim::{Parameter, is_formal_token, read_parameter, write_quoted};
use crate::content::{Address, Cpim, CpimBuilder, CpimError, CpimErrorKind, HeadErrorKind};

/// What the headers of RFC 5438 say in a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImdnHeaders {
    message_id: Option<Box<str>>,
    requests: Vec<DispositionRequest>,
    original_to: Option<Address>,
    record_route: Vec<Address>,
    route: Vec<Address>,
}

/// A wish to be told what becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DispositionRequest {
    disposition: Disposition,
    parameters: Vec<Parameter>,
}

/// What the sender of a message wants to be told (RFC 5438 7.1.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Disposition {
    /// That it was delivered.
    PositiveDelivery,
    /// That it could not be delivered.
    NegativeDelivery,
    /// What somebody in between did with it.
    Processing,
    /// That it was shown.
    Display,
    /// Something else, which whoever does not know it passes over.
    Other(Box<str>),
}

impl ImdnHeaders {
    /// How many requests a message may have: each costs memory many times its shortest form.
    pub const MAX_REQUESTS: usize = 32;

    /// Those of a message with this Message-ID, which should have 64 random bits and never be used twice.
    ///
    /// # Errors
    /// What is no token.
    pub fn new(message_id: &str) -> Result<Self, ImdnError> {
        check_message_id(message_id)?;
        Ok(Self { message_id: Some(message_id.into()), ..Self::default() })
    }

    /// With a request, which makes a DateTime necessary (RFC 5438 7.1.1.2).
    #[must_use]
    pub fn with_request(mut self, request: impl Into<DispositionRequest>) -> Self {
        self.requests.push(request.into());
        self
    }

    /// With the address that the message was sent to before somebody in between changed that.
    #[must_use]
    pub fn with_original_to(self, address: Address) -> Self {
        Self { original_to: Some(address), ..self }
    }

    /// With somebody in between on top of those through whom notifications are to come back.
    #[must_use]
    pub fn with_record_route(mut self, address: Address) -> Self {
        self.record_route.insert(0, address);
        self
    }

    /// With those through whom a notification goes, behind the ones that are there.
    #[must_use]
    pub fn with_route(mut self, route: impl IntoIterator<Item = Address>) -> Self {
        self.route.extend(route);
        self
    }

    /// Those of a notification with this Message-ID about a message that has these: it goes back by the route that was
    /// recorded (RFC 5438 7.2.1).
    ///
    /// # Errors
    /// A Message-ID that is no token.
    pub fn answering(&self, message_id: &str) -> Result<Self, ImdnError> {
        Ok(Self::new(message_id)?.with_route(self.record_route.iter().cloned()))
    }

    pub(super) fn for_notification(self) -> Self {
        Self { requests: Vec::new(), record_route: Vec::new(), ..self }
    }

    /// Those of a message.
    ///
    /// # Errors
    /// A value that breaks its grammar, or a header that is there twice and may not be.
    pub fn of(message: &Cpim) -> Result<Self, ImdnError> {
        let mut all = Self::default();
        for header in message.headers().iter().filter(|header| header.namespace() == Some(IMDN_NAMESPACE)) {
            let value = header.raw_value().trim_matches(' ');
            let address = |name| Address::read(value).ok_or(ImdnError::Address(name));
            match header.name() {
                "Message-ID" if all.message_id.is_some() => return Err(ImdnError::Duplicate("Message-ID")),
                // Some peers write what is no token; the value is only compared.
                "Message-ID" if value.is_empty() || value.len() > Imdn::MAX_MESSAGE_ID => {
                    return Err(ImdnError::MessageId);
                }
                "Message-ID" => all.message_id = Some(value.into()),
                "Disposition-Notification" => all.read_requests(value)?,
                "Original-To" if all.original_to.is_some() => return Err(ImdnError::Duplicate("Original-To")),
                "Original-To" => all.original_to = Some(address("Original-To")?),
                "IMDN-Record-Route" => all.record_route.push(address("IMDN-Record-Route")?),
                "IMDN-Route" => all.route.push(address("IMDN-Route")?),
                _ => {}
            }
        }
        Ok(all)
    }

    fn read_requests(&mut self, value: &str) -> Result<(), ImdnError> {
        let mut rest = value;
        // Nothing at all asks for nothing (RFC 5438 7.1.1.3).
        while !rest.is_empty() {
            let end = rest.find([',', ';', ' ']).unwrap_or(rest.len());
            if self.requests.len() == Self::MAX_REQUESTS || !is_formal_token(&rest[..end]) {
                return Err(ImdnError::Disposition);
            }
            let mut request = DispositionRequest::from(Disposition::of(&rest[..end]));
            rest = rest[end..].trim_start_matches(' ');
            while let Some(behind) = rest.strip_prefix(';') {
                let read = read_parameter(behind.trim_start_matches(' '));
                let (parameter, behind) =
                    read.filter(|_| request.parameters.len() < Self::MAX_REQUESTS).ok_or(ImdnError::Disposition)?;
                request.parameters.push(parameter);
                rest = behind.trim_start_matches(' ');
            }
            self.requests.push(request);
            rest = match rest.strip_prefix(',').map(|behind| behind.trim_start_matches(' ')) {
                Some(behind) if !behind.is_empty() => behind,
                None if rest.is_empty() => rest,
                _ => return Err(ImdnError::Disposition),
            };
        }
        Ok(())
    }

    /// The Message-ID of the message, by which notifications name it.
    #[must_use]
    pub fn message_id(&self) -> Option<&str> {
        self.message_id.as_deref()
    }

    /// What the sender wants to be told.
    #[must_use]
    pub fn requests(&self) -> &[DispositionRequest] {
        &self.requests
    }

    /// The address that the message was sent to before somebody in between changed that.
    #[must_use]
    pub fn original_to(&self) -> Option<&Address> {
        self.original_to.as_ref()
    }

    /// Those through whom notifications are to come back, the first hop first.
    #[must_use]
    pub fn record_route(&self) -> &[Address] {
        &self.record_route
    }

    /// Those through whom a notification goes, the next hop first.
    #[must_use]
    pub fn route(&self) -> &[Address] {
        &self.route
    }

    /// Whether the sender wants to be told this.
    #[must_use]
    pub fn wants(&self, notification: Notification) -> bool {
        let asks = |disposition| self.requests.iter().any(|request| request.disposition == disposition);
        match notification {
            Notification::Delivery(DeliveryStatus::Delivered) => asks(Disposition::PositiveDelivery),
            Notification::Delivery(DeliveryStatus::Failed) => asks(Disposition::NegativeDelivery),
            Notification::Delivery(DeliveryStatus::Forbidden | DeliveryStatus::Error) => {
                asks(Disposition::PositiveDelivery) || asks(Disposition::NegativeDelivery)
            }
            Notification::Display(_) => asks(Disposition::Display),
            Notification::Processing(_) => asks(Disposition::Processing),
        }
    }
}

impl DispositionRequest {
    /// With a parameter.
    ///
    /// # Errors
    /// A name that is none, or CR, LF or NUL in the value.
    pub fn with_parameter(mut self, name: &str, value: &str) -> Result<Self, ImdnError> {
        let is_name = is_formal_token(name) && name.is_ascii() && !name.contains('.');
        if !is_name || value.contains(['\r', '\n', '\0']) || self.parameters.len() == ImdnHeaders::MAX_REQUESTS {
            return Err(ImdnError::Disposition);
        }
        self.parameters.push((name.into(), value.into()));
        Ok(self)
    }

    /// What is wanted.
    #[must_use]
    pub fn disposition(&self) -> &Disposition {
        &self.disposition
    }

    /// What more is said of it, without quotes and escapes.
    pub fn parameters(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.parameters.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl From<Disposition> for DispositionRequest {
    fn from(disposition: Disposition) -> Self {
        Self { disposition, parameters: Vec::new() }
    }
}

impl fmt::Display for DispositionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disposition.fmt(f)?;
        for (name, value) in &self.parameters {
            match is_formal_token(value) {
                true => write!(f, ";{name}={value}")?,
                false => write!(f, ";{name}={}", write_quoted(value))?,
            }
        }
        Ok(())
    }
}

impl Disposition {
    /// Another one than RFC 5438 has.
    ///
    /// # Errors
    /// What is no token.
    pub fn other(name: &str) -> Result<Self, ImdnError> {
        if is_formal_token(name) { Ok(Self::of(name)) } else { Err(ImdnError::Disposition) }
    }

    fn of(name: &str) -> Self {
        match name {
            "positive-delivery" => Self::PositiveDelivery,
            "negative-delivery" => Self::NegativeDelivery,
            "processing" => Self::Processing,
            "display" => Self::Display,
            _ => Self::Other(name.into()),
        }
    }
}

impl fmt::Display for Disposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PositiveDelivery => "positive-delivery",
            Self::NegativeDelivery => "negative-delivery",
            Self::Processing => "processing",
            Self::Display => "display",
            Self::Other(name) => name,
        })
    }
}

impl CpimBuilder {
    /// With the headers of RFC 5438, under the prefix `imdn`.
    ///
    /// # Errors
    /// A disposition of one's own that is no token.
    pub fn with_imdn(self, headers: &ImdnHeaders) -> Result<Self, CpimError> {
        let mut new = self.with_namespace("imdn", IMDN_NAMESPACE)?;
        if let Some(id) = &headers.message_id {
            new = new.with_raw_header("imdn.Message-ID", id)?;
        }
        for request in &headers.requests {
            match &request.disposition {
                Disposition::Other(name) if !is_formal_token(name) => {
                    return Err(CpimError::new(CpimErrorKind::Head(HeadErrorKind::Name), 0));
                }
                _ => {}
            }
        }
        if !headers.requests.is_empty() {
            let requests: Vec<_> = headers.requests.iter().map(ToString::to_string).collect();
            new = new.with_raw_header("imdn.Disposition-Notification", &requests.join(", "))?.needing_date_time();
        }
        if let Some(address) = &headers.original_to {
            new = new.with_raw_header("imdn.Original-To", &address.to_string())?;
        }
        for address in &headers.record_route {
            new = new.with_raw_header("imdn.IMDN-Record-Route", &address.to_string())?;
        }
        for address in &headers.route {
            new = new.with_raw_header("imdn.IMDN-Route", &address.to_string())?;
        }
        Ok(new)
    }
}

/// Whether an id may be written: `Token` of RFC 3862, of a limited length.
pub(super) fn check_message_id(id: &str) -> Result<(), ImdnError> {
    match is_formal_token(id) && id.len() <= Imdn::MAX_MESSAGE_ID && !id.contains(['\u{fffe}', '\u{ffff}']) {
        true => Ok(()),
        false => Err(ImdnError::MessageId),
    }
}
