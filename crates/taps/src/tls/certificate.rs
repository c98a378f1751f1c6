//! The fields of a certificate that this crate reads itself: the subject's common name and its public key (RFC 5280 4.1).
//!
//! A walk over DER, bounded by the certificate's own bytes; anything unexpected ends it with `None`. Validity is
//! not judged here: the TLS library has done that.

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const TELETEX_STRING: u8 = 0x14;
const IA5_STRING: u8 = 0x16;
const BMP_STRING: u8 = 0x1e;
/// The version of a certificate, `[0] EXPLICIT`, absent in version 1.
const VERSION: u8 = 0xa0;
/// id-at-commonName, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// Returns the last, most specific common name in the subject of a certificate.
pub(super) fn subject_common_name(certificate: &[u8]) -> Option<String> {
    let mut subject = Der(from_subject(certificate)?.expect(SEQUENCE)?);
    let mut found = None;
    while !subject.0.is_empty() {
        let mut attributes = Der(subject.expect(SET)?);
        while !attributes.0.is_empty() {
            let mut attribute = Der(attributes.expect(SEQUENCE)?);
            let kind = attribute.expect(OBJECT_IDENTIFIER)?;
            let (tag, value) = attribute.next()?;
            if kind == COMMON_NAME {
                found = text(tag, value);
            }
        }
    }
    found
}

/// Returns the subject's public key, a SubjectPublicKeyInfo with its own tag and length.
pub(super) fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    let mut fields = from_subject(certificate)?;
    fields.expect(SEQUENCE)?;
    let begin = fields.0;
    fields.expect(SEQUENCE)?;
    Some(&begin[..begin.len() - fields.0.len()])
}

/// The fields of a certificate from its subject on.
fn from_subject(certificate: &[u8]) -> Option<Der<'_>> {
    let mut outer = Der(certificate);
    let mut certificate = Der(outer.expect(SEQUENCE)?);
    let mut fields = Der(certificate.expect(SEQUENCE)?);
    if fields.0.first() == Some(&VERSION) {
        fields.next()?;
    }
    // Serial number, signature algorithm, issuer and validity stand before the subject.
    for _ in 0..4 {
        fields.next()?;
    }
    Some(fields)
}

fn text(tag: u8, value: &[u8]) -> Option<String> {
    match tag {
        UTF8_STRING | PRINTABLE_STRING | IA5_STRING => std::str::from_utf8(value).ok().map(str::to_owned),
        TELETEX_STRING => Some(value.iter().map(|&byte| char::from(byte)).collect()),
        BMP_STRING => {
            let units = value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).collect::<Result<_, _>>().ok()
        }
        _ => None,
    }
}

/// What is left of a DER value.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// Takes the next element: its tag and its contents.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            // Four octets of length are more than any certificate needs; 0x80, the indefinite form, is not DER.
            let octets = usize::from(first & 0x7f);
            if octets == 0 || octets > 4 || rest.len() < octets {
                return None;
            }
            let (digits, rest) = rest.split_at(octets);
            let length = digits.iter().fold(0u64, |sum, &digit| sum << 8 | u64::from(digit));
            (usize::try_from(length).ok()?, rest)
        };
        if rest.len() < length {
            return None;
        }
        let (contents, rest) = rest.split_at(length);
        self.0 = rest;
        Some((tag, contents))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().and_then(|(found, contents)| (found == tag).then_some(contents))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

    use super::{public_key, subject_common_name};

    fn certificate(name: DnValue) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Post");
        params.distinguished_name.push(DnType::CommonName, name);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_common_name_is_read_in_each_string_type() {
        let printable = DnValue::PrintableString("rider 7".try_into().unwrap());
        assert_eq!(subject_common_name(&certificate(printable)).as_deref(), Some("rider 7"));
        assert_eq!(subject_common_name(&certificate("Bürger".into())).as_deref(), Some("Bürger"));
        let wide = DnValue::BmpString("Ω".try_into().unwrap());
        assert_eq!(subject_common_name(&certificate(wide)).as_deref(), Some("Ω"));
    }

    #[test]
    fn the_public_key_is_the_one_that_was_certified() {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
        assert_eq!(public_key(certificate.der()), Some(spki.as_slice()));
    }

    #[test]
    fn no_prefix_and_no_flipped_byte_panics() {
        let good = certificate("rider".into());
        for end in 0..good.len() {
            assert_eq!((subject_common_name(&good[..end]), public_key(&good[..end])), (None, None));
        }
        for index in 0..good.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[index] ^= flip;
                let _ = (subject_common_name(&bad), public_key(&bad));
            }
        }
    }
}
