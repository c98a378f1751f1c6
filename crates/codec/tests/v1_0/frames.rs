//! Part 2, 2.3: frames.

use bytes::Bytes;
use postroad_codec::v1_0::*;

use super::samples::{performatives, sasl_frames};
use super::{encode, hex};

fn read(bytes: Vec<u8>) -> Result<Frame, FrameError> {
    Frame::decode(&bytes.into())
}

fn amqp(channel: u16, performative: &Performative, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Frame::put_amqp(channel, performative, payload, &mut out);
    out
}

#[test]
fn every_performative_in_a_frame() {
    for (performative, channel) in performatives().into_iter().zip([0, 1, 255, 256, u16::MAX].into_iter().cycle()) {
        let frame = amqp(channel, &performative, &[]);
        assert_eq!(FrameHeader::frame_size(&frame, 4096), Ok(Some(frame.len())));
        let expected = Frame::Amqp { channel, performative, payload: Bytes::new() };
        assert!(expected.to_string().starts_with(&format!("{channel} @")), "{expected}");
        assert_eq!(read(frame), Ok(expected));
    }
}

#[test]
fn only_a_transfer_carries_a_payload() {
    for performative in performatives() {
        let result = read(amqp(1, &performative, b"payload"));
        if let Performative::Transfer(_) = performative {
            let payload = Bytes::from_static(b"payload");
            assert_eq!(result, Ok(Frame::Amqp { channel: 1, performative, payload }));
        } else {
            let Err(FrameError::Body(error)) = result else { panic!("{result:?}") };
            assert_eq!((error.ty, error.kind), (performative.name(), DecodeErrorKind::TrailingBytes(7)));
        }
    }
}

#[test]
fn sasl_frames_of_each_kind() {
    for body in sasl_frames() {
        let mut out = Vec::new();
        Frame::put_sasl(&body, &mut out);
        assert_eq!(out[4..8], [2, 1, 0, 0]);
        assert_eq!(read(out.clone()), Ok(Frame::Sasl(body)));
        // Bytes 6 and 7 mean nothing here.
        out[6..8].fill(0xff);
        assert!(read(out.clone()).is_ok());
        out.push(0);
        let size = u32::try_from(out.len()).unwrap();
        out[..4].copy_from_slice(&size.to_be_bytes());
        let Err(FrameError::Body(error)) = read(out) else { panic!("bytes behind a SASL frame") };
        assert_eq!(error.kind, DecodeErrorKind::TrailingBytes(1));
    }
    assert!(matches!(read(hex("00000008 02010000")), Err(FrameError::Body(_))), "a SASL frame has a body");
}

#[test]
fn extended_headers_are_passed_over() {
    let close = hex("005318 45");
    for data_offset in 2u8..=255 {
        let extended = usize::from(data_offset) * 4;
        let mut frame = vec![0xee; extended];
        frame.extend_from_slice(&close);
        let size = u32::try_from(frame.len()).unwrap().to_be_bytes();
        frame[..4].copy_from_slice(&size);
        frame[4..8].copy_from_slice(&[data_offset, 0, 0, 7]);
        let performative = Close::default().into();
        assert_eq!(read(frame), Ok(Frame::Amqp { channel: 7, performative, payload: Bytes::new() }));
    }
}

#[test]
fn empty_frames() {
    let mut out = Vec::new();
    Frame::put_empty(&mut out);
    assert_eq!(out, hex("00000008 02000000"));
    assert_eq!(read(out), Ok(Frame::Empty { channel: 0 }));
    assert_eq!(read(hex("00000008 02000102")), Ok(Frame::Empty { channel: 0x102 }));
    assert_eq!(read(hex("0000000c 03000000 deadbeef")), Ok(Frame::Empty { channel: 0 }));
}

#[test]
fn impossible_headers_are_refused() {
    for octet in 2..=255 {
        assert_eq!(read(vec![0, 0, 0, 8, 2, octet, 0, 0]), Err(FrameError::Type(octet)));
    }
    assert_eq!(read(hex("00000008 00000000")), Err(FrameError::DataOffset(0)));
    assert_eq!(read(hex("00000008 01000000")), Err(FrameError::DataOffset(1)));
    assert_eq!(read(hex("00000008 03000000")), Err(FrameError::DataOffset(3)));
    assert_eq!(read(hex("0000000b 03000000 000000")), Err(FrameError::DataOffset(3)));
    assert_eq!(read(hex("00000009 02000000")), Err(FrameError::Size { declared: 9, actual: 8 }));
    assert_eq!(read(hex("00000008 02000000 00")), Err(FrameError::Size { declared: 8, actual: 9 }));
    for length in 0..8 {
        assert_eq!(read(vec![0; length]), Err(FrameError::TooSmall(length as u32)));
    }
}

#[test]
fn a_size_meets_the_limit_before_the_frame_is_there() {
    for length in 0..4 {
        assert_eq!(FrameHeader::frame_size(&[0; 4][..length], 512), Ok(None));
    }
    for size in 0u32..8 {
        assert_eq!(FrameHeader::frame_size(&size.to_be_bytes(), 512), Err(FrameError::TooSmall(size)));
    }
    assert_eq!(FrameHeader::frame_size(&hex("00000008"), 512), Ok(Some(8)));
    assert_eq!(FrameHeader::frame_size(&hex("00000200"), 512), Ok(Some(512)));
    assert_eq!(FrameHeader::frame_size(&hex("00000201"), 512), Err(FrameError::TooLarge { size: 513, limit: 512 }));
    // "AMQP" as a size: a header where a frame should be.
    let error = FrameHeader::frame_size(b"AMQP", 1 << 20).unwrap_err();
    assert_eq!(error, FrameError::TooLarge { size: 0x414d_5150, limit: 1 << 20 });
}

#[test]
fn frames_are_appended() {
    let mut out = Vec::new();
    let transfer = Transfer { delivery_tag: DeliveryTag::new(b"t"), ..Transfer::default() };
    Frame::put_amqp(1, &transfer, b"one", &mut out);
    let first = out.len();
    Frame::put_empty(&mut out);
    Frame::put_amqp(2, &Close::default(), &[], &mut out);
    assert_eq!(FrameHeader::frame_size(&out, 512), Ok(Some(first)));
    assert_eq!(FrameHeader::frame_size(&out[first..], 512), Ok(Some(8)));
    assert_eq!(out[first + 8..], [&hex("0000000c 02000002")[..], &encode(&Close::default())].concat());
}

#[test]
fn frames_print_as_in_traces() {
    let begin = Begin { remote_channel: Some(0), ..Begin::default() };
    let frame = Frame::Amqp { channel: 3, performative: begin.into(), payload: Bytes::new() };
    let printed = "3 @begin(17) [remote-channel=0x0, next-outgoing-id=0x0, incoming-window=0x0, outgoing-window=0x0]";
    assert_eq!(frame.to_string(), printed);
    let transfer = Transfer { settled: Some(true), ..Transfer::default() };
    let frame = Frame::Amqp { channel: 0, performative: transfer.into(), payload: Bytes::from_static(b"\0hi") };
    assert_eq!(frame.to_string(), "0 @transfer(20) [handle=0x0, settled=true] (3) \\x00hi");
    let long = Frame::Amqp { channel: 0, performative: Transfer::default().into(), payload: vec![b'x'; 5000].into() };
    assert!(long.to_string().len() == 1023 && long.to_string().ends_with("xxx ... (truncated)"));
    assert_eq!(Frame::Empty { channel: 0 }.to_string(), "0 (EMPTY FRAME)");
}
