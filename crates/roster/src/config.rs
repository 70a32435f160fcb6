//! The bounds of a roster, and the choices that RFC 6121 leaves to a server. Each field says what becomes of that which is too
//! much.

/// The bounds of a roster, and which of the choices that RFC 6121 leaves open it takes. Lengths are octets of UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RosterConfig {
    /// Items; past it a new one is refused with `resource-constraint`.
    pub items: usize,
    /// The lengths of all addresses, names and groups together; past it what would add to them is refused with
    /// `resource-constraint`.
    pub bytes: usize,
    /// The length of an item's name; past it the set is refused with `not-acceptable`.
    pub name: usize,
    /// Groups of one item; past it the set is refused with `not-acceptable`.
    pub groups: usize,
    /// The length of a group's name; past it the set is refused with `not-acceptable`.
    pub group: usize,
    /// Subscription requests that wait for the user; past it a new one is ignored, as if it had been lost.
    pub requests: usize,
    /// The length of one such request: payload, id and language. A longer one is ignored.
    pub request: usize,
    /// Changes that a client may have missed without having to load the whole roster again (section 2.6).
    pub changes: usize,
    /// Whether a user may approve a request before it comes (section 3.4). The server then announces it.
    pub pre_approval: bool,
}

impl Default for RosterConfig {
    fn default() -> Self {
        RosterConfig {
            items: 1_000,
            bytes: 1 << 20,
            name: 256,
            groups: 32,
            group: 256,
            requests: 100,
            request: 4_096,
            changes: 256,
            pre_approval: true,
        }
    }
}
