//! A peer of which the test writes every frame itself.

use std::io::{Read, Write};
use std::net::TcpStream;

use postroad_codec::v1_0::{Encode, Frame, ProtocolHeader};

/// Takes the header of a client without SASL, and answers it.
pub(crate) fn take_header(stream: &mut TcpStream) {
    let mut header = [0; 8];
    stream.read_exact(&mut header).unwrap();
    assert_eq!(header, ProtocolHeader::AMQP.to_bytes());
    stream.write_all(&header).unwrap();
}

pub(crate) fn put(performative: &impl Encode, stream: &mut TcpStream) {
    let mut out = Vec::new();
    Frame::put_amqp(0, performative, &[], &mut out);
    stream.write_all(&out).unwrap();
}

/// The code of the next performative.
pub(crate) fn next(stream: &mut TcpStream) -> u8 {
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut frame = vec![0; u32::from_be_bytes(size) as usize - 4];
    stream.read_exact(&mut frame).unwrap();
    frame.get(6).copied().unwrap_or(0)
}
