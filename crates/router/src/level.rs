//! How much a line of the log matters.

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// For those who look for a fault.
    Debug,
    /// The ordinary course of things.
    Info,
    /// Somebody may want to look into this.
    Warn,
}
