//! What the codec takes for a message and a transfer, and what reading any value takes.

#![allow(missing_docs, reason = "the macros of criterion make functions without")]

use std::hint::black_box;

use benches::codec::{decode_lazily, decode_transfer, encode, encode_transfer, message, read_everything, read_owned};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use postroad_codec::v1_0::{Decode as _, Encode as _, Map, Performative, Reader, Value};

fn messages(criterion: &mut Criterion) {
    let (message, mut out) = (message(), Vec::with_capacity(4096));
    let encoded = message.to_bytes();
    let mut group = criterion.benchmark_group("message");
    group.throughput(Throughput::Bytes(encoded.len() as u64));
    group.bench_function("build and encode", |bencher| {
        bencher.iter(|| encode(&benches::codec::message(), black_box(&mut out)));
    });
    group.bench_function("encode", |bencher| bencher.iter(|| encode(black_box(&message), black_box(&mut out))));
    group.bench_function("decode lazily", |bencher| bencher.iter(|| decode_lazily(black_box(&encoded))));
    group.bench_function("read whole", |bencher| bencher.iter(|| read_everything(black_box(&encoded))));
    group.bench_function("read into owned values", |bencher| bencher.iter(|| read_owned(black_box(&encoded))));
    group.finish();
}

fn transfers(criterion: &mut Criterion) {
    let mut out = Vec::with_capacity(4096);
    encode_transfer(1, &mut out);
    let frame = Bytes::from(out.clone());
    let mut performative = Performative::default();
    let mut group = criterion.benchmark_group("transfer");
    group.bench_function("encode", |bencher| {
        bencher.iter(|| {
            out.clear();
            encode_transfer(black_box(1), black_box(&mut out));
        });
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| decode_transfer(black_box(&frame), black_box(&mut performative)));
    });
    group.finish();
}

fn values(criterion: &mut Criterion) {
    let entries = (0..100_u32).map(|number| (format!("key-{number}"), Value::from(number)));
    let map = Value::Map(entries.collect::<Map>());
    let list = Value::List((0..1000_u32).map(Value::from).collect());
    let mut group = criterion.benchmark_group("value");
    for (name, value) in [("map of 100", map), ("list of 1000", list)] {
        let mut out = Vec::with_capacity(value.encoded_len());
        value.encode(&mut out);
        let encoded = Bytes::from(out.clone());
        group.throughput(Throughput::Bytes(encoded.len() as u64));
        group.bench_function(format!("encode a {name}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                black_box(&value).encode(&mut out);
            });
        });
        group.bench_function(format!("decode a {name}"), |bencher| {
            bencher.iter(|| Value::decode(&mut Reader::new(black_box(&encoded))));
        });
    }
    group.finish();
}

criterion_group!(benches, messages, transfers, values);
criterion_main!(benches);
