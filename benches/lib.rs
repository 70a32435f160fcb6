//! Criterion benches; each file beside this one is a bench.
