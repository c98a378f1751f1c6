//! Conversations as a capture file that other people's dissectors read: the bytes of each side as segments of TCP.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fs, io, path::Path};

use bytes::Bytes;

/// A capture in the making; clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Capture(Arc<Mutex<State>>);

/// A connection of a capture; clones are the same one.
#[derive(Debug, Clone)]
pub struct Connection {
    capture: Capture,
    index: usize,
}

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The one that has connected.
    Client,
    /// The one that listens: on [`PORT`], whichever it was in truth.
    Server,
}

/// The port of every server in a capture.
pub const PORT: u16 = 5672;

#[derive(Debug, Default)]
struct State {
    packets: Vec<u8>,
    /// Two for each connection: client, server.
    streams: Vec<[Stream; 2]>,
    frames: Vec<Vec<(Side, Bytes)>>,
}

/// What one side says.
#[derive(Debug, Default)]
struct Stream {
    /// The bytes of a frame that is not whole yet.
    pending: Vec<u8>,
    /// How many bytes are in packets.
    written: u32,
}

/// The longest frame that a capture keeps, in bytes. Longer ones are parts of bulky bodies.
pub const BULK: usize = 16 * 1024;

const HEADER: &[u8; 4] = b"AMQP";

const SYN: u8 = 0x02;
const FIN: u8 = 0x01;
const PUSH: u8 = 0x08;
const ACK: u8 = 0x10;

impl Capture {
    /// A capture of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A new connection.
    #[must_use]
    pub fn connection(&self) -> Connection {
        let mut state = self.state();
        let index = state.streams.len();
        state.streams.push(Default::default());
        state.frames.push(Vec::new());
        for (side, flags, sequence, acknowledged) in
            [(Side::Client, SYN, 0, 0), (Side::Server, SYN | ACK, 0, 1), (Side::Client, ACK, 1, 1)]
        {
            state.packet(index, side, flags, [sequence, acknowledged], &[]);
        }
        Connection { capture: self.clone(), index }
    }

    /// Writes the file: pcap, of IP without anything around it.
    ///
    /// # Errors
    /// As writing a file does.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        // Magic number, version 2.4, two fields of nothing, the longest packet, LINKTYPE_RAW.
        let head = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 0x0004_0000, 101].map(u32::to_le_bytes);
        fs::write(path, [head.as_flattened(), &self.state().packets].concat())
    }

    /// The frames of each connection, in the order in which they were said, as their size fields tell them (AMQP 1.0 part 2, 2.3.1).
    #[must_use]
    pub fn frames(&self) -> Vec<Vec<(Side, Bytes)>> {
        self.state().frames.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics with it")
    }
}

impl Connection {
    /// One side says something; nothing is its end. Each frame becomes a packet of its own, so that what a dissector says of a
    /// packet it says of one frame; those longer than [`BULK`] are left out.
    pub fn says(&self, side: Side, bytes: &[u8]) {
        let mut state = self.capture.state();
        let stream = &mut state.streams[self.index][side as usize];
        stream.pending.extend_from_slice(bytes);
        let mut pending = std::mem::take(&mut stream.pending);
        while let Some(length) = first(&pending) {
            let rest = pending.split_off(length);
            if length <= BULK {
                if !pending.starts_with(HEADER) {
                    state.frames[self.index].push((side, Bytes::copy_from_slice(&pending)));
                }
                state.send(self.index, side, PUSH | ACK, &pending);
            }
            pending = rest;
        }
        if bytes.is_empty() {
            // What is left is no frame, but it was said.
            if !pending.is_empty() && pending.len() <= BULK {
                state.send(self.index, side, PUSH | ACK, &pending);
            }
            pending.clear();
            state.send(self.index, side, FIN | ACK, &[]);
        }
        state.streams[self.index][side as usize].pending = pending;
    }
}

impl State {
    /// A packet behind all that this side has sent, acknowledging all of the other.
    fn send(&mut self, connection: usize, side: Side, flags: u8, bytes: &[u8]) {
        let sides = &mut self.streams[connection];
        let at = [sides[side as usize].written + 1, sides[1 - side as usize].written + 1];
        sides[side as usize].written += bytes.len() as u32;
        self.packet(connection, side, flags, at, bytes);
    }

    fn packet(&mut self, connection: usize, side: Side, flags: u8, at: [u32; 2], bytes: &[u8]) {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let client = (20_000 + connection % 40_000) as u16;
        let ports = if side == Side::Client { [client, PORT] } else { [PORT, client] };
        let length = 40 + bytes.len();
        for field in [time.as_secs() as u32, time.subsec_micros(), length as u32, length as u32] {
            self.packets.extend(field.to_le_bytes());
        }
        // IPv4 from 127.0.0.1 to itself: version and length of the header, length, no fragment, 64 hops, TCP. No checksums, here and
        // below: they are not looked at unless asked for.
        let length = u16::try_from(length).expect("a segment is shorter than 64 KiB").to_be_bytes();
        self.packets.extend([0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
        self.packets.extend(ports.map(u16::to_be_bytes).as_flattened());
        self.packets.extend(at.map(u32::to_be_bytes).as_flattened());
        // Five words of header, the flags, a window, no checksum, nothing urgent.
        self.packets.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        self.packets.extend_from_slice(bytes);
    }
}

/// The length of the protocol header or frame that `said` begins with, once it is whole.
fn first(said: &[u8]) -> Option<usize> {
    let length = match said.first_chunk()? {
        HEADER => 8,
        size => (u32::from_be_bytes(*size) as usize).max(8),
    };
    (said.len() >= length).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(capture: &Capture) -> Vec<Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        capture.save(&folder.path().join("a.pcap")).unwrap();
        let file = fs::read(folder.path().join("a.pcap")).unwrap();
        let (mut rest, mut packets) = (&file[24..], Vec::new());
        while let Some((head, behind)) = rest.split_first_chunk::<16>() {
            let length = u32::from_le_bytes(*head.last_chunk().unwrap()) as usize;
            packets.push(behind[..length].to_vec());
            rest = &behind[length..];
        }
        packets
    }

    #[test]
    fn a_packet_for_each_frame_however_the_bytes_came() {
        let frames =
            [&b"AMQP\x03\x01\0\0"[..], &[0, 0, 0, 10, 2, 1, 0, 0, 7, 7], b"AMQP\0\x01\0\0", &[0, 0, 0, 8, 2, 0, 0, 0]];
        for size in 1..=34 {
            let capture = Capture::new();
            let connection = capture.connection();
            frames.concat().chunks(size).for_each(|chunk| connection.says(Side::Client, chunk));
            let kept: Vec<(Side, usize)> =
                capture.frames()[0].iter().map(|(side, frame)| (*side, frame.len())).collect();
            assert_eq!(kept, [(Side::Client, 10), (Side::Client, 8)]);
            let packets = packets(&capture);
            let said: Vec<&[u8]> = packets[3..].iter().map(|packet| &packet[40..]).collect();
            assert_eq!(said, frames, "{size}");
        }
    }

    #[test]
    fn sequence_numbers_tell_what_was_said_and_seen() {
        let capture = Capture::new();
        let connection = capture.connection();
        connection.says(Side::Client, b"AMQP\0\x01\0\0");
        connection.says(Side::Server, b"AM");
        connection.says(Side::Server, b"");
        let numbers: Vec<[u8; 8]> = packets(&capture).iter().map(|packet| packet[24..32].try_into().unwrap()).collect();
        let expected =
            [[0, 0], [0, 1], [1, 1], [1, 1], [1, 9], [3, 9]].map(|[own, other]| [0, 0, 0, own, 0, 0, 0, other]);
        assert_eq!(numbers, expected);
    }
}
