//! Benches: one per question, and the side-by-side runs against peers.
