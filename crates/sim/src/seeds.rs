//! The seeds that a test goes through.

/// Has a history happen for each of some seeds, one after the other: `first` those that have found something once, then those that a
/// variable of the environment names, such as `0..10000`, or `0..otherwise` if it is not set. If one panics its seed is printed, with which it
/// happens again.
///
/// ```
/// balcony_sim::for_each_seed("MY_TEST", &[916], 24, |seed| assert_ne!(seed, 1_000));
/// ```
///
/// # Panics
///
/// If the variable is set and names no range, and if a history panics.
#[allow(clippy::disallowed_methods, reason = "whoever runs it may name other seeds")]
pub fn for_each_seed(variable: &str, first: &[u64], otherwise: u64, mut history: impl FnMut(u64)) {
    let named = std::env::var(variable).ok();
    let range = named.as_deref().map_or(Some((0, otherwise)), |named| {
        let (from, to) = named.split_once("..")?;
        Some((from.parse().ok()?, to.parse().ok()?))
    });
    let (from, to) = range.unwrap_or_else(|| panic!("{variable} is to name a range of seeds, such as 0..24"));
    for seed in first.iter().copied().chain(from..to) {
        let _named = Named(seed);
        history(seed);
    }
}

/// Says which seed it was if its history fails.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed is {}", self.0);
        }
    }
}
