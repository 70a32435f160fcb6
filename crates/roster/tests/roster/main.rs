//! Rosters and subscriptions against RFC 6121 sections 2 and 3 and appendix A.
// A test has std, and fails by panicking.
#![allow(clippy::unwrap_used, clippy::std_instead_of_alloc)]

mod appendix_a;
mod bounds;
mod consistency;
mod preapproval;
mod removal;
mod requests;
mod sets;
mod versions;
mod world;
mod xml;
