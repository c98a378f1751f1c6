//! What reading an address takes: those that the documentation of qpid.messaging shows, each below two microseconds.

#![allow(missing_docs, reason = "the macros of criterion make functions without")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use postroad_address::{Address, Dialect, Role};

const EXAMPLES: [&str; 7] = [
    "my-queue-or-topic",
    "my-queue-or-topic/my-subject",
    "my-queue-or-topic/my-*",
    "my-queue; {create: always}",
    "my-queue; {create: always, node: {durable: True}}",
    "my-queue; {create: always, node: {type: topic}}",
    "my-transient-topic; { assert: always, node: { type: topic, durable: False } }",
];

fn reading(criterion: &mut Criterion) {
    for (name, dialect) in [("python", Dialect::Python), ("cpp", Dialect::Cpp)] {
        let mut group = criterion.benchmark_group(name);
        for text in EXAMPLES {
            group.throughput(Throughput::Bytes(text.len() as u64));
            group.bench_function(text, |bencher| {
                bencher.iter(|| Address::parse_with(dialect, black_box(text)));
            });
        }
        group.finish();
    }
}

fn options(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("options");
    for text in EXAMPLES {
        let address = Address::parse(text).expect("an address");
        group.bench_function(text, |bencher| bencher.iter(|| black_box(&address).validate_for(Role::Receiver)));
    }
    group.finish();
}

fn writing(criterion: &mut Criterion) {
    let address = Address::parse(EXAMPLES[6]).expect("an address");
    criterion.bench_function("writing", |bencher| bencher.iter(|| black_box(&address).to_string()));
}

criterion_group!(benches, reading, options, writing);
criterion_main!(benches);
