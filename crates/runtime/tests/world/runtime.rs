//! What the scenarios need of the runtime that they run on, by the module `kind` of whoever includes them.

use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use balcony_client::{ClientConfig, ConnectError, Endpoint};
use balcony_runtime::{Options, Runtime as _, Server, Timer as _, Transport};
use balcony_server::{Ask, Reply, ServerConfig};

pub(crate) use balcony_runtime::ServerHandle;

use crate::kind::{self, Kind};

pub(crate) type ConnectedClient = balcony_runtime::ConnectedClient<Kind>;

pub(crate) async fn connect(
    config: ClientConfig,
    endpoint: Endpoint,
) -> Result<ConnectedClient, ConnectError> {
    ConnectedClient::connect_on(kind::with(Options::default()), config, endpoint).await
}

/// How the ports begin, in order.
pub(crate) const TRANSPORTS: [Transport; 4] =
    [Transport::Stream, Transport::DirectTls, Transport::WebSocket, Transport::SecureWebSocket];

pub(crate) async fn serve(
    options: Options,
    config: ServerConfig,
    ask: impl Fn(Ask, Reply) + Send + Sync + 'static,
    most: usize,
) -> (ServerHandle, Vec<u16>) {
    let server = Server::builder_on(kind::with(options), config, ask);
    let mut server = server.max_connections(most).threads(kind::THREADS);
    for transport in TRANSPORTS {
        server = server.listen("127.0.0.1:0".parse().unwrap(), transport).unwrap();
    }
    let server = server.start().unwrap();
    let ports = server.local_addrs().iter().map(core::net::SocketAddr::port).collect();
    (server, ports)
}

pub(crate) async fn sleep(length: Duration) {
    let runtime = kind::with(Options::default());
    let (mut timer, until) = (runtime.timer(), runtime.now() + length);
    poll_fn(|cx| timer.poll_until(cx, until)).await;
}

pub(crate) async fn timeout<T>(most: Duration, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut late) = (pin!(future), pin!(sleep(most)));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => late.as_mut().poll(cx).map(|()| None),
    })
    .await
}

pub(crate) async fn both(a: impl Future<Output = ()>, b: impl Future<Output = ()>) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let mut done = [false; 2];
    poll_fn(|cx| {
        done[0] = done[0] || a.as_mut().poll(cx).is_ready();
        done[1] = done[1] || b.as_mut().poll(cx).is_ready();
        if done == [true; 2] { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
