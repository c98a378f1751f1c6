//! What the application rules out: Prohibit, then Require (RFC 9622 6.2, RFC 9623 4.1.3).

use crate::properties::{Multipath, Preference, SelectionProperty};
use crate::protocol::{Protocol, ProtocolStack};
use crate::selection::candidates::CandidateTree;
use crate::selection::capabilities::{Support, may_duplicate, multipath, support};
use crate::selection::input::{GatherInput, Path, PathInfo};
use crate::selection::rejected::Rejection;

impl CandidateTree {
    /// Removes what a requirement or a prohibition rules out, and what security does not allow.
    pub(crate) fn prune(&mut self, input: &GatherInput<'_>) {
        for mut branch in std::mem::take(&mut self.paths) {
            if let Some(reason) = path_reason(&branch.path, input) {
                self.reject(Some(&branch.path), None, reason);
                continue;
            }
            branch.stacks.retain(|stack| {
                let Some(reason) = stack_reason(stack.stack, input) else { return true };
                self.reject(Some(&branch.path), stack.stack, reason);
                false
            });
            if !branch.stacks.is_empty() {
                self.paths.push(branch);
            }
        }
    }
}

/// Why a path cannot be taken, if it cannot.
fn path_reason(path: &Path, input: &GatherInput<'_>) -> Option<Rejection> {
    let properties = input.properties;
    let info = path.interface();
    [Preference::Prohibit, Preference::Require].into_iter().find_map(|wanted| {
        let unwanted = |has: bool| has != (wanted == Preference::Require);
        let interface = properties.interfaces().iter().find(|(selector, preference)| {
            *preference == wanted && unwanted(info.is_some_and(|info| info.matches(selector)))
        });
        let pvd = properties.pvds().iter().find(|(selector, preference)| {
            *preference == wanted && unwanted(info.is_some_and(|info| info.is_in(selector)))
        });
        let interface = interface.map(|(interface, _)| Rejection::Interface { interface: interface.clone(), wanted });
        interface
            .or_else(|| pvd.map(|(pvd, _)| Rejection::Pvd { pvd: pvd.clone(), wanted }))
            .or_else(|| temporary_reason(info?, wanted, input))
    })
}

/// Whether an interface has an address of the kind that is asked for.
fn temporary_reason(info: &PathInfo, wanted: Preference, input: &GatherInput<'_>) -> Option<Rejection> {
    let property = SelectionProperty::UseTemporaryLocalAddress;
    let asked = input.properties.preference_in(property, input.role) == wanted;
    let required = wanted == Preference::Require;
    (asked && !info.has_temporary(required)).then_some(Rejection::Property {
        property,
        wanted,
        has: if required { Support::Never } else { Support::Always },
    })
}

/// Why a stack cannot be used, if it cannot. Security comes first: what is not equivalent is never compared
/// (RFC 9621 3.3).
fn stack_reason(stack: ProtocolStack, input: &GatherInput<'_>) -> Option<Rejection> {
    if !input.built.contains(stack) {
        return Some(Rejection::not_built(stack));
    }
    let quic = stack.protocol() == Protocol::Quic;
    let specific = |protocol| input.targets.iter().any(|target| target.protocol == Some(protocol));
    match (input.secure, stack.is_secure()) {
        (true, false) => return Some(Rejection::Clear),
        (true, true) if quic && !input.application_protocol && !specific(Protocol::Quic) => {
            return Some(Rejection::NoApplicationProtocol);
        }
        // QUIC can be asked for by its name alone, where nothing in clear text stands beside it.
        (false, true) if !(quic && input.targets.iter().all(|target| target.protocol == Some(Protocol::Quic))) => {
            return Some(Rejection::Encrypted);
        }
        _ => {}
    }
    // MPTCP with one path is TCP, which is a stack of its own (RFC 9622 6.2.14).
    let disabled = input.properties.multipath_in(input.role) == Multipath::Disabled;
    if disabled && multipath(stack) == Support::Always {
        return Some(Rejection::Multipath);
    }
    if may_duplicate(stack) && !input.properties.safely_replayable() {
        return Some(Rejection::NotReplayable);
    }
    [Preference::Prohibit, Preference::Require].into_iter().find_map(|wanted| {
        SelectionProperty::ALL.into_iter().find_map(|property| {
            let asked = input.properties.preference_in(property, input.role) == wanted;
            let has = support(stack, property);
            (asked && violates(property, wanted, has, input)).then_some(Rejection::Property { property, wanted, has })
        })
    })
}

/// Whether what a stack has is not what is demanded. What it has where it is asked for can always be had, or not.
fn violates(property: SelectionProperty, wanted: Preference, has: Support, input: &GatherInput<'_>) -> bool {
    // A framer keeps the boundaries where the transport does not. A prohibition is about the transport alone, so that
    // it may force one without boundaries under a framer.
    let framed = property == SelectionProperty::PreserveMsgBoundaries && input.framed;
    match wanted {
        Preference::Prohibit => has == Support::Always,
        Preference::Require => has == Support::Never && !framed,
        Preference::Avoid | Preference::Ignore | Preference::Prefer => false,
    }
}

/// Which properties a candidate has once it is established: what the stack always has, and what it has where it is
/// asked for and was required or preferred.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Switches {
    on: u32,
    pub(crate) multipath: bool,
}

impl Switches {
    pub(super) fn of(stack: ProtocolStack, path: &Path, input: &GatherInput<'_>) -> Self {
        let mut switches = Self {
            on: 0,
            multipath: multipath(stack) != Support::Never
                && input.properties.multipath_in(input.role) != Multipath::Disabled,
        };
        for property in SelectionProperty::ALL {
            let wanted = input.properties.preference_in(property, input.role) > Preference::Ignore;
            let on = match (property, support(stack, property)) {
                // It hangs on the address in the end, and where the path is known on what that has.
                (SelectionProperty::UseTemporaryLocalAddress, Support::Optional) => {
                    wanted && path.interface().is_some_and(|info| info.has_temporary(true))
                }
                (_, Support::Always) => true,
                (_, Support::Optional) => wanted,
                (_, Support::Never) => false,
            };
            switches.on |= u32::from(on) << property as u32;
        }
        switches
    }

    pub(crate) fn is_on(self, property: SelectionProperty) -> bool {
        self.on & 1 << property as u32 != 0
    }
}
