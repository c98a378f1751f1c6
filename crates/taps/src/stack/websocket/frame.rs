//! Frames (RFC 6455 5): bytes in, messages out, without input or output.

use bytes::{Buf, Bytes, BytesMut};

use super::error::WebSocketError;

/// How long a message may be, in bytes, whether it comes in one frame or in many.
pub(super) const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// How long the payload of a control frame may be (RFC 6455 5.5).
const MAX_CONTROL: usize = 125;

/// How much room is made for a read.
const READ: usize = 16 * 1024;

/// How much room is made at most when a frame is long: its length alone must not decide how much memory is taken.
const READ_AHEAD: usize = 256 * 1024;

pub(super) const CONTINUATION: u8 = 0x0;
pub(super) const TEXT: u8 = 0x1;
pub(super) const BINARY: u8 = 0x2;
pub(super) const CLOSE: u8 = 0x8;
pub(super) const PING: u8 = 0x9;
pub(super) const PONG: u8 = 0xa;

/// The codes that end a connection (RFC 6455 7.4.1).
pub(super) const NORMAL: u16 = 1000;
pub(super) const GOING_AWAY: u16 = 1001;
pub(super) const PROTOCOL_ERROR: u16 = 1002;
const NO_STATUS: u16 = 1005;
const INVALID_TEXT: u16 = 1007;
const TOO_BIG: u16 = 1009;

/// Which end of the connection this is: a client masks what it sends, a server does not (RFC 6455 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// What has come from the peer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    Message { data: Bytes, text: bool },
    Ping(Bytes),
    Pong,
    Close { code: u16, reason: String },
}

/// Makes frames and messages of the bytes that come.
#[derive(Debug)]
pub(super) struct Inbound {
    side: Side,
    limit: usize,
    buffer: BytesMut,
    /// The frame that is being read.
    head: Option<FrameHead>,
    /// The message whose frames are being gathered.
    message: Option<Gathered>,
}

#[derive(Debug)]
struct Gathered {
    text: bool,
    data: BytesMut,
}

#[derive(Debug, Clone, Copy)]
struct FrameHead {
    last: bool,
    opcode: u8,
    length: usize,
    key: Option<[u8; 4]>,
}

fn violation(reason: &'static str) -> WebSocketError {
    WebSocketError::Violation { code: PROTOCOL_ERROR, reason }
}

/// The code that tells the peer what it has done.
pub(super) fn code_of(error: &WebSocketError) -> u16 {
    match error {
        WebSocketError::Violation { code, .. } => *code,
        WebSocketError::MessageTooLong { .. } => TOO_BIG,
        _ => PROTOCOL_ERROR,
    }
}

impl Inbound {
    /// Reads frames; `rest` is what came behind the handshake.
    pub(super) fn new(side: Side, rest: BytesMut) -> Self {
        Self { side, limit: MAX_MESSAGE, buffer: rest, head: None, message: None }
    }

    /// Where to put what is read next; has room.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        let lacking = self.head.map_or(0, |head| head.length.saturating_sub(self.buffer.len()));
        if self.buffer.capacity() - self.buffer.len() < READ / 4 {
            self.buffer.reserve(lacking.clamp(READ, READ_AHEAD));
        }
        &mut self.buffer
    }

    /// Whether something was begun that is not complete.
    #[cfg(test)]
    fn is_in_the_middle(&self) -> bool {
        !self.buffer.is_empty() || self.head.is_some() || self.message.is_some()
    }

    /// The next thing that is complete; `None` when more must be read first.
    ///
    /// # Errors
    /// The peer breaks the protocol; nothing more can be read.
    pub(super) fn next(&mut self) -> Result<Option<Incoming>, WebSocketError> {
        loop {
            let head = match self.head {
                Some(head) => head,
                None => match self.read_head()? {
                    Some(head) => *self.head.insert(head),
                    None => return Ok(None),
                },
            };
            if self.buffer.len() < head.length {
                return Ok(None);
            }
            self.head = None;
            let mut payload = self.buffer.split_to(head.length);
            if let Some(key) = head.key {
                mask(&mut payload, key);
            }
            if let Some(incoming) = self.take(head, payload)? {
                return Ok(Some(incoming));
            }
        }
    }

    /// Reads the head of a frame and judges it: a frame that would be too long is refused before it comes.
    fn read_head(&mut self) -> Result<Option<FrameHead>, WebSocketError> {
        let [first, second, rest @ ..] = &self.buffer[..] else { return Ok(None) };
        let (first, second) = (*first, *second);
        if first & 0x70 != 0 {
            return Err(violation("a reserved bit is set, and no extension was agreed on"));
        }
        let (last, opcode) = (first & 0x80 != 0, first & 0x0f);
        if !matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) {
            return Err(violation("an opcode that does not exist"));
        }
        let masked = second & 0x80 != 0;
        if masked != (self.side == Side::Server) {
            return Err(violation(if masked { "a server must not mask" } else { "a client must mask" }));
        }
        let short = u64::from(second & 0x7f);
        let (length, size) = match short {
            126 => (rest.first_chunk().map(|bytes| u64::from(u16::from_be_bytes(*bytes))), 2),
            127 => (rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)), 8),
            _ => (Some(short), 0),
        };
        let control = opcode & 0x8 != 0;
        // A control frame shows that it is too long before its length has come.
        if control && (short > MAX_CONTROL as u64 || !last) {
            return Err(violation("a control frame is too long or in parts"));
        }
        let Some(length) = length else { return Ok(None) };
        if (size == 2 && length < 126) || (size == 8 && (length <= 0xffff || length >> 63 != 0)) {
            return Err(violation("a length is not in its shortest form"));
        }
        let gathered = if control { 0 } else { self.message.as_ref().map_or(0, |message| message.data.len()) };
        let room = self.limit - gathered;
        let length = usize::try_from(length).ok().filter(|length| *length <= room);
        let length = length.ok_or(WebSocketError::MessageTooLong { limit: self.limit })?;
        match (opcode, &self.message) {
            (CONTINUATION, None) => return Err(violation("a message goes on that has not begun")),
            (TEXT | BINARY, Some(_)) => return Err(violation("a message begins inside of another")),
            _ => {}
        }
        let key = if masked {
            let Some(key) = rest.get(size..).and_then(|rest| rest.first_chunk()) else { return Ok(None) };
            Some(*key)
        } else {
            None
        };
        self.buffer.advance(2 + size + if masked { 4 } else { 0 });
        Ok(Some(FrameHead { last, opcode, length, key }))
    }

    fn take(&mut self, head: FrameHead, payload: BytesMut) -> Result<Option<Incoming>, WebSocketError> {
        match head.opcode {
            PING => Ok(Some(Incoming::Ping(payload.freeze()))),
            PONG => Ok(Some(Incoming::Pong)),
            CLOSE => close(&payload).map(Some),
            _ => {
                let message = match self.message.take() {
                    // The payload of a message in one frame is a slice of what was read.
                    None => Gathered { text: head.opcode == TEXT, data: payload },
                    Some(mut message) => {
                        message.data.extend_from_slice(&payload);
                        message
                    }
                };
                if !head.last {
                    self.message = Some(message);
                    return Ok(None);
                }
                if message.text && std::str::from_utf8(&message.data).is_err() {
                    return Err(WebSocketError::Violation { code: INVALID_TEXT, reason: "text that is not UTF-8" });
                }
                Ok(Some(Incoming::Message { data: message.data.freeze(), text: message.text }))
            }
        }
    }
}

/// Reads the payload of a closing frame (RFC 6455 5.5.1).
fn close(payload: &[u8]) -> Result<Incoming, WebSocketError> {
    let [high, low, reason @ ..] = payload else {
        return match payload {
            [] => Ok(Incoming::Close { code: NO_STATUS, reason: String::new() }),
            _ => Err(violation("half a code to close with")),
        };
    };
    let code = u16::from_be_bytes([*high, *low]);
    // Some codes are never sent (RFC 6455 7.4.1), and those from 1015 to 2999 are for later.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(violation("a code to close with that must not be sent"));
    }
    let reason = std::str::from_utf8(reason).map_err(|_| violation("a reason that is not UTF-8"))?;
    Ok(Incoming::Close { code, reason: reason.to_owned() })
}

/// Whether a code is an orderly end.
pub(super) fn is_orderly(code: u16) -> bool {
    matches!(code, NORMAL | GOING_AWAY | NO_STATUS)
}

/// The head of a frame that is a whole message or a control frame, and how long it is.
pub(super) fn head(opcode: u8, length: usize, key: Option<[u8; 4]>) -> ([u8; 14], usize) {
    let mut bytes = [0; 14];
    bytes[0] = 0x80 | opcode;
    let mut size = match length {
        0..=125 => {
            bytes[1] = length as u8;
            2
        }
        126..=0xffff => {
            bytes[1] = 126;
            bytes[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            4
        }
        _ => {
            bytes[1] = 127;
            bytes[2..10].copy_from_slice(&(length as u64).to_be_bytes());
            10
        }
    };
    if let Some(key) = key {
        bytes[1] |= 0x80;
        bytes[size..size + 4].copy_from_slice(&key);
        size += 4;
    }
    (bytes, size)
}

/// Masks a payload, or takes the mask off (RFC 6455 5.3).
pub(super) fn mask(payload: &mut [u8], key: [u8; 4]) {
    let word = u32::from_ne_bytes(key);
    let (words, rest) = payload.as_chunks_mut::<4>();
    for bytes in words {
        *bytes = (u32::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn frame(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
        let (mut bytes, size) = head(0, payload.len(), key);
        bytes[0] = first;
        let mut payload = payload.to_vec();
        if let Some(key) = key {
            mask(&mut payload, key);
        }
        [&bytes[..size], &payload[..]].concat()
    }

    fn reader(side: Side, bytes: &[u8]) -> Inbound {
        Inbound::new(side, BytesMut::from(bytes))
    }

    fn refused(side: Side, bytes: &[u8]) -> u16 {
        let mut inbound = reader(side, bytes);
        loop {
            match inbound.next() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("accepted: {bytes:x?}"),
                Err(error) => return code_of(&error),
            }
        }
    }

    fn message(data: &'static [u8], text: bool) -> Option<Incoming> {
        Some(Incoming::Message { data: Bytes::from_static(data), text })
    }

    #[test]
    fn the_examples_of_the_standard_read_as_they_say() {
        // RFC 6455 5.7.
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(reader(Side::Server, &masked).next(), Ok(message(b"Hello", true)));
        assert_eq!(frame(0x81, b"Hello", Some(KEY)), masked);
        let plain = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
        assert_eq!(reader(Side::Client, &plain).next(), Ok(message(b"Hello", true)));
        let parts = [0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f];
        assert_eq!(reader(Side::Client, &parts).next(), Ok(message(b"Hello", true)));
        let ping = [0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
        assert_eq!(reader(Side::Client, &ping).next(), Ok(Some(Incoming::Ping(Bytes::from_static(b"Hello")))));
        assert_eq!(head(BINARY, 256, None), ([0x82, 0x7e, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 4));
        assert_eq!(head(BINARY, 65_536, None).0[..10], [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_frame_of_any_length_survives_any_cut() {
        for length in [0, 1, 125, 126, 127, 1000, 0xffff, 0x10000] {
            let payload: Vec<u8> = (0..length).map(|index| index as u8).collect();
            let bytes = frame(0x82, &payload, Some(KEY));
            let steps = if length < 2000 { vec![1, 2, 3, 7, bytes.len()] } else { vec![1000, 4096] };
            for step in steps {
                let mut inbound = reader(Side::Server, &[]);
                let (mut found, mut last) = (None, 0);
                for part in bytes.chunks(step) {
                    assert_eq!(found, None, "before the end");
                    inbound.room().extend_from_slice(part);
                    found = inbound.next().unwrap();
                    last += part.len();
                }
                assert_eq!(last, bytes.len());
                assert_eq!(found, Some(Incoming::Message { data: payload.clone().into(), text: false }));
                assert!(!inbound.is_in_the_middle());
            }
        }
    }

    #[test]
    fn control_frames_come_between_the_parts_of_a_message() {
        let bytes = [
            frame(0x02, b"one ", None),
            frame(0x89, b"?", None),
            frame(0x00, b"", None),
            frame(0x8a, b"!", None),
            frame(0x80, b"two", None),
            frame(0x88, b"\x03\xe8bye", None),
        ];
        let mut inbound = reader(Side::Client, &bytes.concat());
        assert_eq!(inbound.next(), Ok(Some(Incoming::Ping(Bytes::from_static(b"?")))));
        assert!(inbound.is_in_the_middle());
        assert_eq!(inbound.next(), Ok(Some(Incoming::Pong)));
        assert_eq!(inbound.next(), Ok(message(b"one two", false)));
        assert_eq!(inbound.next(), Ok(Some(Incoming::Close { code: 1000, reason: "bye".to_owned() })));
        assert_eq!(inbound.next(), Ok(None));
    }

    #[test]
    fn what_the_standard_forbids_is_refused() {
        let (client, server) = (Side::Client, Side::Server);
        for reserved in [0xc2, 0xa2, 0x92] {
            assert_eq!(refused(client, &frame(reserved, b"", None)), 1002);
        }
        for opcode in [0x3, 0x7, 0xb, 0xf] {
            assert_eq!(refused(client, &frame(0x80 | opcode, b"", None)), 1002);
        }
        assert_eq!(refused(server, &frame(0x82, b"", None)), 1002, "a client must mask");
        assert_eq!(refused(client, &frame(0x82, b"", Some(KEY))), 1002, "a server must not");
        assert_eq!(refused(client, &frame(0x09, b"", None)), 1002, "a ping in parts");
        assert_eq!(refused(client, &frame(0x89, &[0; 126], None)[..2]), 1002, "a long ping");
        assert_eq!(refused(client, &frame(0x80, b"", None)), 1002, "nothing goes on");
        assert_eq!(refused(client, &[frame(0x02, b"", None), frame(0x82, b"", None)].concat()), 1002);
        assert_eq!(refused(client, &[0x82, 126, 0, 125]), 1002);
        assert_eq!(refused(client, &[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff]), 1002);
        assert_eq!(refused(client, &[0x82, 127, 0x80, 0, 0, 0, 0, 1, 0, 0]), 1002);
        assert_eq!(refused(client, &frame(0x81, b"\xff", None)), 1007);
        assert_eq!(refused(client, &[frame(0x01, b"\xe2\x82", None), frame(0x80, b"", None)].concat()), 1007);
        for payload in [&b"\x03"[..], b"\x03\xec", b"\x03\xed", b"\x03\xee", b"\x03\xf7", b"\x0b\xb7", b"\x13\x88"] {
            assert_eq!(refused(client, &frame(0x88, payload, None)), 1002, "{payload:x?}");
        }
        assert_eq!(refused(client, &frame(0x88, b"\x03\xe8\xff", None)), 1002);
    }

    #[test]
    fn a_character_may_be_cut_by_frames() {
        let bytes = [frame(0x01, b"\xe2\x82", None), frame(0x80, b"\xac", None)].concat();
        assert_eq!(reader(Side::Client, &bytes).next(), Ok(message("\u{20ac}".as_bytes(), true)));
    }

    #[test]
    fn a_declared_length_takes_no_memory_and_a_long_one_is_refused() {
        let mut inbound = reader(Side::Client, &head(BINARY, MAX_MESSAGE, None).0[..10]);
        assert_eq!(inbound.next(), Ok(None));
        assert!(inbound.room().capacity() <= 2 * READ_AHEAD, "{}", inbound.buffer.capacity());
        let (long, size) = head(BINARY, MAX_MESSAGE + 1, None);
        assert_eq!(refused(Side::Client, &long[..size]), 1009);
        let mut endless = [0x82, 127, 0x7f, 255, 255, 255, 255, 255, 255, 255];
        assert_eq!(refused(Side::Client, &endless), 1009);
        // The parts of a message count together.
        let mut inbound = reader(Side::Client, &frame(0x02, &[0; 70], None));
        inbound.limit = 100;
        assert_eq!(inbound.next(), Ok(None));
        endless[..2].copy_from_slice(&[0x80, 31]);
        inbound.room().extend_from_slice(&endless[..2]);
        assert_eq!(inbound.next(), Err(WebSocketError::MessageTooLong { limit: 100 }));
    }
}
