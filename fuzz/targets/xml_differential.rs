//! Any bytes into the XML reader and into `rxml`: both take the same parts of the stream with the same content, and refuse the
//! same, but for the known differences, which stand in a table with the rule that decides each.
#![no_main]

use balcony_fuzz::Cuts;
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/xml/tests/oracle/mod.rs"]
mod oracle;

fuzz_target!(|data: &[u8]| {
    oracle::compare(data);
    assert_eq!(oracle::ours([data]), oracle::ours(Cuts::of(data).pieces(data)), "pieces");
});
