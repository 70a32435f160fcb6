//! Nothing but tests: see `tests/get.rs`.
