//! How all TCP sockets are set up, whatever runtime they are on, so that a peer whose network is gone is found out.

use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::net::TcpListener;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// How many connections may wait until they are accepted.
const BACKLOG: i32 = 1024;

/// How long a peer's network may leave what was sent to it unacknowledged. After that the connection is broken: its user is no
/// longer there, and what is sent next goes elsewhere (RFC 6120 section 4.6).
pub const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// A socket that listens. Like those of std and tokio, it can take over the address of one that has just ended.
///
/// # Errors
///
/// Those of the operating system.
pub fn bind(to: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&to.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Sets up a socket that listens as [`prepare`] sets up those that come of it, if the system has them take that over. Whether it does: then they
/// need not be set up one by one.
pub fn prepare_listener<'a>(socket: impl Into<SockRef<'a>>, unacknowledged: Duration) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let socket = socket.into();
        let result = socket.set_tcp_nodelay(true);
        result.and(socket.set_tcp_user_timeout(Some(unacknowledged))).is_ok()
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = (socket, unacknowledged);
        false
    }
}

/// Sets up a socket that is connected: for [`Runtime::connect`](crate::Runtime::connect) and
/// [`Listener::poll_accept`](crate::Listener::poll_accept). Where the system can, it breaks the connection when the peer's network
/// has acknowledged nothing for `unacknowledged`; otherwise it would try for a quarter of an hour. What a system can't do is
/// done without.
pub fn prepare<'a>(socket: impl Into<SockRef<'a>>, unacknowledged: Duration) {
    let socket = socket.into();
    // What is written together leaves together; there is nothing for Nagle's algorithm to wait for.
    #[allow(unused_mut, reason = "not every system has the second")]
    let mut result = socket.set_tcp_nodelay(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        result = result.and(socket.set_tcp_user_timeout(Some(unacknowledged)));
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = unacknowledged;
    if let Err(error) = result {
        tracing::debug!(target: "balcony", "a socket cannot be set up as it should be: {}", crate::reason(&error));
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    // What a listener says to pass on is what a socket that was set up by itself has.
    #[test]
    fn what_is_accepted_is_set_up_as_its_listener() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let unacknowledged = Duration::from_secs(7);
        let passes_on = prepare_listener(&listener, unacknowledged);
        assert_eq!(passes_on, cfg!(any(target_os = "linux", target_os = "android")));
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        prepare(&client, unacknowledged);
        let (accepted, _) = listener.accept().unwrap();
        if passes_on {
            for socket in [SockRef::from(&accepted), SockRef::from(&client)] {
                assert!(socket.tcp_nodelay().unwrap());
                #[cfg(any(target_os = "linux", target_os = "android"))]
                assert_eq!(socket.tcp_user_timeout().unwrap(), Some(unacknowledged));
            }
        }
    }
}
