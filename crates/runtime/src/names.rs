//! The addresses of a name by the operating system, which has threads wait: how many there may be, and for how long anybody waits for
//! one of them.

use core::net::IpAddr;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::net::ToSocketAddrs as _;

use crate::clock::timeout;
use crate::{Runtime, reason};

/// How long anybody waits. The thread may wait for longer, and keeps its place until it is done.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many names this program has looked up at once: the threads that wait are others' as well.
const MOST: usize = 64;

static PLACES: Places = Places(AtomicUsize::new(0));

/// How many threads wait.
struct Places(AtomicUsize);

/// One of them.
struct Place<'a>(&'a Places);

impl Places {
    fn take(&self, most: usize) -> Option<Place<'_>> {
        let more = |count: usize| Some(count + 1).filter(|count| *count <= most);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Place(self))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The addresses of a host.
pub(crate) async fn of_system(runtime: impl Runtime, host: String) -> Result<Vec<IpAddr>, String> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let Some(place) = PLACES.take(MOST) else {
        return Err("too many names are being looked up".into());
    };
    let found = runtime.unblock(move || {
        let found = (host.as_str(), 0).to_socket_addrs();
        drop(place);
        found.map(|found| found.map(|address| address.ip()).collect::<Vec<_>>())
    });
    match timeout(&runtime, PATIENCE, found).await {
        Some(found) => found.and_then(|found| found).map_err(|error| reason(&error)),
        None => Err(format!("no answer within {} seconds", PATIENCE.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A thread that never comes back keeps its place, and there are so many of them.
    #[test]
    fn places_are_bounded_and_given_back() {
        let places = Places(AtomicUsize::new(0));
        let mut taken: Vec<_> = (0..3).map_while(|_| places.take(2)).collect();
        assert_eq!(taken.len(), 2);
        taken.pop();
        assert!(places.take(2).is_some());
    }
}
