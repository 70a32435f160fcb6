//! How bytes come to the server and back: what a board has to bring.

use core::error::Error;
use core::future::{Future, ready};

use balcony_stream::Security;
use embedded_io_async::{Read, Write};

/// A way to the server: a socket, a serial line, a radio. It is opened again and again, as connections come and go.
///
/// Its futures may be dropped before they are done, when something else is due or its owner has something else to do. The halves are read,
/// written and flushed at the same time, so that **each has to be cancel-safe**: of a future that is dropped nothing has been read or
/// written. That is so for what stands on a buffer in memory (the buffered UARTs and the sockets of embassy), and is not so for DMA
/// from and to the caller's buffer, nor for `embedded-tls`, whose records would be torn.
pub trait Link {
    /// Why it could not be opened.
    type Error: Error;

    /// Opens it anew; what is left of the time before is gone. It has 30 seconds. A link with TLS from its first byte (XEP-0368), for which the
    /// configuration says [`Direct`](balcony_stream::TlsPolicy::Direct), says what that is worth; any other says `None`.
    ///
    /// If it is dropped before that, it is called again: it goes on with what it has begun, or begins anew. An owner that
    /// drops [`next`](crate::Client::next) more often than opening takes needs the former.
    fn open(&mut self) -> impl Future<Output = Result<Option<Security>, Self::Error>>;

    /// Its two halves, once it is open. A read of no bytes is its end; a write of none is a mistake, and ends it too.
    fn split(&mut self) -> (impl Read, impl Write);

    /// Puts TLS on what is open (STARTTLS, RFC 6120 section 5), and says what that is worth; `None`, as it is unless written otherwise, where there is no TLS.
    /// It is only called where the configuration says [`Required`](balcony_stream::TlsPolicy::Required) or
    /// [`Optional`](balcony_stream::TlsPolicy::Optional). If it is dropped it is called again, as [`open`](Link::open) is.
    fn start_tls(&mut self) -> impl Future<Output = Result<Option<Security>, Self::Error>> {
        ready(Ok(None))
    }

    /// Lets it go, whether it is open or about to be. What was written and flushed may still be under way, and goes on its way.
    fn close(&mut self);
}
