//! Frames, wherever the octets are cut.

use bytes::Bytes;

use crate::{Event, Flag, Head, ParseError, Parser};

/// The same octets give the same frames however they are cut, and frames are written back as they came. The first octet
/// says how many cuts there are, the next ones where.
///
/// # Panics
/// When they do not.
pub fn parser(input: &[u8]) {
    let [count, rest @ ..] = input else { return };
    let Some((places, octets)) = rest.split_at_checked(usize::from(count % 8)) else { return };
    let mut cuts: Vec<usize> = places.iter().map(|place| usize::from(*place) * octets.len() / 256).collect();
    cuts.sort_unstable();
    let whole = read(&[octets]);
    let (mut pieces, mut from) = (Vec::new(), 0);
    for cut in cuts.into_iter().chain([octets.len()]) {
        pieces.push(&octets[from..cut]);
        from = cut;
    }
    assert_eq!(read(&pieces), whole);
    assert_eq!(read(&octets.chunks(1).collect::<Vec<_>>()), whole);
    let (parts, _) = whole;
    let (mut at, mut id, mut has_content) = (0, None, false);
    let take = |at: &mut usize, part: &[u8]| {
        assert!(octets[*at..].starts_with(part), "lost or changed at {at}");
        *at += part.len();
    };
    for part in &parts {
        match part {
            Part::Head(head) => {
                take(&mut at, head.as_bytes());
                has_content = octets[at..].starts_with(b"\r\n");
                if has_content {
                    take(&mut at, b"\r\n");
                }
                id = Some(head.transaction_id());
            }
            Part::Content(content) => take(&mut at, content),
            Part::End(flag) => {
                let before = if has_content { "\r\n" } else { "" };
                let id = id.take().expect("a frame that ends has begun");
                take(&mut at, format!("{before}-------{id}{flag}\r\n").as_bytes());
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Head(Box<Head>),
    /// All of it that came, in one piece.
    Content(Vec<u8>),
    End(Flag),
}

fn read(pieces: &[&[u8]]) -> (Vec<Part>, Option<ParseError>) {
    let mut parser = Parser::default();
    let mut parts = Vec::new();
    for piece in pieces {
        parser.push(Bytes::copy_from_slice(piece));
        loop {
            match parser.next_event() {
                Ok(None) => break,
                Ok(Some(Event::Head(head))) => parts.push(Part::Head(Box::new(head))),
                Ok(Some(Event::End(flag))) => parts.push(Part::End(flag)),
                Ok(Some(Event::Content(content))) => match parts.last_mut() {
                    Some(Part::Content(all)) => all.extend_from_slice(&content),
                    _ => parts.push(Part::Content(content.to_vec())),
                },
                Err(error) => return (parts, Some(error)),
            }
        }
    }
    (parts, None)
}
