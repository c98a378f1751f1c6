//! The command `postroad`.

fn main() {}
