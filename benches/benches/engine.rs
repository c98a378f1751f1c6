//! What two engines take for a message: sent, received, accepted and settled, without a transport.

#![allow(missing_docs, reason = "the macros of criterion make functions without")]

use benches::engine::Engines;
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Messages of one iteration.
const COUNT: u64 = 1000;

fn exchanges(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("exchange");
    group.throughput(Throughput::Elements(COUNT));
    for (name, size) in [("100 B", 100), ("1 KiB", 1024), ("64 KiB", 65_536)] {
        let mut engines = Engines::new(Bytes::from(vec![b'x'; size]), 500);
        group.bench_function(name, |bencher| bencher.iter(|| engines.exchange(COUNT)));
    }
    group.finish();
}

criterion_group!(benches, exchanges);
criterion_main!(benches);
