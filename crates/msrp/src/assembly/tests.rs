use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

const NOW: Duration = Duration::ZERO;

/// A session with its clock.
struct Session {
    all: Assemblies,
    budget: Budget,
    epoch: Instant,
    options: AssemblyOptions,
}

impl Session {
    fn new() -> Self {
        Self::with(AssemblyLimits::default(), 1 << 20)
    }

    fn with(limits: AssemblyLimits, budget: u64) -> Self {
        let options = AssemblyOptions::default();
        Self { all: Assemblies::new(limits), budget: Budget::new(budget), epoch: Instant::now(), options }
    }

    fn begin(&mut self, id: &str, range: &str, after: Duration) -> Result<Started, Refusal> {
        let range = (!range.is_empty()).then(|| range.parse().unwrap());
        self.all.begin(id.as_bytes(), range, self.options, self.epoch + after, &mut self.budget)
    }

    /// One chunk as it goes over the wire: its range, its content, and the flag behind.
    fn chunk_at(&mut self, id: &str, range: &str, content: &str, after: Duration) -> Result<Ended, Refusal> {
        let (content, flag) = content.split_at(content.len() - 1);
        self.begin(id, range, after)?;
        let bytes = Bytes::copy_from_slice(content.as_bytes());
        self.all.data(bytes, self.epoch + after, &mut self.budget, |_, _| {})?;
        let flag = Flag::from_byte(flag.as_bytes()[0]).unwrap();
        self.all.end(flag, self.epoch + after, &mut self.budget)
    }

    fn chunk(&mut self, id: &str, range: &str, content: &str) -> Result<String, Refusal> {
        self.chunk_at(id, range, content, NOW).map(|ended| match ended.outcome {
            Outcome::More => "more".to_owned(),
            Outcome::Complete { total, buffer } => {
                let bytes = buffer.into_bytes();
                assert_eq!(bytes.len() as u64, total);
                String::from_utf8(bytes.into()).unwrap()
            }
            Outcome::Aborted { buffer } => format!("aborted behind {}", buffer.octets()),
            Outcome::Duplicate => "duplicate".to_owned(),
        })
    }
}

fn told(text: &str) -> Result<String, Refusal> {
    Ok(text.to_owned())
}

#[test]
fn r40_one_chunk_is_a_message() {
    for (range, content) in [("", "Hi$"), ("1-2/2", "Hi$"), ("1-*/2", "Hi$"), ("1-*/*", "Hi$"), ("1-5/*", "Hi$")] {
        assert_eq!(Session::new().chunk("aaaa", range, content), told("Hi"), "{range}");
    }
    assert_eq!(Session::new().chunk("aaaa", "1-0/0", "$"), told(""));
    assert_eq!(Session::new().chunk("aaaa", "", "$"), told(""));
}

#[test]
fn r40_chunks_come_in_any_order() {
    let mut session = Session::new();
    // RFC 4975 5.1.
    assert_eq!(session.chunk("aaaa", "1-*/8", "abcd+"), told("more"));
    assert_eq!(session.chunk("bbbb", "5-8/8", "EFGH$"), told("more"));
    assert_eq!(session.chunk("aaaa", "5-8/8", "EFGH$"), told("abcdEFGH"));
    assert_eq!(session.chunk("bbbb", "3-*/*", "cd+"), told("more"));
    assert_eq!(session.chunk("bbbb", "1-*/*", "ab+"), told("abcdEFGH"));
    // All octets are there, and the end is not.
    assert_eq!(session.chunk("cccc", "1-2/2", "ab+"), told("more"));
    assert_eq!(session.chunk("cccc", "3-2/2", "$"), told("ab"));
    assert_eq!(session.budget.used(), 0);
}

#[test]
fn r40_the_last_of_what_overlaps_stays_or_the_first() {
    for (overlap, whole) in [(Overlap::Last, "abXYZf"), (Overlap::First, "abcdZf")] {
        let mut session = Session::new();
        session.options.overlap = overlap;
        assert_eq!(session.chunk("aaaa", "1-*/6", "abcd+"), told("more"));
        assert_eq!(session.chunk("aaaa", "3-*/6", "XYZ+"), told("more"));
        assert_eq!(session.budget.used(), 5);
        assert_eq!(session.chunk("aaaa", "6-*/6", "f$"), told(whole));
    }
}

#[test]
fn r40_what_contradicts_itself_is_refused_and_over() {
    for (chunks, refusal) in [
        (&[("1-*/8", "ab+"), ("3-*/9", "c+")][..], Refusal::Totals),
        (&[("1-*/*", "abcd+"), ("1-*/3", "a+")], Refusal::Totals),
        (&[("1-*/8", "ab$")], Refusal::Totals),
        (&[("1-*/*", "abcd+"), ("1-*/*", "ab$")], Refusal::Totals),
        (&[("3-*/*", "cd$"), ("6-*/*", "f+")], Refusal::BeyondTotal),
        (&[("3-*/*", "cd$"), ("4-*/*", "de+")], Refusal::BeyondTotal),
        (&[("3-*/*", "cd$"), ("1-9/*", "a+")], Refusal::BeyondTotal),
        (&[("1-*/2", "abc+")], Refusal::BeyondTotal),
        (&[("1-2/8", "abc+")], Refusal::BeyondEnd),
        (&[("1-0/0", "a$")], Refusal::BeyondEnd),
    ] {
        let mut session = Session::new();
        let (last, before) = chunks.split_last().unwrap();
        for (range, content) in before {
            session.chunk("aaaa", range, content).unwrap();
        }
        assert_eq!(session.chunk("aaaa", last.0, last.1), Err(refusal), "{chunks:?}");
        assert_eq!(refusal.code(), Code::BAD_REQUEST);
        assert_eq!(session.all.poll_dropped().unwrap().refusal, Some(refusal));
        assert_eq!(session.chunk("aaaa", "1-*/*", "a+"), Err(Refusal::Stopped));
        assert_eq!((session.budget.used(), session.all.len()), (0, 0), "{chunks:?}");
    }
}

#[test]
fn r11_the_length_of_a_chunk_is_that_of_its_octets() {
    let mut session = Session::new();
    let ended = session.chunk_at("aaaa", "1-8/8", "abcd+", NOW).unwrap();
    assert_eq!(ended.range.to_string(), "1-4/8");
    let ended = session.chunk_at("aaaa", "5-*/8", "efgh$", NOW).unwrap();
    assert_eq!(ended.range.to_string(), "5-8/8");
    assert!(matches!(ended.outcome, Outcome::Complete { total: 8, .. }));
    assert_eq!(session.chunk_at("bbbb", "", "Hi$", NOW).unwrap().range.to_string(), "1-2/*");
}

#[test]
fn r39_one_piece_is_handed_on_as_it_came() {
    let mut session = Session::new();
    let content = Bytes::from(vec![b'x'; 100]);
    session.begin("aaaa", "1-100/100", NOW).unwrap();
    session.all.data(content.clone(), session.epoch, &mut session.budget, |_, _| panic!("kept in memory")).unwrap();
    let ended = session.all.end(Flag::Complete, session.epoch, &mut session.budget).unwrap();
    let Outcome::Complete { buffer, .. } = ended.outcome else { panic!() };
    assert_eq!(buffer.into_bytes().as_ptr(), content.as_ptr());
}

#[test]
fn r39_what_waits_for_more_keeps_no_read_buffer() {
    let mut session = Session::new();
    let read = Bytes::from(vec![b'x'; 65_536]);
    session.begin("aaaa", "1-*/*", NOW).unwrap();
    session.all.data(read.slice(..1), session.epoch, &mut session.budget, |_, _| {}).unwrap();
    assert!(!read.is_unique());
    session.all.end(Flag::Continues, session.epoch, &mut session.budget).unwrap();
    assert!(read.is_unique());
}

#[test]
fn r39_the_owner_gets_each_piece_with_its_place() {
    for (overlap, second) in [(Overlap::Last, &[(2, "XYZ")][..]), (Overlap::First, &[(4, "Z")])] {
        let mut session = Session::new();
        session.options.keep = Keep::Pieces;
        session.options.overlap = overlap;
        assert_eq!(session.chunk("aaaa", "1-*/*", "abcd+"), told("more"));
        session.begin("aaaa", "3-*/*", NOW).unwrap();
        let mut placed = Vec::new();
        let place = |at, bytes| placed.push((at, bytes));
        session.all.data(Bytes::from_static(b"XYZ"), session.epoch, &mut session.budget, place).unwrap();
        assert_eq!(placed, second.iter().map(|(at, text)| (*at, Bytes::from(*text))).collect::<Vec<_>>());
        assert_eq!(session.budget.used(), 0);
        let ended = session.all.end(Flag::Complete, session.epoch, &mut session.budget).unwrap();
        assert!(matches!(ended.outcome, Outcome::Complete { total: 5, .. }));
    }
}

#[test]
fn r40_long_pieces_are_shared_until_they_are_written_over() {
    let mut assembly = Assembly::new(AssemblyOptions::default());
    let read = Bytes::from(vec![b'a'; 100_000]);
    assembly.chunk_begin(Some("1-*/*".parse().unwrap())).unwrap();
    for at in (0..100_000).step_by(20_000) {
        assembly.data(read.slice(at..at + 20_000), |_, _| {}).unwrap();
    }
    assert_eq!(assembly.chunk_end(Flag::Continues), Ok(Progress::More));
    // Over the seam of two pieces, and over one octet, again and again.
    for (start, content) in [(19_999, "bcde"), (50_001, "x"), (50_001, "y"), (50_003, "z")] {
        assembly.chunk_begin(ByteRange::new(start, None, None).ok()).unwrap();
        assert_eq!(assembly.data(Bytes::from(content), |_, _| {}), Ok(0));
        assert_eq!(assembly.chunk_end(Flag::Continues), Ok(Progress::More));
    }
    assembly.chunk_begin(ByteRange::new(100_001, Some(100_000), Some(100_000)).ok()).unwrap();
    assert_eq!(assembly.chunk_end(Flag::Complete), Ok(Progress::Complete { total: 100_000 }));
    let mut expected = vec![b'a'; 100_000];
    expected[19_998..20_002].copy_from_slice(b"bcde");
    expected[50_000..50_003].copy_from_slice(b"yaz");
    let parts: Vec<_> = assembly.into_buffer().into_parts().collect();
    assert_eq!(parts.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 20_000, 40_000, 60_000, 80_000]);
    assert_eq!(parts[4].1.as_ptr(), read[80_000..].as_ptr(), "not written over");
    assert_eq!(parts.iter().flat_map(|(_, bytes)| bytes.to_vec()).collect::<Vec<_>>(), expected);
}

#[test]
fn r41_what_is_aborted_is_over() {
    let mut session = Session::new();
    assert_eq!(session.chunk("aaaa", "1-*/8", "abcd+"), told("more"));
    assert_eq!(session.chunk("aaaa", "5-*/8", "ef#"), told("aborted behind 6"));
    assert_eq!(session.chunk("aaaa", "7-*/8", "gh$"), Err(Refusal::Stopped));
    assert_eq!(Refusal::Stopped.code(), Code::STOP);
    // The owner does not want it, before the next chunk and within one.
    assert_eq!(session.chunk("bbbb", "1-*/8", "abcd+"), told("more"));
    assert_eq!(session.all.refuse(b"bbbb", &mut session.budget).unwrap().octets, 4);
    assert_eq!(session.chunk("bbbb", "5-*/8", "efgh$"), Err(Refusal::Stopped));
    session.begin("cccc", "1-*/8", NOW).unwrap();
    assert!(session.all.refuse(b"cccc", &mut session.budget).is_some());
    let data = session.all.data(Bytes::from_static(b"a"), session.epoch, &mut session.budget, |_, _| {});
    assert_eq!(data, Err(Refusal::Stopped));
    let ended = session.all.end(Flag::Complete, session.epoch, &mut session.budget);
    assert_eq!(ended.map(|_| ()), Err(Refusal::Stopped));
    assert!(session.all.refuse(b"dddd", &mut session.budget).is_none());
    assert_eq!(session.chunk("dddd", "", "Hi$"), Err(Refusal::Stopped));
    assert!(session.all.poll_dropped().is_none());
    assert_eq!(session.budget.used(), 0);
}

#[test]
fn r42_messages_that_are_not_whole_are_limited() {
    let mut session = Session::new();
    for id in 0..16 {
        assert_eq!(session.chunk(&format!("open{id}"), "1-*/8", "ab+"), told("more"));
    }
    assert_eq!(session.chunk("part", "3-*/8", "cd+"), Err(Refusal::TooManyMessages));
    assert!(session.all.poll_dropped().is_none(), "nothing of it has come");
    // What may be whole is let in, and dropped where it is not.
    assert_eq!(session.chunk("whole", "1-*/*", "Hi$"), told("Hi"));
    assert_eq!(session.chunk("begun", "1-*/*", "Hi+"), Err(Refusal::TooManyMessages));
    let dropped = session.all.poll_dropped().unwrap();
    assert_eq!((dropped.id.as_ref(), dropped.octets), (&b"begun"[..], 2));
    assert_eq!(session.chunk("open0", "3-*/8", "cdefgh$"), told("abcdefgh"));
    assert_eq!(session.chunk("more", "1-*/8", "ab+"), told("more"));
    assert_eq!((session.all.len(), session.budget.used()), (16, 32));
    session.all.clear(&mut session.budget);
    assert_eq!((session.all.len(), session.budget.used()), (0, 0));
    assert_eq!(std::iter::from_fn(|| session.all.poll_dropped()).count(), 16);
}

#[test]
fn r42_idle_messages_are_dropped_in_time() {
    let mut session = Session::new();
    assert_eq!(session.all.poll_timeout(), None);
    let seconds = Duration::from_secs;
    session.chunk_at("aaaa", "1-*/8", "ab+", NOW).unwrap();
    session.chunk_at("bbbb", "1-*/8", "ab+", seconds(100)).unwrap();
    assert_eq!(session.all.poll_timeout(), Some(session.epoch + seconds(300)));
    session.chunk_at("aaaa", "3-*/8", "cd+", seconds(200)).unwrap();
    session.begin("cccc", "1-*/8", seconds(250)).unwrap();
    assert_eq!(session.all.poll_timeout(), Some(session.epoch + seconds(400)));
    session.all.handle_timeout(session.epoch + Duration::from_millis(399_999), &mut session.budget);
    assert!(session.all.poll_dropped().is_none());
    session.all.handle_timeout(session.epoch + seconds(400), &mut session.budget);
    let dropped = session.all.poll_dropped().unwrap();
    assert_eq!((dropped.id.as_ref(), dropped.refusal, dropped.octets, dropped.total), (&b"bbbb"[..], None, 2, Some(8)));
    assert_eq!(dropped.buffer.into_parts().collect::<Vec<_>>(), [(0, Bytes::from_static(b"ab"))]);
    assert!(session.all.poll_dropped().is_none());
    // The chunk that is read stalls too.
    session.all.handle_timeout(session.epoch + seconds(550), &mut session.budget);
    assert_eq!((session.all.len(), session.all.poll_timeout()), (0, None));
    assert_eq!(session.chunk("cccc", "1-*/8", "a+"), Err(Refusal::Stopped));
    assert_eq!(session.budget.used(), 0);
}

#[test]
fn r43_a_message_that_comes_again_is_a_duplicate() {
    let mut session = Session::new();
    assert_eq!(session.chunk("aaaa", "1-2/2", "Hi$"), told("Hi"));
    assert_eq!(session.begin("aaaa", "1-2/2", NOW), Ok(Started::Duplicate));
    let ended = session.chunk_at("aaaa", "1-*/2", "Hi$", NOW).unwrap();
    assert_eq!(ended.range.to_string(), "1-2/2");
    assert!(matches!(ended.outcome, Outcome::Duplicate));
    assert_eq!(session.chunk("aaaa", "2-2/2", "i+"), told("duplicate"));
    assert_eq!((session.budget.used(), session.all.len()), (0, 0));
}

#[test]
fn r48_r58_messages_and_memory_are_limited() {
    let mut session = Session::with(AssemblyLimits { octets: 12, ..AssemblyLimits::default() }, 20);
    session.options.max_size = 8;
    for range in ["1-*/9", "1-9/*", "10-*/*"] {
        assert_eq!(session.chunk(range, range, "a+"), Err(Refusal::TooLarge));
    }
    assert_eq!(session.chunk("aaaa", "1-*/*", "123456789$"), Err(Refusal::TooLarge));
    assert_eq!(session.chunk("bbbb", "1-*/*", "12345678+"), told("more"));
    // More than one session may hold, and then than all may.
    assert_eq!(session.chunk("cccc", "1-*/*", "12345$"), Err(Refusal::OverBudget));
    assert_eq!(session.chunk("dddd", "1-*/*", "1234$"), told("1234"));
    session.budget = Budget::new(11);
    session.all = Assemblies::new(AssemblyLimits::default());
    assert_eq!(session.chunk("eeee", "1-*/*", "12345678+"), told("more"));
    assert_eq!(session.chunk("ffff", "1-*/*", "1234$"), Err(Refusal::OverBudget));
    assert_eq!(session.chunk("gggg", "1-*/*", "123$"), told("123"));
    assert_eq!(session.budget.used(), 8);
}

#[test]
fn r59_pieces_are_limited_in_order_and_in_reverse() {
    let mut session = Session::new();
    session.options.max_ranges = 4;
    for at in [1, 3, 5, 7] {
        assert_eq!(session.chunk("aaaa", &format!("{at}-*/*"), "x+"), told("more"));
    }
    assert_eq!(session.chunk("aaaa", "9-*/*", "x+"), Err(Refusal::TooManyRanges));
    // In reverse they touch, and in memory each still is a piece.
    for at in [9, 8, 7, 6] {
        assert_eq!(session.chunk("bbbb", &format!("{at}-*/*"), "x+"), told("more"));
    }
    assert_eq!(session.chunk("bbbb", "5-*/*", "x+"), Err(Refusal::TooManyRanges));
    for at in 1..1000 {
        assert_eq!(session.chunk("cccc", &format!("{at}-*/*"), "x+"), told("more"));
    }
    assert_eq!(session.budget.used(), 999);
}

proptest! {
    #[test]
    fn r40_chunks_in_any_order_are_as_an_array(input in prop::collection::vec(any::<u8>(), 0..80)) {
        crate::fuzz::assembly(&input);
    }
}

proptest! {
    #[test]
    fn r40_pieces_of_eight_units_in_any_order(setup in 0_u8..8, order in prop::collection::vec(0_u8..4, 0..12)) {
        let steps = order.iter().flat_map(|start| [start * 8, 8, 0, 0, 0x22]);
        crate::fuzz::assembly(&std::iter::once(setup | (setup & 4) << 2).chain(steps).collect::<Vec<_>>());
    }
}
