//! The four messages of SCRAM (RFC 5802 5.1 and 7).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::scram::{MAX_SALT, parse_iterations};
use super::{SaslError, ScramHash};

/// `client-first-message`: who asks, and the client's half of the nonce.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientFirst {
    /// The GS2 header, which the client repeats inside `c=`.
    pub(super) header: String,
    pub(super) authorization: Option<String>,
    /// The message without its header, the first part of what is signed.
    pub(super) bare: String,
    pub(super) user: String,
    pub(super) nonce: String,
}

impl ClientFirst {
    pub(super) fn new(user: &str, authorization: Option<&str>, nonce: &str) -> Self {
        let header = match authorization {
            Some(authorization) => format!("n,a={},", escape(authorization)),
            None => "n,,".to_owned(),
        };
        Self {
            header,
            authorization: authorization.map(str::to_owned),
            bare: format!("n={},r={nonce}", escape(user)),
            user: user.to_owned(),
            nonce: nonce.to_owned(),
        }
    }

    pub(super) fn parse(message: &[u8]) -> Result<Self, SaslError> {
        const FLAG: SaslError = SaslError::Malformed("SCRAM client-first: channel binding flag");
        let text = utf8(message)?;
        let mut attributes = Attributes { rest: Some(text), what: "SCRAM client-first" };
        match attributes.next_text()? {
            // "y": the client could bind the channel and believes that we cannot, which is so.
            "n" | "y" => {}
            flag if flag.starts_with("p=") => {
                return Err(SaslError::Malformed("SCRAM client-first: channel binding was not offered"));
            }
            _ => return Err(FLAG),
        }
        let authorization = match attributes.next_text()? {
            "" => None,
            other => Some(unescape(other.strip_prefix("a=").ok_or(FLAG)?)?),
        };
        let bare = attributes.rest.ok_or(SaslError::Malformed("SCRAM client-first: ends after its header"))?;
        let header = text[..text.len() - bare.len()].to_owned();
        let user = unescape(attributes.next_value('n')?)?;
        let nonce = check_nonce(attributes.next_value('r')?)?.to_owned();
        attributes.skip_extensions()?;
        Ok(Self { header, authorization, bare: bare.to_owned(), user, nonce })
    }

    pub(super) fn encode(&self) -> String {
        format!("{}{}", self.header, self.bare)
    }
}

/// `server-first-message`: both halves of the nonce and how the password was hashed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ServerFirst {
    pub(super) nonce: String,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
}

impl ServerFirst {
    /// Checks all that a client can check before it spends time on the password.
    pub(super) fn parse(text: &str, hash: ScramHash, client_nonce: &str) -> Result<Self, SaslError> {
        let mut attributes = Attributes { rest: Some(text), what: "SCRAM server-first" };
        let nonce = check_nonce(attributes.next_value('r')?)?.to_owned();
        let salt = decode(attributes.next_value('s')?)?;
        let iterations = parse_iterations(attributes.next_value('i')?)
            .ok_or(SaslError::Malformed("SCRAM server-first: iteration count"))?;
        attributes.skip_extensions()?;
        if !nonce.starts_with(client_nonce) || nonce.len() == client_nonce.len() {
            return Err(SaslError::NonceMismatch);
        }
        if salt.is_empty() || salt.len() > MAX_SALT {
            return Err(SaslError::Malformed("SCRAM server-first: salt is empty or too long"));
        }
        hash.check_iterations(iterations)?;
        Ok(Self { nonce, salt, iterations })
    }

    pub(super) fn encode(&self) -> String {
        format!("r={},s={},i={}", self.nonce, STANDARD.encode(&self.salt), self.iterations)
    }
}

/// `client-final-message`: the header again, the nonce again, and the proof.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientFinal {
    pub(super) header: Vec<u8>,
    pub(super) nonce: String,
    /// The message up to its proof, the last part of what is signed.
    pub(super) without_proof: String,
    pub(super) proof: Vec<u8>,
}

impl ClientFinal {
    pub(super) fn without_proof(header: &str, nonce: &str) -> String {
        format!("c={},r={nonce}", STANDARD.encode(header))
    }

    pub(super) fn parse(message: &[u8]) -> Result<Self, SaslError> {
        let text = utf8(message)?;
        // The proof is the last attribute, and base64 has no comma.
        let (without_proof, proof) =
            text.rsplit_once(",p=").ok_or(SaslError::Malformed("SCRAM client-final: no proof"))?;
        let mut attributes = Attributes { rest: Some(without_proof), what: "SCRAM client-final" };
        let header = decode(attributes.next_value('c')?)?;
        let nonce = check_nonce(attributes.next_value('r')?)?.to_owned();
        attributes.skip_extensions()?;
        Ok(Self { header, nonce, without_proof: without_proof.to_owned(), proof: decode(proof)? })
    }
}

/// `server-final-message`: the server's signature, or its error.
///
/// # Errors
/// `AuthenticationFailed` when the server sends an error.
pub(super) fn parse_server_final(message: &[u8]) -> Result<Vec<u8>, SaslError> {
    let text = utf8(message)?;
    let mut attributes = Attributes { rest: Some(text), what: "SCRAM server-final" };
    if text.starts_with("e=") {
        return Err(SaslError::AuthenticationFailed);
    }
    let signature = decode(attributes.next_value('v')?)?;
    attributes.skip_extensions()?;
    Ok(signature)
}

pub(super) fn server_final(signature: &[u8]) -> String {
    format!("v={}", STANDARD.encode(signature))
}

pub(super) fn utf8(message: &[u8]) -> Result<&str, SaslError> {
    str::from_utf8(message).map_err(|_| SaslError::Malformed("SCRAM: not UTF-8"))
}

/// The attributes of a message, in the order that the grammar gives them.
struct Attributes<'a> {
    rest: Option<&'a str>,
    what: &'static str,
}

impl<'a> Attributes<'a> {
    fn next_text(&mut self) -> Result<&'a str, SaslError> {
        let rest = self.rest.ok_or(SaslError::Malformed(self.what))?;
        let (text, rest) = match rest.split_once(',') {
            Some((text, rest)) => (text, Some(rest)),
            None => (rest, None),
        };
        if text.starts_with("m=") {
            // A mandatory extension, of which we know none, ends the exchange wherever it stands (RFC 5802 5.1).
            return Err(SaslError::Malformed("SCRAM: mandatory extension"));
        }
        self.rest = rest;
        Ok(text)
    }

    fn next_value(&mut self, name: char) -> Result<&'a str, SaslError> {
        let text = self.next_text()?;
        text.strip_prefix(name).and_then(|text| text.strip_prefix('=')).ok_or(SaslError::Malformed(self.what))
    }

    /// Optional extensions are ignored, but have to be attributes.
    fn skip_extensions(mut self) -> Result<(), SaslError> {
        while self.rest.is_some() {
            let text = self.next_text()?.as_bytes();
            if !matches!(text, [name, b'=', _, ..] if name.is_ascii_alphabetic()) || text.contains(&0) {
                return Err(SaslError::Malformed(self.what));
            }
        }
        Ok(())
    }
}

fn check_nonce(text: &str) -> Result<&str, SaslError> {
    let printable = text.bytes().all(|byte| matches!(byte, 0x21..=0x2b | 0x2d..=0x7e));
    if printable && !text.is_empty() { Ok(text) } else { Err(SaslError::Malformed("SCRAM: nonce")) }
}

fn decode(text: &str) -> Result<Vec<u8>, SaslError> {
    STANDARD.decode(text).map_err(|_| SaslError::Malformed("SCRAM: base64"))
}

/// A name as a `saslname`: commas and equal signs escaped.
pub(super) fn escape(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

pub(super) fn unescape(text: &str) -> Result<String, SaslError> {
    const NAME: SaslError = SaslError::Malformed("SCRAM: name");
    let mut parts = text.split('=');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (character, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            (None, None) => return Err(NAME),
        };
        name.push(character);
        name.push_str(rest);
    }
    if name.is_empty() || name.contains('\0') { Err(NAME) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T>(result: &Result<T, SaslError>) -> bool {
        matches!(result, Err(SaslError::Malformed(_)))
    }

    #[test]
    fn names_are_escaped_and_back() {
        for (name, escaped) in [("a", "a"), (",", "=2C"), ("=", "=3D"), ("=2C", "=3D2C"), ("a=b,c", "a=3Db=2Cc")] {
            assert_eq!(escape(name), escaped);
            assert_eq!(unescape(escaped), Ok(name.to_owned()));
        }
        for bad in ["", "=", "a=", "=2", "=2c", "=3d", "=41", "a\0"] {
            assert!(refused(&unescape(bad)), "{bad:?}");
        }
    }

    #[test]
    fn client_first_survives_the_wire() {
        for (user, authorization) in [("alice", None), ("a,b=c", Some("=,")), ("ü", Some("admin"))] {
            let first = ClientFirst::new(user, authorization, "nonce");
            assert_eq!(ClientFirst::parse(first.encode().as_bytes()), Ok(first));
        }
        let first = ClientFirst::parse(b"y,,n=a,r=x,z=later").unwrap();
        assert_eq!((first.header.as_str(), first.bare.as_str()), ("y,,", "n=a,r=x,z=later"));
    }

    #[test]
    fn client_first_outside_the_grammar_is_refused() {
        for bad in [
            "",
            "n",
            "n,",
            "n,,",
            "n,,n=a",
            "n,,n=a,",
            "n,,n=a,r=",
            "n,,r=x,n=a",
            "n,,m=q,n=a,r=x",
            "p=tls-unique,,n=a,r=x",
            "x,,n=a,r=x",
            "n,b=c,n=a,r=x",
            "n,a=,n=a,r=x",
            "n,,n=,r=x",
            "n,,n=a=4,r=x",
            "n,,n=a,r=x y",
            "n,,n=a,r=x,",
            "n,,n=a,r=x,zz",
            "n,,n=a,r=x,1=z",
            "n,,n=a,r=x,z=",
            "n,,n=a,r=x,m=1",
        ] {
            assert!(refused(&ClientFirst::parse(bad.as_bytes())), "{bad}");
        }
        assert!(refused(&ClientFirst::parse(b"n,,n=\xff,r=x")));
    }

    #[test]
    fn server_first_outside_the_grammar_is_refused() {
        let parse = |text: &str| ServerFirst::parse(text, ScramHash::Sha256, "abc");
        let first = parse("r=abcd,s=QUJD,i=4096,z=later").unwrap();
        assert_eq!(first, ServerFirst { nonce: "abcd".into(), salt: b"ABC".to_vec(), iterations: 4096 });
        assert_eq!(first.encode(), "r=abcd,s=QUJD,i=4096");
        for bad in [
            "",
            "r=",
            "r=abcd",
            "r=abcd,s=QUJD",
            "r=abcd,s=QUJD,i=",
            "r=abcd,s=QUJD,i=04096",
            "r=abcd,s=QUJD,i=-1",
            "r=abcd,s=QUJD,i=99999999999",
            "r=abcd,s=,i=4096",
            "r=abcd,s=Q,i=4096",
            "m=q,r=abcd,s=QUJD,i=4096",
            "s=QUJD,r=abcd,i=4096",
            "r=abcd,s=QUJD,i=4096,",
            "r=abcd,s=QUJD,i=4096 ",
            "r=abcd,s=QUJD,i=4096,m=1",
        ] {
            assert!(refused(&parse(bad)), "{bad}");
        }
        for nonce in ["abc", "ab", "abd", "xabcd"] {
            assert_eq!(parse(&format!("r={nonce},s=QUJD,i=4096")), Err(SaslError::NonceMismatch));
        }
        assert_eq!(parse("r=abcd,s=QUJD,i=4095"), Err(SaslError::IterationCount { count: 4095, min: 4096 }));
        assert_eq!(parse("r=abcd,s=QUJD,i=1000001"), Err(SaslError::IterationCount { count: 1_000_001, min: 4096 }));
        let salt = STANDARD.encode(vec![0; MAX_SALT + 1]);
        assert!(refused(&parse(&format!("r=abcd,s={salt},i=4096"))));
    }

    #[test]
    fn client_final_outside_the_grammar_is_refused() {
        let message = ClientFinal::parse(b"c=biws,r=abcd,z=later,p=QUJD").unwrap();
        assert_eq!((&message.header[..], &message.proof[..]), (&b"n,,"[..], &b"ABC"[..]));
        assert_eq!(message.without_proof, "c=biws,r=abcd,z=later");
        for bad in [
            "",
            "p=QUJD",
            ",p=QUJD",
            "c=biws,p=QUJD",
            "c=biws,r=abcd",
            "c=biws,r=,p=QUJD",
            "r=abcd,c=biws,p=QUJD",
            "c=biws,r=abcd,p=QUJ",
            "c=!,r=abcd,p=QUJD",
            "c=biws,r=abcd,p=QUJD,z=a",
            "c=biws,m=a,r=abcd,p=QUJD",
        ] {
            assert!(refused(&ClientFinal::parse(bad.as_bytes())), "{bad}");
        }
    }

    #[test]
    fn server_final_is_a_signature_or_an_error() {
        assert_eq!(parse_server_final(b"v=QUJD"), Ok(b"ABC".to_vec()));
        assert_eq!(parse_server_final(b"e=invalid-proof"), Err(SaslError::AuthenticationFailed));
        for bad in [&b""[..], b"v", b"v=?", b"x=QUJD", b"v=QUJD,", b"v=\xff"] {
            assert!(refused(&parse_server_final(bad)), "{bad:?}");
        }
    }
}
