//! The bodies of the fuzz targets in `fuzz/`; no part of the API.

mod owner;
mod peer;
mod sasl;
mod watch;

use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::v1_0::{Config, Connection, Transmit};
use owner::Owner;
use peer::Peer;
use watch::Watch;

pub use sasl::sasl;

/// Plays `data` to an engine: what the peer sends, what the owner does, and how time passes. Everything
/// that the engine writes and tells is held against the rules of the standard.
///
/// # Panics
/// When the engine breaks one.
pub fn engine(data: &[u8]) {
    let mut choices = Choices(data);
    let mut game = Game::new(&mut choices);
    for _ in 0..500 {
        let Some(choice) = choices.next() else { break };
        match choice % 16 {
            0..=8 => game.peer.step(&mut choices, &mut game.engine, &game.watch, game.now),
            9..=13 => game.owner.step(&mut choices, &mut game.engine),
            14 => game.sleep(match choices.byte() {
                0xff => Duration::from_secs(5),
                other => Duration::from_millis(other.into()),
            }),
            _ => {}
        }
        // Now and then nobody listens for a while.
        if choice < 0xe0 {
            game.poll();
        }
    }
    game.poll();
    game.sleep(Duration::from_secs(3600));
    game.engine.handle_eof();
    game.poll();
    game.owner.finish(&mut game.engine);
}

/// Bytes that decide; 0 when there are no more.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    fn below(&mut self, limit: u8) -> u8 {
        self.byte() % limit
    }

    fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Mostly small, at times at an edge.
    fn number(&mut self) -> u32 {
        match self.byte() {
            0xff => u32::MAX,
            0xfe => 1 << 31,
            0xfd => u32::from(u16::MAX),
            small => u32::from(small >> 2),
        }
    }
}

struct Game {
    engine: Connection,
    owner: Owner,
    peer: Peer,
    watch: Watch,
    now: Instant,
}

impl Game {
    fn new(choices: &mut Choices<'_>) -> Self {
        let now = Instant::now();
        let setup = choices.byte();
        let mut config = Config::new("fuzz");
        config.max_frame_size = 1024;
        (config.channel_max, config.handle_max) = (2, 3);
        config.incoming_window = u32::from(setup & 7);
        config.incoming_bytes = 4096;
        config.outgoing_bytes = 4096;
        if setup & 8 != 0 {
            config.idle_timeout = Some(Duration::from_secs(4));
        }
        if setup & 16 != 0 {
            config.initial_delivery_id = postroad_codec::v1_0::DeliveryNumber(u32::MAX);
            config.initial_outgoing_id = postroad_codec::v1_0::TransferNumber(u32::MAX - 1);
        }
        let engine = match setup & 32 {
            0 => Connection::server(config, None, now),
            _ => Connection::client(config, None, now),
        };
        let peer = Peer::new(setup & 128 != 0);
        let mut game = Self { engine, owner: Owner::default(), peer, watch: Watch::default(), now };
        if setup & 64 == 0 {
            game.peer.greet(choices, &mut game.engine, now);
        }
        game
    }

    fn poll(&mut self) {
        self.owner.listen(&mut self.engine);
        let mut transmit = Transmit::default();
        self.engine.poll_transmit(self.now, &mut transmit);
        assert_eq!(transmit.len(), transmit.to_vec().len());
        self.watch.see(&transmit.to_vec(), self.peer.max_frame_size());
        // What was held back may have been announced.
        self.owner.listen(&mut self.engine);
    }

    fn sleep(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.engine.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.engine.handle_timeout(self.now);
            self.poll();
            let next = self.engine.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "the engine is never content");
        }
        self.now = end;
    }
}

/// Gives bytes to the engine, and makes sure that it is consistent about the end.
fn feed(engine: &mut Connection, now: Instant, bytes: &[u8]) {
    let mut input = BytesMut::from(bytes);
    let before = engine.error().cloned();
    let result = engine.handle_input(now, &mut input);
    match (before, result) {
        (Some(before), result) => assert_eq!(result, Err(before)),
        (None, Err(error)) => assert_eq!(engine.error(), Some(&error)),
        (None, Ok(())) => {}
    }
    assert!(engine.output_len() < 8 << 20, "answers pile up");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Every input that once broke the target runs through it again.
    #[test]
    fn regressions() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions/engine");
        let mut inputs = 0;
        for file in std::fs::read_dir(folder).expect("there is a folder") {
            super::engine(&std::fs::read(file.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs > 0, "no regressions");
    }

    /// A fixed walk, so that every run of the tests goes deep.
    #[test]
    fn a_walk_at_random() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        for length in (0..2000).chain([4000; 200]) {
            let bytes: Vec<u8> = (0..length % 4001)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state.to_be_bytes()[3]
                })
                .collect();
            super::engine(&bytes);
        }
    }
}
