//! In which order candidates are tried: preferences, then what is remembered, then what is best in general
//! (RFC 9622 6.2, RFC 9623 4.1.3).

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::properties::{CapacityProfile, Multipath, Preference, SelectionProperty};
use crate::protocol::{Protocol, ProtocolStack};
use crate::race::ATTEMPT_DELAY;
use crate::selection::addresses::MAX_CHILDREN;
use crate::selection::cache::{Context, Outcome, Place, Way};
use crate::selection::candidates::{CandidateTree, PathBranch, StackBranch};
use crate::selection::capabilities::{Support, is_networked, multipath, support};
use crate::selection::input::{GatherInput, Path};

/// How many leaves a tree has (RFC 9623 12.2).
pub(crate) const MAX_CANDIDATES: usize = 64;

/// The shortest and the longest time that an address runs alone, both as RFC 8305 8 recommends them: with less, a peer
/// that is a little late would be called at all its addresses at once.
const MIN_DELAY: Duration = Duration::from_millis(100);
const MAX_DELAY: Duration = Duration::from_secs(2);

/// Which of two paths is tried first: the greater one. Paths go before protocols, whatever the protocols offer
/// (RFC 9622 6.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PathRank {
    preferred: u8,
    avoided: Reverse<u8>,
    /// Milliseconds there and back, for those who say that delay matters; an unknown time is the longest.
    round_trip: Reverse<u32>,
    preferred_by_default: u8,
    avoided_by_default: Reverse<u8>,
}

/// Which of two stacks over one path is tried first: the greater one. The fields are compared in their order.
///
/// What failed a short time ago goes behind everything but a wish that the application has uttered itself: the
/// preferences by default alone would put it first again and again (RFC 9623 4.1.2 leaves it out altogether).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StackRank {
    preferred: u8,
    failed: Reverse<bool>,
    preferred_by_default: u8,
    avoided: Reverse<u8>,
    avoided_by_default: Reverse<u8>,
    resumable: bool,
    /// Different for each stack, so that there are no ties.
    general: u8,
}

impl CandidateTree {
    /// Sorts paths and stacks, the best first, and cuts what is too much. The same input gives the same order.
    pub(crate) fn rank(&mut self, input: &GatherInput<'_>, context: &Context, now: Instant) {
        for branch in &mut self.paths {
            branch.rank = path_rank(branch, input, context, now);
            for stack in &mut branch.stacks {
                stack.rank = stack_rank(stack, &branch.path, input, context, now);
                stack.delay = delay(stack, &branch.path, input, context, now);
            }
            branch.stacks.sort_by_key(|stack| Reverse(stack.rank));
        }
        self.paths.sort_by_key(|branch| Reverse(branch.rank));
        self.paths.truncate(MAX_CHILDREN);
        self.cut();
    }

    /// Keeps as many leaves as there may be: the first address of every stack before the second of any.
    fn cut(&mut self) {
        let total = self.candidates().count();
        let mut excess = total.saturating_sub(MAX_CANDIDATES);
        while excess > 0 {
            let stacks = self.paths.iter_mut().flat_map(|branch| &mut branch.stacks);
            // Of the longest the last.
            let Some(longest) = stacks.max_by_key(|stack| stack.candidates.len()) else { return };
            longest.candidates.pop();
            excess -= 1;
        }
        for branch in &mut self.paths {
            branch.stacks.retain(|stack| !stack.candidates.is_empty() || !stack.pending.is_empty());
        }
        self.paths.retain(|branch| !branch.stacks.is_empty());
    }
}

fn path_rank(branch: &PathBranch, input: &GatherInput<'_>, context: &Context, now: Instant) -> PathRank {
    let properties = input.properties;
    let mut rank = PathRank::default();
    let info = branch.path.interface();
    let interfaces = properties
        .interfaces()
        .iter()
        .map(|(selector, preference)| (info.is_some_and(|info| info.matches(selector)), *preference));
    let pvds = properties
        .pvds()
        .iter()
        .map(|(selector, preference)| (info.is_some_and(|info| info.is_in(selector)), *preference));
    for (has, preference) in interfaces.chain(pvds) {
        match preference {
            Preference::Prefer if has => rank.preferred += 1,
            Preference::Avoid if has => rank.avoided.0 += 1,
            _ => {}
        }
    }
    let temporary = SelectionProperty::UseTemporaryLocalAddress;
    let wish = properties.preference_in(temporary, input.role);
    let explicit = properties.is_explicit(temporary);
    let has = |kind: bool| info.is_some_and(|info| info.has_temporary(kind));
    match wish {
        Preference::Prefer if has(true) && explicit => rank.preferred += 1,
        Preference::Prefer if has(true) => rank.preferred_by_default += 1,
        // Where there is a stable address, the temporary one is avoided by taking it.
        Preference::Avoid if has(true) && !has(false) && explicit => rank.avoided.0 += 1,
        Preference::Avoid if has(true) && !has(false) => rank.avoided_by_default.0 += 1,
        _ => {}
    }
    rank.round_trip = Reverse(if minds_delay(properties.connection.capacity_profile) {
        round_trip(branch, input, context, now)
            .map_or(u32::MAX, |time| u32::try_from(time.as_millis()).unwrap_or(u32::MAX))
    } else {
        0
    });
    rank
}

/// Whether a path with little delay is better for the traffic (RFC 9623 4.1.3).
fn minds_delay(profile: CapacityProfile) -> bool {
    matches!(profile, CapacityProfile::LowLatencyInteractive | CapacityProfile::LowLatencyNonInteractive)
}

/// The shortest time to one of the peers over a path. Where no transport has measured it, a handshake took no less; and
/// for peers that were never reached, the path itself has a time.
fn round_trip(branch: &PathBranch, input: &GatherInput<'_>, context: &Context, now: Instant) -> Option<Duration> {
    let places = || branch.stacks.iter().flat_map(|stack| places(stack, &branch.path, input));
    let measured = places().filter_map(|place| context.round_trip(&place.way, now)).min();
    let handshakes = || places().filter(|place| shakes_hands(place.stack));
    measured.or_else(|| handshakes().filter_map(|place| context.latency(&place, now)).min()).or_else(|| {
        let way = Way { path: branch.path.key(), host: Arc::default() };
        context.round_trip(&way, now)
    })
}

/// Whether the peer has answered when a connection is established.
fn shakes_hands(stack: ProtocolStack) -> bool {
    !matches!(stack.protocol(), Protocol::Udp | Protocol::UdpLite)
}

fn stack_rank(
    branch: &StackBranch,
    path: &Path,
    input: &GatherInput<'_>,
    context: &Context,
    now: Instant,
) -> StackRank {
    let (stack, properties) = (branch.stack, input.properties);
    let mut rank = StackRank { general: general(stack), ..StackRank::default() };
    // The temporary address is a matter of the path.
    let protocol = |property: &SelectionProperty| *property != SelectionProperty::UseTemporaryLocalAddress;
    for property in SelectionProperty::ALL.into_iter().filter(protocol) {
        let explicit = properties.is_explicit(property);
        // At a path or a name there is one kind of socket, which the peers must agree on: it is a stream unless the
        // application itself says otherwise.
        if !explicit && !is_networked(stack) {
            continue;
        }
        match (properties.preference_in(property, input.role), support(stack, property)) {
            (Preference::Prefer, Support::Always | Support::Optional) => rank.prefer(explicit),
            // What is there only where it is asked for is not asked for.
            (Preference::Avoid, Support::Always) => rank.avoid(explicit),
            _ => {}
        }
    }
    if properties.multipath_in(input.role) != Multipath::Disabled && multipath(stack) != Support::Never {
        rank.prefer(properties.multipath().is_some());
    }
    let failed = |place: Place| context.outcome(&place, now) == Some(Outcome::Failure);
    rank.failed = Reverse(places(branch, path, input).all(failed));
    rank.resumable = places(branch, path, input).any(|place| context.is_resumable(stack, &place.way.host));
    rank
}

/// How long an address runs alone: twice the time that a packet takes there and back, where it is known (RFC 8305 5), and
/// the usual time otherwise; longer where the whole establishment, with TLS and all, was seen to take longer
/// (RFC 9623 4.3.2).
fn delay(branch: &StackBranch, path: &Path, input: &GatherInput<'_>, context: &Context, now: Instant) -> Duration {
    let places = || places(branch, path, input);
    let round_trip = places().filter_map(|place| context.round_trip(&place.way, now)).min();
    let latency = places().filter_map(|place| context.latency(&place, now)).max();
    let usual = round_trip.map_or(ATTEMPT_DELAY, |time| time.saturating_mul(2));
    usual.max(latency.unwrap_or_default()).clamp(MIN_DELAY, MAX_DELAY)
}

/// What the cache knows a stack by toward its targets.
fn places(branch: &StackBranch, path: &Path, input: &GatherInput<'_>) -> impl Iterator<Item = Place> {
    let (path, stack) = (path.key(), branch.stack);
    branch.targets.iter().map(move |target| {
        let target = &input.targets[*target];
        Place { way: Way { path: path.clone(), host: target.host.clone() }, port: target.port, stack }
    })
}

impl StackRank {
    fn prefer(&mut self, explicit: bool) {
        if explicit { self.preferred += 1 } else { self.preferred_by_default += 1 }
    }

    fn avoid(&mut self, explicit: bool) {
        if explicit { self.avoided.0 += 1 } else { self.avoided_by_default.0 += 1 }
    }
}

/// What is better in general, all else being equal.
const fn general(stack: ProtocolStack) -> u8 {
    match stack {
        ProtocolStack::QuicStream => 15,
        ProtocolStack::QuicDatagram => 14,
        ProtocolStack::TlsMptcp => 13,
        ProtocolStack::Tls => 12,
        ProtocolStack::SecureWebSocket => 11,
        ProtocolStack::Mptcp => 10,
        ProtocolStack::Tcp => 9,
        ProtocolStack::WebSocket => 8,
        ProtocolStack::UnixStream => 7,
        ProtocolStack::UnixSeqpacket => 6,
        ProtocolStack::UnixDatagram => 5,
        ProtocolStack::MemoryStream => 4,
        ProtocolStack::MemoryMessage => 3,
        ProtocolStack::Udp => 2,
        ProtocolStack::UdpLite => 1,
        ProtocolStack::NamedPipe => 0,
    }
}

/// ` (preferred 1+0)`; nothing where nothing sets the path apart.
impl fmt::Display for PathRank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let preferred = (self.preferred, self.preferred_by_default);
        let mut parts = wishes(preferred, (self.avoided.0, self.avoided_by_default.0));
        if self.round_trip.0 != 0 && self.round_trip.0 != u32::MAX {
            parts.push(format!("{} ms", self.round_trip.0));
        }
        f.write_str(&listed(&parts))
    }
}

/// ` (preferred 1+2, failed a short time ago, general 12)`: what the application wishes itself, and what it wishes by
/// default.
impl fmt::Display for StackRank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let preferred = (self.preferred, self.preferred_by_default);
        let mut parts = wishes(preferred, (self.avoided.0, self.avoided_by_default.0));
        if self.failed.0 {
            parts.push("failed a short time ago".to_owned());
        }
        if self.resumable {
            parts.push("resumable".to_owned());
        }
        parts.push(format!("general {}", self.general));
        f.write_str(&listed(&parts))
    }
}

fn wishes(preferred: (u8, u8), avoided: (u8, u8)) -> Vec<String> {
    let named = [("preferred", preferred), ("avoided", avoided)];
    let said = named.into_iter().filter(|(_, count)| *count != (0, 0));
    said.map(|(name, (explicit, default))| format!("{name} {explicit}+{default}")).collect()
}

fn listed(parts: &[String]) -> String {
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}
