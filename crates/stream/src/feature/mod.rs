//! What is negotiated on a stream, a module each (RFC 6120 section 4.3.2): how the feature is offered, asked for and granted on
//! the wire, both ends beside each other. They keep nothing, but for what stream management counts; when each of them comes is up
//! to the roles.
//!
//! | feature | module | roles |
//! |---|---|---|
//! | STARTTLS (RFC 6120 section 5) | `starttls` | client, server, s2s |
//! | SASL (RFC 6120 section 6) | `sasl` | client, server, s2s |
//! | SASL EXTERNAL (XEP-0178) | `external` | s2s |
//! | types of channel binding (XEP-0440) | `channel_binding` | client, server |
//! | SASL2 (XEP-0388) | `sasl2` | client, server |
//! | tokens (XEP-0484), inside of SASL2 | `fast` | client, server |
//! | a login that begins with the stream (XEP-0509) | `iap` | client, server |
//! | keys for other hashes (XEP-0480), inside of SASL2 | `upgrade` | client, server |
//! | resource binding (RFC 6120 section 7) | `bind` | client, server |
//! | Bind 2 (XEP-0386), inside of SASL2 | `bind2` | client, server |
//! | registration (XEP-0077) | `register` | server |
//! | stream management (XEP-0198) | `sm` | client, server |
//! | client state indication (XEP-0352), and what else is only announced | `announced` | client, server |
//! | dialback (XEP-0220) | `dialback` | s2s |

pub(crate) mod announced;
pub(crate) mod bind;
pub(crate) mod bind2;
pub(crate) mod channel_binding;
pub(crate) mod dialback;
pub(crate) mod external;
pub(crate) mod fast;
pub(crate) mod iap;
pub(crate) mod register;
pub(crate) mod sasl;
pub(crate) mod sasl2;
pub(crate) mod sm;
pub(crate) mod starttls;
pub(crate) mod upgrade;
