//! Scripted peers, frame builders and two engines on one clock, for tests.
