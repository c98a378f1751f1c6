//! The tree of candidates: paths, on each the protocol stacks, for each the addresses (RFC 9623 4.1.2).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::endpoint::EndpointAddress;
use crate::properties::{Role, SelectionProperty};
use crate::protocol::ProtocolStack;
use crate::race::ATTEMPT_DELAY;
use crate::selection::addresses::{Derivation, MAX_CHILDREN, interleave, room};
use crate::selection::cache::{Place, Way};
use crate::selection::input::{GatherInput, Path, Reach, Target};
use crate::selection::prune::Switches;
use crate::selection::rank::{PathRank, StackRank};
use crate::selection::rejected::{Rejected, Rejection};

/// All that a connection might be made of, in the order in which it is tried: paths first, on each path the protocol
/// stacks, for each stack the addresses of the peer (RFC 9623 4.1.2).
///
/// Its text shows each node in the notation of RFC 9623 4.1, the stacks with their rank, and behind them what was
/// rejected and why. At most 16 children of a node and 64 candidates in all are kept, whatever a resolver says.
#[derive(Debug, Clone)]
pub struct CandidateTree {
    pub(crate) paths: Vec<PathBranch>,
    pub(super) rejected: Vec<Rejected>,
    /// Host and port of each target.
    pub(super) targets: Vec<(Arc<str>, u16)>,
}

/// One combination of path, protocol stack and address that may carry a connection: a leaf of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub(crate) path: Path,
    pub(crate) stack: ProtocolStack,
    /// Which of the targets it leads to.
    pub(crate) target: usize,
    pub(crate) host: Arc<str>,
    /// The port of the endpoint, by which the cache knows it.
    pub(crate) port: u16,
    /// Where to start from; the system chooses where there is none.
    pub(crate) source: Option<EndpointAddress>,
    pub(crate) address: EndpointAddress,
    pub(crate) switches: Switches,
}

/// What can be tried over one path.
#[derive(Debug, Clone)]
pub(crate) struct PathBranch {
    pub(super) path: Path,
    pub(super) rank: PathRank,
    pub(crate) stacks: Vec<StackBranch>,
}

/// What can be tried with one stack over one path.
#[derive(Debug, Clone)]
pub(crate) struct StackBranch {
    pub(super) stack: ProtocolStack,
    pub(super) rank: StackRank,
    /// How long each address runs alone.
    pub(crate) delay: Duration,
    /// The targets that the stack reaches.
    pub(crate) targets: Vec<usize>,
    /// Those of them of which more addresses will come.
    pub(crate) pending: Vec<usize>,
    pub(crate) candidates: Vec<Candidate>,
    /// There when the candidates are.
    pub(super) derivation: Option<Derivation>,
}

impl CandidateTree {
    /// The candidates in the order of the tree, which is the order of the race where nothing fails.
    pub fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.paths.iter().flat_map(|path| &path.stacks).flat_map(|stack| &stack.candidates)
    }

    /// What was pruned, and why.
    #[must_use]
    pub fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }

    /// Whether nothing is left, and no address is waited for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// The candidate, where there is one and no other will come.
    pub(crate) fn only(&self) -> Option<Candidate> {
        let [PathBranch { stacks, .. }] = &self.paths[..] else { return None };
        let [StackBranch { candidates, pending, .. }] = &stacks[..] else { return None };
        match &candidates[..] {
            [only] if pending.is_empty() => Some(only.clone()),
            _ => None,
        }
    }

    /// The stacks in the order of the tree, each once for each path.
    pub(crate) fn stacks(&self) -> impl Iterator<Item = ProtocolStack> {
        self.paths.iter().flat_map(|path| &path.stacks).map(|stack| stack.stack)
    }

    /// The candidates that new addresses of a target make in a branch.
    pub(crate) fn derive(&self, branch: &StackBranch, target: usize, addresses: &[EndpointAddress]) -> Vec<Candidate> {
        let (host, port) = &self.targets[target];
        branch.derivation.as_ref().map_or_else(Vec::new, |made| made.derive(target, host, *port, addresses))
    }

    pub(super) fn reject(&mut self, path: Option<&Path>, stack: impl Into<Option<ProtocolStack>>, reason: Rejection) {
        let interface = path.and_then(Path::interface).map(|info| info.name.to_string());
        self.rejected.push(Rejected { path: interface, stack: stack.into(), reason });
    }

    /// Adds the leaves: the addresses that are known (RFC 9623 4.1.2). A branch without any is rejected.
    pub(crate) fn add_addresses(&mut self, input: &GatherInput<'_>) {
        for mut branch in std::mem::take(&mut self.paths) {
            branch.stacks.retain_mut(|stack| {
                stack.add_addresses(&branch.path, input);
                let leads = !stack.candidates.is_empty() || !stack.pending.is_empty();
                if !leads {
                    self.reject(Some(&branch.path), stack.stack, Rejection::NoAddress);
                }
                leads
            });
            if !branch.stacks.is_empty() {
                self.paths.push(branch);
            }
        }
    }
}

impl Candidate {
    /// The interface that it is bound to; `None` where the system chooses.
    #[must_use]
    pub fn interface(&self) -> Option<&str> {
        self.path.interface().map(|info| &*info.name)
    }

    /// The protocol stack.
    #[must_use]
    pub fn stack(&self) -> ProtocolStack {
        self.stack
    }

    /// The address to reach, or to stand at.
    #[must_use]
    pub fn address(&self) -> &EndpointAddress {
        &self.address
    }

    /// Where it starts from; `None` where the system chooses.
    #[must_use]
    pub fn source(&self) -> Option<&EndpointAddress> {
        self.source.as_ref()
    }

    /// Whether a connection made of it has the property: this is what is read once it is established
    /// (RFC 9622 6.2). What a stack has only where it is asked for is on where it was required or preferred.
    #[must_use]
    pub fn provides(&self, property: SelectionProperty) -> bool {
        self.switches.is_on(property)
    }

    /// Whether the connection uses, or may use, several paths.
    #[must_use]
    pub fn multipath(&self) -> bool {
        self.switches.multipath
    }

    /// What the cache knows it by.
    pub(crate) fn place(&self) -> Place {
        let way = Way { path: self.path.key(), host: self.host.clone() };
        Place { way, port: self.port, stack: self.stack }
    }

    pub(crate) fn is_ipv6(&self) -> bool {
        self.address.ip().is_some_and(|address| address.is_ipv6())
    }
}

/// Gathers the paths and the stacks that the endpoints allow; nothing is pruned yet, and the addresses are not
/// looked at (RFC 9623 4.1.2).
pub(crate) fn gather(input: &GatherInput<'_>) -> CandidateTree {
    let targets = input.targets.iter().map(|target| (target.host.clone(), target.port)).collect();
    let mut tree = CandidateTree { paths: Vec::new(), rejected: Vec::new(), targets };
    for path in paths(input, &mut tree) {
        let stacks = ProtocolStack::ALL.into_iter().filter(|stack| path.carries(*stack));
        let stacks: Vec<_> = stacks.filter_map(|stack| StackBranch::gather(stack, &path, input)).collect();
        if !stacks.is_empty() {
            tree.paths.push(PathBranch { path, rank: PathRank::default(), stacks });
        }
    }
    tree
}

/// The paths that are branches: each interface where one is better than another, and otherwise the choice of the
/// system, and the interfaces that endpoints name.
fn paths(input: &GatherInput<'_>, tree: &mut CandidateTree) -> Vec<Path> {
    let networked = |target: &&Target| matches!(target.reach, Reach::Ip | Reach::Multicast);
    let mut paths = Vec::new();
    if !input.targets.iter().any(|target| networked(&target)) {
        // Nothing leaves the machine.
    } else if input.chooses_paths() {
        paths.extend(input.paths.iter().cloned().map(Path::Interface));
        if paths.is_empty() {
            tree.reject(None, None, Rejection::NoPath);
        }
    } else {
        let sources = input.sources.iter().map(|source| &source.interface);
        let targets = input.targets.iter().filter(networked).map(|target| &target.interface);
        let free_source = input.sources.is_empty() || sources.clone().any(Option::is_none);
        if free_source && targets.clone().any(Option::is_none) {
            paths.push(Path::Any);
        }
        for id in sources.chain(targets).flatten() {
            match input.paths.iter().find(|info| info.is(id)) {
                Some(info) => {
                    let path = Path::Interface(info.clone());
                    if !paths.contains(&path) {
                        paths.push(path);
                    }
                }
                None => tree.reject(None, None, Rejection::NoInterface(id.clone())),
            }
        }
    }
    if !input.targets.iter().all(|target| networked(&target)) {
        paths.push(Path::Machine);
    }
    paths
}

impl StackBranch {
    /// `None` when no endpoint can be reached in this way.
    fn gather(stack: ProtocolStack, path: &Path, input: &GatherInput<'_>) -> Option<Self> {
        let targets = targets(stack, path, input);
        let rank = StackRank::default();
        let branch = Self {
            stack,
            rank,
            delay: ATTEMPT_DELAY,
            targets,
            pending: Vec::new(),
            candidates: Vec::new(),
            derivation: None,
        };
        (!branch.targets.is_empty()).then_some(branch)
    }

    fn add_addresses(&mut self, path: &Path, input: &GatherInput<'_>) {
        let derivation = self.derivation.insert(Derivation::new(self.stack, path, input));
        let room = room(self.targets.len());
        for index in &self.targets {
            let target = &input.targets[*index];
            let derived = derivation.derive(*index, &target.host, target.port, &target.addresses);
            self.candidates.extend(interleave(derived, None, Candidate::is_ipv6).into_iter().take(room));
            if !target.complete {
                self.pending.push(*index);
            }
        }
        self.candidates.truncate(MAX_CHILDREN);
    }
}

/// The targets of a stack over a path: those that are specific to its protocol, and the generic ones where there are
/// none, for a specific endpoint stands in the place of the generic one (RFC 9622 6.1.3).
fn targets(stack: ProtocolStack, path: &Path, input: &GatherInput<'_>) -> Vec<usize> {
    let indices = (0..input.targets.len()).filter(|index| {
        let target = &input.targets[*index];
        target.allows(stack) && reaches(path, target, input)
    });
    let (specific, generic): (Vec<_>, Vec<_>) = indices.partition(|index| input.targets[*index].protocol.is_some());
    if specific.is_empty() { generic } else { specific }
}

/// Whether a target is tried over a path.
fn reaches(path: &Path, target: &Target, input: &GatherInput<'_>) -> bool {
    match (path, &target.interface) {
        (Path::Machine, _) | (Path::Any, None) => true,
        (Path::Any, Some(_)) => false,
        (Path::Interface(info), Some(id)) => info.is(id),
        // Without a choice of paths an interface is there for those who name it.
        (Path::Interface(info), None) => {
            input.chooses_paths()
                || input.sources.iter().filter_map(|source| source.interface.as_ref()).any(|id| info.is(id))
                || input.role == Role::Listen
        }
    }
}

/// The notation of RFC 9623 4.1: a number for each node, and endpoint, path and protocol in brackets.
impl fmt::Display for CandidateTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let targets: Vec<_> = self.targets.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        writeln!(f, "1 [{}]", targets.join(" or "))?;
        for (path_number, branch) in (1..).zip(&self.paths) {
            let path = &branch.path;
            writeln!(f, "  1.{path_number} [{path}]{}", branch.rank)?;
            for (number, stack) in (1..).zip(&branch.stacks) {
                writeln!(f, "    1.{path_number}.{number} [{path}, {}]{}", stack.stack, stack.rank)?;
                for (leaf, candidate) in (1..).zip(&stack.candidates) {
                    writeln!(f, "      1.{path_number}.{number}.{leaf} {candidate}")?;
                }
                for target in &stack.pending {
                    writeln!(f, "      addresses of {} are not known yet", self.targets[*target].0)?;
                }
            }
        }
        for rejected in &self.rejected {
            writeln!(f, "rejected: {rejected}")?;
        }
        Ok(())
    }
}

/// `[192.0.2.1:443, any path, tls/tcp]`.
impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, path, stack, .. } = self;
        write!(f, "[{address}, {path}, {stack}")?;
        if let Some(source) = &self.source {
            write!(f, ", from {source}")?;
        }
        f.write_str("]")
    }
}
