//! Accounts that an import has found and left as they are: the first of them by name, all of them as a number. Whoever imports a file
//! again need not read thousands of lines for it.

use indicatif::{HumanCount, ProgressBar};

use crate::output::note;

/// So many are named.
const NAMED: u64 = 10;

/// The accounts that were there already.
#[derive(Default)]
pub(crate) struct Existing {
    count: u64,
}

impl Existing {
    /// Another one. `text` names it.
    pub(crate) fn see(&mut self, progress: &ProgressBar, text: &str) {
        self.count += 1;
        if self.count <= NAMED {
            progress.suspend(|| note(text));
        }
    }

    /// How many there are, with what would have changed them; nothing if there are none.
    pub(crate) fn sum(&self, otherwise: &str) -> Option<String> {
        let above = if self.count <= NAMED { "see" } else { "the first of them" };
        let count = HumanCount(self.count);
        (self.count > 0).then(|| {
            format!("accounts that exist and stay as they were, {above} above: {count} ({otherwise})")
        })
    }
}

/// What an import has come to.
pub(crate) fn sum(done: u64, others: impl IntoIterator<Item = Option<String>>) -> String {
    let done = format!("imported accounts: {}", HumanCount(done));
    core::iter::once(done).chain(others.into_iter().flatten()).collect::<Vec<_>>().join("; ")
}
