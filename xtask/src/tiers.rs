//! Which crate stands on which tier (docs/architecture.md). Imports only go down.

/// How a crate says that it does without `std`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Std {
    /// `#![no_std]`.
    Never,
    /// `no_std` without its feature `tls`.
    WithTls,
    /// It needs `std`, and says so in its documentation.
    Always,
}

/// A folder under `crates/`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crate {
    /// The folder; the package is `balcony-` and this, or `balcony` alone.
    pub(crate) name: &'static str,
    /// From 0, the vocabulary, to 6, the programs.
    pub(crate) tier: u8,
    /// What it needs.
    pub(crate) std: Std,
}

impl Crate {
    /// The name of its package.
    pub(crate) fn package(&self) -> String {
        if self.name == "balcony" { "balcony".into() } else { format!("balcony-{}", self.name) }
    }
}

/// Up to here everything is sans-IO.
pub(crate) const LAST_PURE_TIER: u8 = 3;

const fn row(name: &'static str, tier: u8, std: Std) -> Crate {
    Crate { name, tier, std }
}

/// The tiers.
pub(crate) const CRATES: &[Crate] = &[
    row("machine", 0, Std::Never),
    row("jid", 1, Std::Never),
    row("xml", 1, Std::Never),
    row("stanza", 1, Std::Never),
    row("sasl", 1, Std::Never),
    row("roster", 1, Std::Never),
    row("xep", 1, Std::Never),
    row("stream", 2, Std::Never),
    row("router", 2, Std::Never),
    row("tls", 2, Std::Always),
    row("connection", 3, Std::WithTls),
    row("client", 3, Std::WithTls),
    row("server", 3, Std::WithTls),
    row("embedded", 4, Std::Never),
    row("runtime", 4, Std::Always),
    row("tokio", 4, Std::Always),
    row("async-io", 4, Std::Always),
    row("store", 4, Std::Always),
    row("web", 4, Std::Always),
    row("balcony", 5, Std::Always),
    row("ffi", 5, Std::Always),
    row("cli", 6, Std::Always),
    // For tests; no crate depends on it but in its tests.
    row("sim", 6, Std::Always),
];

/// The crate of that package name.
pub(crate) fn find(package: &str) -> Option<&'static Crate> {
    let name = package.strip_prefix("balcony-").or((package == "balcony").then_some(package))?;
    CRATES.iter().find(|known| known.name == name)
}
