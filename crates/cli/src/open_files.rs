//! How many files the process may have open: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files besides connections: the store, listeners, the runtime.
const SPARE: u64 = 100;

/// Makes room for so many connections, as far as the system lets this process. Many systems start programs with room for
/// 1,024 files and let them ask for more. Where they do not, it is logged, with what can be done `otherwise`.
pub(crate) fn make_room(connections: u64, otherwise: &str) {
    let wanted = connections.saturating_add(SPARE);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // `None` is no limit.
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let possible = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let is_raised = setrlimit(Resource::Nofile, Rlimit { current: Some(possible), maximum }).is_ok();
    let room = if is_raised { possible } else { current.unwrap_or(possible) };
    if room < wanted {
        tracing::warn!(
            target: "balcony",
            "the system lets this process open {room} files, so fewer than {connections} connections fit: raise the limit \
             (`ulimit -n`, or LimitNOFILE of systemd), or {otherwise}"
        );
    }
}
