//! SASL frames (AMQP 1.0 part 5, 5.3.3).

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;

use super::composite::descriptor;
use super::{Decode, DecodeError, DecodeErrorKind, Encode, Multiple, Reader, Symbol, code};

composite! {
    /// The mechanisms that a server offers (5.3.3.1).
    pub struct SaslMechanisms = "sasl-mechanisms", "amqp:sasl-mechanisms:list", 0x40;
    /// Their names.
    sasl_server_mechanisms: Multiple<Symbol> => "sasl-server-mechanisms" mandatory_multiple;
}
composite! {
    /// The mechanism that a client chose (5.3.3.2).
    pub secret struct SaslInit = "sasl-init", "amqp:sasl-init:list", 0x41;
    /// Its name.
    mechanism: Symbol => "mechanism" mandatory;
    /// What the client says first.
    initial_response: Option<Bytes> => "initial-response" optional;
    /// The host that the client means to reach.
    hostname: Option<ByteString> => "hostname" optional;
}
composite! {
    /// A challenge of the server (5.3.3.3).
    pub struct SaslChallenge = "sasl-challenge", "amqp:sasl-challenge:list", 0x42;
    /// Its content.
    challenge: Bytes => "challenge" mandatory;
}
composite! {
    /// The client's response (5.3.3.4).
    pub secret struct SaslResponse = "sasl-response", "amqp:sasl-response:list", 0x43;
    /// Its content.
    response: Bytes => "response" mandatory;
}
composite! {
    /// How the exchange ended (5.3.3.5).
    pub struct SaslOutcome = "sasl-outcome", "amqp:sasl-outcome:list", 0x44;
    /// Whether the client is who it says.
    code: SaslCode => "code" mandatory;
    /// What the server says last.
    additional_data: Option<Bytes> => "additional-data" optional;
}

open_enum! {
    /// How a SASL exchange ended (5.3.3.6).
    pub numeric SaslCode(u8) = "sasl-code", "ubyte" {
        /// Authenticated.
        OK = "ok", 0;
        /// The credentials were wrong.
        AUTH = "auth", 1;
        /// The system failed.
        SYS = "sys", 2;
        /// The system failed and will fail again.
        SYS_PERM = "sys-perm", 3;
        /// The system failed; a later attempt may succeed.
        SYS_TEMP = "sys-temp", 4;
    }
}

impl Default for SaslCode {
    fn default() -> Self {
        Self::OK
    }
}

/// The body of a SASL frame.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each is the frame of its name")]
pub enum SaslFrame {
    Mechanisms(SaslMechanisms),
    Init(SaslInit),
    Challenge(SaslChallenge),
    Response(SaslResponse),
    Outcome(SaslOutcome),
}

impl Encode for SaslFrame {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Mechanisms(inner) => inner.encode(out),
            Self::Init(inner) => inner.encode(out),
            Self::Challenge(inner) => inner.encode(out),
            Self::Response(inner) => inner.encode(out),
            Self::Outcome(inner) => inner.encode(out),
        }
    }

    fn encoded_len(&self) -> usize {
        match self {
            Self::Mechanisms(inner) => inner.encoded_len(),
            Self::Init(inner) => inner.encoded_len(),
            Self::Challenge(inner) => inner.encoded_len(),
            Self::Response(inner) => inner.encoded_len(),
            Self::Outcome(inner) => inner.encoded_len(),
        }
    }
}

fn sasl_code(symbol: &str) -> Option<u64> {
    super::schema::COMPOSITES
        .iter()
        .find(|schema| schema.descriptor == symbol && (0x40..=0x44).contains(&schema.code))
        .map(|schema| schema.code)
}

impl Decode for SaslFrame {
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if code != code::DESCRIBED {
            return Err(reader.error("sasl-frame", DecodeErrorKind::Constructor(code)));
        }
        Ok(match descriptor("sasl-frame", sasl_code, reader)? {
            0x40 => Self::Mechanisms(SaslMechanisms::decode_fields(reader)?),
            0x41 => Self::Init(SaslInit::decode_fields(reader)?),
            0x42 => Self::Challenge(SaslChallenge::decode_fields(reader)?),
            0x43 => Self::Response(SaslResponse::decode_fields(reader)?),
            0x44 => Self::Outcome(SaslOutcome::decode_fields(reader)?),
            _ => return Err(reader.error("sasl-frame", DecodeErrorKind::Descriptor)),
        })
    }
}

/// Stands in a trace where a secret would.
struct Redacted;

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Debug for SaslInit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaslInit")
            .field("mechanism", &self.mechanism)
            .field("initial_response", &self.initial_response.as_ref().map(|_| Redacted))
            .field("hostname", &self.hostname)
            .finish()
    }
}

impl fmt::Debug for SaslResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaslResponse").field("response", &Redacted).finish()
    }
}

impl fmt::Display for SaslFrame {
    /// As Proton prints it, with secrets left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::print::encoded(self, f)
    }
}
