//! Which runtime it is.

#[cfg(any(feature = "tokio", feature = "smol", feature = "async-std"))]
mod usual {
    use core::future::{pending, poll_fn};
    use core::time::Duration;

    #[cfg(all(not(feature = "tokio"), not(feature = "smol"), feature = "async-std"))]
    use async_std::task::block_on as run;
    #[cfg(all(not(feature = "tokio"), feature = "smol"))]
    use smol::block_on as run;

    use balcony_runtime::{Runtime as _, Timer as _};

    /// The runtime that is used unless another one is named: tokio where the feature is on, otherwise smol, otherwise async-std.
    #[cfg(feature = "tokio")]
    pub type DefaultRuntime = balcony_tokio::Tokio;
    /// The runtime that is used unless another one is named: tokio where the feature is on, otherwise smol, otherwise async-std.
    #[cfg(not(feature = "tokio"))]
    pub type DefaultRuntime = balcony_async_io::AsyncIo;

    pub(crate) fn usual() -> DefaultRuntime {
        #[cfg(feature = "tokio")]
        return balcony_tokio::Tokio::default();
        #[cfg(all(not(feature = "tokio"), feature = "smol"))]
        return balcony_async_io::AsyncIo::smol();
        #[cfg(all(not(feature = "tokio"), not(feature = "smol")))]
        balcony_async_io::AsyncIo::async_std()
    }

    /// Runs a program on the [`DefaultRuntime`], for those who need nothing else of it.
    ///
    /// What it has started ends with it: [close](crate::Client::close) a client before, so that the server learns of it.
    ///
    /// # Panics
    ///
    /// If the operating system has not what a runtime needs.
    pub fn block_on<F: Future>(program: F) -> F::Output {
        #[cfg(feature = "tokio")]
        {
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(program),
                Err(error) => panic!("the runtime cannot start: {error}"),
            }
        }
        #[cfg(not(feature = "tokio"))]
        run(program)
    }

    /// Runs something beside the program, on the [`DefaultRuntime`], for those who need nothing else of it. It goes on until it is done, or until
    /// [`block_on`] has returned.
    ///
    /// ```no_run
    /// use balcony::prelude::*;
    /// use core::time::Duration;
    ///
    /// fn main() -> Result<(), Error> {
    ///     block_on(async {
    ///         let mut client = Client::from_env().start().await?;
    ///         let (sender, juliet) = (client.sender(), "juliet@example.com".parse::<Jid>()?);
    ///         balcony::spawn(async move {
    ///             // Until the client has ended.
    ///             while sender.send(Message::chat(juliet.clone()).body("All is well")).await.is_ok() {
    ///                 balcony::sleep(Duration::from_secs(3_600)).await;
    ///             }
    ///         });
    ///         while client.next().await?.is_some() {}
    ///         Ok(())
    ///     })
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// With some runtimes, such as tokio, if it is called outside of them.
    pub fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        usual().spawn(Box::pin(task));
    }

    /// Waits for so long, by the clock of the [`DefaultRuntime`].
    ///
    /// # Panics
    ///
    /// As [`spawn`].
    pub async fn sleep(length: Duration) {
        let runtime = usual();
        // What no clock reaches is waited for for ever.
        let Some(until) = runtime.now().checked_add(length) else { return pending().await };
        let mut timer = runtime.timer();
        poll_fn(|cx| timer.poll_until(cx, until)).await;
    }
}

#[cfg(any(feature = "tokio", feature = "smol", feature = "async-std"))]
#[allow(unused_imports, reason = "without client and server nothing runs")]
pub(crate) use usual::usual;
#[cfg(any(feature = "tokio", feature = "smol", feature = "async-std"))]
pub use usual::{DefaultRuntime, block_on, sleep, spawn};

/// Where the runtimes do not stand: one has to be named.
#[cfg(not(any(feature = "tokio", feature = "smol", feature = "async-std")))]
mod none {
    /// There is no runtime: name one, or do without (`ClientBuilder::device`).
    #[derive(Clone, Copy, Debug)]
    pub struct DefaultRuntime(());

    #[cfg_attr(not(feature = "client"), allow(dead_code, reason = "nothing runs"))]
    pub(crate) fn usual() -> DefaultRuntime {
        DefaultRuntime(())
    }
}
#[cfg(not(any(feature = "tokio", feature = "smol", feature = "async-std")))]
pub use none::DefaultRuntime;
#[cfg(not(any(feature = "tokio", feature = "smol", feature = "async-std")))]
#[allow(unused_imports, reason = "without a client nothing runs")]
pub(crate) use none::usual;

/// smol, to be [named](crate::ClientBuilder::on) where another runtime is the usual one.
#[cfg(feature = "smol")]
#[must_use]
pub fn on_smol() -> balcony_async_io::AsyncIo {
    balcony_async_io::AsyncIo::smol()
}

/// async-std, to be [named](crate::ClientBuilder::on) where another runtime is the usual one.
#[cfg(feature = "async-std")]
#[must_use]
pub fn on_async_std() -> balcony_async_io::AsyncIo {
    balcony_async_io::AsyncIo::async_std()
}
