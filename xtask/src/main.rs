//! Everything a person or CI runs more than once.
fn main() {}
