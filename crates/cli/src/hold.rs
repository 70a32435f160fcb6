//! Whether a server still has the accounts for itself.

use core::future::pending;
use core::time::Duration;
use std::sync::mpsc::{self, RecvTimeoutError};

use balcony_store::{Store, StoreError};
use tokio::sync::oneshot;

/// How often one looks. The connection to a database server is lost at any moment; what another process does to the accounts then is
/// not seen before.
const EVERY: Duration = Duration::from_secs(5);

/// A thread that looks again and again, since a database client cannot be used from within a runtime. It ends with this.
pub(crate) struct Hold {
    /// Until it has said something.
    lost: Option<oneshot::Receiver<StoreError>>,
    _end: mpsc::Sender<()>,
}

impl Hold {
    /// Looks at a store on a database server. A file is one's own as long as it is open, and nothing but its owner is to close it.
    pub(crate) fn watch(store: Option<Store>) -> Hold {
        let (lose, lost) = oneshot::channel();
        let (end, is_over) = mpsc::channel::<()>();
        let Some(store) = store else { return Hold { lost: None, _end: end } };
        std::thread::spawn(move || {
            while is_over.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                // While the server cannot be reached nothing is known, which has been logged.
                if let Err(error @ StoreError::Superseded) = store.hold() {
                    // Whoever waits may have ended for another reason.
                    let _ = lose.send(error);
                    return;
                }
            }
        });
        Hold { lost: Some(lost), _end: end }
    }

    /// Waits until another process has had the accounts.
    pub(crate) async fn lost(&mut self) -> StoreError {
        if let Some(lost) = &mut self.lost {
            let said = lost.await;
            self.lost = None;
            // If the thread has panicked it says no more.
            if let Ok(error) = said {
                return error;
            }
        }
        pending().await
    }
}
