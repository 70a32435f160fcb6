//! The randomness of the operating system, from which the program makes the seeds of all machines that it runs.

use balcony_machine::{Random, Seed};

use crate::failure::Failure;

/// A random sequence that begins with what the operating system gives.
pub(crate) fn random() -> Result<Random, Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Failure::new(format!("the operating system gives no randomness: {error}")))?;
    Ok(Seed::new(seed).random())
}
