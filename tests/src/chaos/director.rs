//! Which cuts come next.

use std::time::Duration;

use postroad_client::Guarantee;
use postroad_testkit::Rng;
use postroad_testkit::faults::{At, Direction, Fault, FrameKind, Point, Rule};

/// Decides what happens to the connections of one end, by a seed.
#[derive(Debug)]
pub(super) struct Director {
    rng: Rng,
    guarantee: Guarantee,
    /// Messages from one cut to the next.
    share: u64,
}

/// A blow to a connection, and what those meet that are made after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Strike {
    /// The cuts, each to come true once; the first one strikes a connection that works, the others those that follow.
    pub(super) cuts: Vec<Rule>,
    /// What comes before the first.
    pub(super) delay: Option<Rule>,
    /// How long nobody is let in, after the first.
    pub(super) away: Option<Away>,
}

/// How a broker is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Away {
    /// Connections are refused.
    Refuses(Duration),
    /// Connections are taken, and nothing comes of them.
    Hangs(Duration),
}

/// What a working connection says, and within how many of its kind a cut comes.
const WORKING: [(FrameKind, usize); 8] = [
    (FrameKind::Transfer, 300),
    (FrameKind::Transfer, 300),
    (FrameKind::Transfer, 30),
    (FrameKind::Transfer, 5),
    (FrameKind::Flow, 4),
    (FrameKind::Disposition, 10),
    (FrameKind::Disposition, 5),
    (FrameKind::Disposition, 2),
];

/// What a connection says that begins, those of links most often.
const BEGINNING: [FrameKind; 16] = [
    FrameKind::Header,
    FrameKind::Sasl,
    FrameKind::Open,
    FrameKind::Begin,
    FrameKind::Attach,
    FrameKind::Attach,
    FrameKind::Attach,
    FrameKind::ResumingAttach,
    FrameKind::ResumingAttach,
    FrameKind::ResumingAttach,
    FrameKind::ResumingTransfer,
    FrameKind::ResumingTransfer,
    FrameKind::ResumingTransfer,
    FrameKind::Flow,
    FrameKind::Disposition,
    FrameKind::Transfer,
];

impl Director {
    /// For links with a guarantee, which says what there is to be cut at, and that have about `share` messages from one
    /// cut to the next.
    pub(super) fn new(seed: u64, guarantee: Guarantee, share: u64) -> Self {
        Self { rng: Rng::new(seed), guarantee, share }
    }

    /// The next blow, with so many cuts at most, and one at least.
    pub(super) fn next(&mut self, most: u64) -> Strike {
        let first = self.working();
        let mut cuts = vec![first];
        while (cuts.len() as u64) < most.min(4) && self.rng.one_in(2) {
            let next = self.beginning();
            cuts.push(next);
        }
        let time = |rng: &mut Rng| Duration::from_millis(1 + rng.below(8) as u64);
        let delay = self.rng.one_in(8).then(|| {
            let fault = Fault::Delay(time(&mut self.rng));
            let at = At::Frame { kind: None, nth: 1 + self.rng.below(50) as u64, point: self.point() };
            Rule { direction: self.direction(), ..Rule::new(fault, at) }
        });
        let away = match self.rng.below(20) {
            0 | 1 => Some(Away::Refuses(time(&mut self.rng))),
            2 => Some(Away::Hangs(time(&mut self.rng))),
            _ => None,
        };
        Strike { cuts, delay, away }
    }

    /// A cut of a connection that works.
    fn working(&mut self) -> Rule {
        if self.rng.one_in(6) {
            // Anywhere.
            let most = self.share.saturating_mul(100).clamp(200, 20_000);
            let at = At::Byte(self.rng.below(most as usize) as u64);
            return Rule { direction: self.direction(), ..Rule::cut(at) };
        }
        let (kind, most) = WORKING[self.rng.below(WORKING.len())];
        let most = most.min(usize::try_from(self.share).unwrap_or(usize::MAX)).max(1);
        let nth = 1 + self.rng.below(most) as u64;
        Rule::cut(At::frame(self.said(kind)).nth(nth).at(self.point()))
    }

    /// A cut of a connection that begins.
    fn beginning(&mut self) -> Rule {
        let kind = BEGINNING[self.rng.below(BEGINNING.len())];
        let nth = match kind {
            FrameKind::ResumingTransfer | FrameKind::Transfer => 1 + self.rng.below(3) as u64,
            _ => 1,
        };
        let at = At::frame(self.said(kind)).nth(nth).at(self.point());
        Rule { direction: self.direction_of(kind), ..Rule::cut(at) }
    }

    /// The kind of frame that is said with this guarantee in place of another one.
    fn said(&self, kind: FrameKind) -> FrameKind {
        match (kind, self.guarantee) {
            // What is settled as it is sent has no outcome.
            (FrameKind::Disposition, Guarantee::AtMostOnce) => FrameKind::Flow,
            (FrameKind::ResumingAttach, Guarantee::AtMostOnce | Guarantee::AtLeastOnce) => FrameKind::Attach,
            (FrameKind::ResumingTransfer, Guarantee::AtMostOnce | Guarantee::AtLeastOnce) => FrameKind::Transfer,
            _ => kind,
        }
    }

    /// Either, for what both ends say; for others the one that they go in.
    fn direction_of(&mut self, kind: FrameKind) -> Option<Direction> {
        match kind {
            FrameKind::Transfer | FrameKind::ResumingTransfer | FrameKind::Flow | FrameKind::Disposition => None,
            _ => self.direction(),
        }
    }

    fn direction(&mut self) -> Option<Direction> {
        [None, Some(Direction::ToServer), Some(Direction::ToClient)][self.rng.below(3)]
    }

    fn point(&mut self) -> Point {
        match self.rng.below(8) {
            0 => Point::Before,
            1 => Point::Byte(1 + self.rng.below(12) as u32),
            2 | 3 => Point::After,
            _ => Point::Inside,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn seed_repeats_and_every_place_has_its_turn() {
        let guarantee = Guarantee::AtLeastOnce;
        let run = |seed| {
            let mut director = Director::new(seed, guarantee, 1000);
            (0..200).map(|_| director.next(9)).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        let strikes = run(1);
        let kinds: BTreeSet<FrameKind> = strikes
            .iter()
            .flat_map(|strike| &strike.cuts)
            .filter_map(|rule| match rule.at {
                At::Frame { kind, .. } => kind,
                _ => None,
            })
            .collect();
        for kind in BEGINNING.iter().chain(WORKING.iter().map(|(kind, _)| kind)) {
            assert!(kinds.contains(&Director::new(1, guarantee, 1000).said(*kind)), "{kind}");
        }
        assert!(strikes.iter().any(|strike| strike.cuts.iter().any(|rule| matches!(rule.at, At::Byte(_)))));
        assert!(strikes.iter().any(|strike| strike.delay.is_some()));
        assert!(strikes.iter().any(|strike| matches!(strike.away, Some(Away::Refuses(_)))));
        assert!(strikes.iter().any(|strike| matches!(strike.away, Some(Away::Hangs(_)))));
    }

    #[test]
    fn no_more_cuts_than_asked_for() {
        let mut director = Director::new(3, Guarantee::AtMostOnce, 1);
        for most in 1..100 {
            let strike = director.next(most);
            assert!((1..=most).contains(&(strike.cuts.len() as u64)));
        }
    }
}
