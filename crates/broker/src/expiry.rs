//! When a message expires, by what its sender wrote (AMQP 1.0 part 3, 3.2.1 and 3.2.4).

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use postroad_codec::v1_0::{MessageFormat, Sections};

/// When a message that has just come expires: `ttl` after its arrival or at `absolute-expiry-time`, whichever is
/// sooner. `None` is never; so is what cannot be read, since its receiver is who finds out.
pub(crate) fn expiry(payload: &Bytes, format: MessageFormat, now: Instant) -> Option<Instant> {
    if format != MessageFormat(0) || !may_expire(payload) {
        return None;
    }
    let sections = Sections::find(payload.clone()).ok()?;
    let mut expiry = None;
    if reaches(payload, 0x70, 3) {
        let ttl = sections.header().ok()?.and_then(|header| header.ttl);
        expiry = ttl.and_then(|ttl| now.checked_add(Duration::from_millis(ttl.0.into())));
    }
    if reaches(&sections.bare(), 0x73, 9) {
        let time = sections.properties_ref().ok()?.and_then(|properties| properties.absolute_expiry_time);
        let left = time.map(|time| {
            let epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            // Before the epoch is over as well.
            Duration::from_millis(u64::try_from(time.0).unwrap_or(0)).saturating_sub(epoch)
        });
        let at = left.and_then(|left| now.checked_add(left));
        expiry = [expiry, at].into_iter().flatten().min();
    }
    expiry
}

/// Whether a message may have a time to expire at. Most have none, and that is seen without a full look at them.
fn may_expire(mut rest: &[u8]) -> bool {
    loop {
        let (code, size) = match rest {
            [0, 0x53, code @ 0x70..=0x73, 0x45, ..] => (*code, 4),
            [0, 0x53, code @ 0x70..=0x73, 0xc0 | 0xc1, size, ..] => (*code, 5 + usize::from(*size)),
            [0, 0x53, code @ 0x70..=0x73, 0xd0 | 0xd1, a, b, c, d, ..] => {
                (*code, (u32::from_be_bytes([*a, *b, *c, *d]) as usize).saturating_add(8))
            }
            // What comes behind the properties.
            [0, 0x53, 0x74..=0x78, ..] | [] => return false,
            // Something unusual: it is read in full.
            _ => return true,
        };
        if code == 0x70 && reaches(rest, code, 3) || code == 0x73 && reaches(rest, code, 9) {
            return true;
        }
        match rest.get(size..) {
            Some(next) => rest = next,
            None => return false,
        }
    }
}

/// Whether a section has so many fields that it is worth reading: those behind the last one that has a value are left
/// out. One that is written in an unusual way counts as having them.
fn reaches(section: &[u8], code: u8, fields: u32) -> bool {
    match section {
        [0, 0x53, found, ..] if *found != code => false,
        [0, 0x53, _, 0x45, ..] => false,
        [0, 0x53, _, 0xc0, _, count, ..] => u32::from(*count) >= fields,
        [0, 0x53, _, 0xd0, _, _, _, _, a, b, c, d, ..] => u32::from_be_bytes([*a, *b, *c, *d]) >= fields,
        other => !other.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use postroad_codec::v1_0::{
        Annotations, DeliveryAnnotations, Header, Message, MessageAnnotations, Milliseconds, Properties, Timestamp,
        Value,
    };

    use super::*;

    fn check(ttl: Option<u32>, absolute: Option<i64>, text: Option<&str>) -> Option<Duration> {
        let mut message = Message::from("x");
        message.header = ttl.map(|ttl| Header { ttl: Some(Milliseconds(ttl)), ..Header::default() });
        let properties = Properties {
            absolute_expiry_time: absolute.map(Timestamp),
            subject: text.map(Into::into),
            ..Properties::default()
        };
        message.properties = (absolute.is_some() || text.is_some()).then(|| Box::new(properties));
        let now = Instant::now();
        expiry(&message.to_bytes(), MessageFormat(0), now).map(|at| at - now)
    }

    #[test]
    fn the_sooner_of_both_counts() {
        let hour = |hours: i64| {
            let epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
            epoch.as_millis() as i64 + hours * 3_600_000
        };
        assert_eq!(check(None, None, None), None);
        assert_eq!(check(None, None, Some("subject")), None);
        assert_eq!(check(Some(1500), None, Some("subject")), Some(Duration::from_millis(1500)));
        assert_eq!(check(Some(0), None, None), Some(Duration::ZERO));
        assert_eq!(check(Some(1000), Some(hour(1)), None), Some(Duration::from_secs(1)));
        assert_eq!(check(Some(1000), Some(hour(-1)), None), Some(Duration::ZERO));
        assert_eq!(check(None, Some(-5), None), Some(Duration::ZERO));
        let left = check(Some(u32::MAX), Some(hour(1)), None).unwrap();
        assert!(left > Duration::from_secs(3500) && left <= Duration::from_secs(3600), "{left:?}");
        check(None, Some(i64::MAX), None);
    }

    #[test]
    fn the_properties_are_found_behind_other_sections() {
        let annotations = || {
            let mut annotations = Annotations::default();
            annotations.0.insert(Value::Symbol("x-opt-large".into()), Value::Binary(vec![0; 300].into()));
            annotations
        };
        let properties = Properties { absolute_expiry_time: Some(Timestamp(1)), ..Properties::default() };
        let message = Message {
            header: Some(Header::default()),
            delivery_annotations: Some(DeliveryAnnotations(annotations())),
            message_annotations: Some(MessageAnnotations(annotations())),
            properties: Some(Box::new(properties)),
            ..Message::from("x")
        };
        let now = Instant::now();
        assert_eq!(expiry(&message.to_bytes(), MessageFormat(0), now), Some(now));
    }

    #[test]
    fn unusual_forms_are_read_all_the_same() {
        let now = Instant::now();
        let expires = |bytes: &'static [u8]| expiry(&Bytes::from_static(bytes), MessageFormat(0), now);
        let at = Some(now + Duration::from_millis(5));
        // A list32, and a descriptor as a ulong of eight bytes.
        assert_eq!(expires(b"\0\x53\x70\xd0\0\0\0\x08\0\0\0\x03\x40\x40\x52\x05\0\x53\x77\x40"), at);
        assert_eq!(expires(b"\0\x80\0\0\0\0\0\0\0\x70\xc0\x05\x03\x40\x40\x52\x05\0\x53\x77\x40"), at);
        for none in [&b"\0\x53\x70\x45\0\x53\x77\x40"[..], b"", b"\0", b"garbage", b"\0\x53\x70\xc0\xff\x03"] {
            assert_eq!(expires(none), None, "{none:?}");
        }
        assert_eq!(expiry(&Bytes::from_static(b"\0\x53\x70\xc0\x05\x03\x40\x40\x52\x05"), MessageFormat(1), now), None);
    }
}
