//! Our client against Proton Python as a listening peer: what we send is recorded there, and what it sends
//! is read here.

/// The peer, or a named skip.
macro_rules! proton {
    () => {
        match postroad_tests::peers::proton_python() {
            Ok(proton) => proton,
            Err(skipped) => return skipped.report(),
        }
    };
}

mod endings;
mod links;
mod outcomes;
mod security;
mod time;
mod values;
