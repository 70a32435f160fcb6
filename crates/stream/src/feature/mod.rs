//! What is negotiated on a stream, a module each (RFC 6120 section 4.3.2): how it looks on the wire, seen from both ends, and what
//! can be said of it without knowing the role.
//!
//! | feature | module | roles |
//! |---|---|---|
//! | STARTTLS (RFC 6120 section 5) | `starttls` | client, server, s2s |
//! | SASL (RFC 6120 section 6) | `sasl` | client, server, s2s |
//! | SASL EXTERNAL (XEP-0178) | `external` | s2s |
//! | dialback (XEP-0220) | `dialback` | s2s |
//! | registration (XEP-0077) | `register` | server |

pub(crate) mod dialback;
pub(crate) mod external;
pub(crate) mod register;
pub(crate) mod sasl;
pub(crate) mod starttls;
