//! Parsing addresses: `balcony-jid` beside the `jid` package, which follows RFC 6122.
#![allow(missing_docs)]

use core::hint::black_box;

use balcony_jid::{Jid, JidRef};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

fn parse(c: &mut Criterion) {
    let long = format!("{}@{}.example.com/{}", "l".repeat(200), "d".repeat(60), "R".repeat(700));
    let inputs = [
        ("bare", "juliet@example.com"),
        ("full", "juliet@im.example.com/balcony-7f3a1c"),
        ("upper case", "Juliet@IM.Example.COM/Balcony"),
        ("long", &long),
        ("unicode", "fr\u{e9}d\u{e9}ric@b\u{fc}cher.example/\u{3c0}\u{3bf}\u{3b9}\u{3cc}"),
        ("unicode resource", "room@muc.example.com/caf\u{e9} \u{43c}\u{438}\u{440}"),
        ("invalid", "juliet montague@example.com/balcony"),
        ("invalid unicode", "henry\u{2163}@example.com/balcony"),
    ];
    let mut group = c.benchmark_group("jid/parse");
    for (name, text) in inputs {
        group.bench_with_input(BenchmarkId::new("balcony", name), text, |b, text| {
            b.iter(|| Jid::parse(black_box(text)));
        });
        group.bench_with_input(BenchmarkId::new("balcony borrowed", name), text, |b, text| {
            b.iter(|| JidRef::parse(black_box(text)));
        });
        group.bench_with_input(BenchmarkId::new("jid", name), text, |b, text| {
            b.iter(|| jid::Jid::new(black_box(text)));
        });
    }
    group.finish();
}

/// What a server does with each stanza: the bare address of a full one.
fn to_bare(c: &mut Criterion) {
    let text = "juliet@im.example.com/balcony-7f3a1c";
    let mut group = c.benchmark_group("jid/to_bare");
    let ours = Jid::parse(text).expect("a valid address");
    group.bench_function("balcony", |b| b.iter(|| black_box(&ours).to_bare()));
    let theirs = jid::Jid::new(text).expect("a valid address");
    group.bench_function("jid", |b| b.iter(|| black_box(&theirs).to_bare()));
    group.finish();
}

criterion_group!(benches, parse, to_bare);
criterion_main!(benches);
