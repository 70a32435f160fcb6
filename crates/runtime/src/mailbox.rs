//! What wakes the task of a server: sockets that have become ready, and messages.

use core::mem;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

/// The way from everybody else to the one task.
pub(crate) struct Mailbox<M> {
    state: Mutex<State<M>>,
}

struct State<M> {
    /// The sockets that have something to do, each once.
    ready: VecDeque<usize>,
    messages: VecDeque<M>,
    /// The hub has something for the task.
    is_called: bool,
    /// The task, while it sleeps.
    task: Option<Waker>,
    /// The task has ended, or has to.
    closed: bool,
}

/// What [`Mailbox::take`] has found beside what it has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The hub has something for the task.
    pub(crate) is_called: bool,
    /// The task has to end.
    pub(crate) is_closed: bool,
}

impl<M> Mailbox<M> {
    pub(crate) fn new() -> Arc<Self> {
        let (ready, messages) = (VecDeque::new(), VecDeque::new());
        let state = State { ready, messages, is_called: false, task: None, closed: false };
        Arc::new(Mailbox { state: Mutex::new(state) })
    }

    /// Leaves a message. If the task has ended it comes back.
    pub(crate) fn send(&self, message: M) -> Result<(), M> {
        let mut state = self.lock();
        if state.closed {
            return Err(message);
        }
        state.messages.push_back(message);
        wake(state);
        Ok(())
    }

    fn socket(&self, key: usize) {
        let mut state = self.lock();
        if !state.closed {
            state.ready.push_back(key);
            wake(state);
        }
    }

    /// The hub has something for the task.
    pub(crate) fn call(&self) {
        let mut state = self.lock();
        state.is_called = true;
        wake(state);
    }

    /// Moves all that has come to the end of these.
    pub(crate) fn take(&self, ready: &mut VecDeque<usize>, messages: &mut VecDeque<M>) -> Taken {
        let mut state = self.lock();
        ready.append(&mut state.ready);
        messages.append(&mut state.messages);
        Taken { is_called: mem::take(&mut state.is_called), is_closed: state.closed }
    }

    /// The task goes to sleep, unless something has come meanwhile.
    pub(crate) fn sleep(&self, task: &Waker) -> bool {
        let mut state = self.lock();
        let is_empty =
            state.ready.is_empty() && state.messages.is_empty() && !state.is_called && !state.closed;
        if is_empty {
            state.task = Some(task.clone());
        }
        is_empty
    }

    /// The task has ended, or does so now: what has not been read goes.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let rest = mem::take(&mut state.messages);
        state.ready = VecDeque::new();
        wake(state);
        // Whoever waits for an answer to one of these learns of it, and may come back at once.
        drop(rest);
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the task if it sleeps, without the lock.
fn wake<M>(mut state: MutexGuard<'_, State<M>>) {
    let task = state.task.take();
    drop(state);
    if let Some(task) = task {
        task.wake();
    }
}

/// The waker of one socket: it puts the socket's key on the list, once.
pub(crate) struct Token<M> {
    key: usize,
    is_listed: AtomicBool,
    mailbox: Arc<Mailbox<M>>,
}

impl<M> Token<M> {
    pub(crate) fn new(key: usize, mailbox: &Arc<Mailbox<M>>) -> Arc<Self> {
        Arc::new(Token { key, is_listed: AtomicBool::new(false), mailbox: Arc::clone(mailbox) })
    }

    /// The task looks after the socket now. What wakes it from here on is news.
    pub(crate) fn unlist(&self) {
        self.is_listed.store(false, Ordering::SeqCst);
    }

    /// Whether the caller is to put the key on the list.
    pub(crate) fn list(&self) -> bool {
        !self.is_listed.swap(true, Ordering::SeqCst)
    }
}

impl<M: Send + 'static> Wake for Token<M> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.list() {
            self.mailbox.socket(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_socket_is_listed_once_and_the_task_is_woken_once() {
        let mailbox = Mailbox::<u8>::new();
        let count = Arc::new(Count::default());
        let task = Waker::from(Arc::clone(&count));
        let (one, other) = (Token::new(1, &mailbox), Token::new(2, &mailbox));
        assert!(mailbox.sleep(&task));
        for token in [&one, &other, &one, &one] {
            token.wake_by_ref();
        }
        mailbox.send(7).unwrap();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(!mailbox.sleep(&task), "there is something to do");
        let (mut ready, mut messages) = (VecDeque::new(), VecDeque::new());
        let taken = mailbox.take(&mut ready, &mut messages);
        assert_eq!(taken, Taken { is_called: false, is_closed: false });
        assert_eq!((ready, messages), (VecDeque::from([1, 2]), VecDeque::from([7])));

        // What comes while the socket is being looked after is not lost.
        one.unlist();
        one.wake_by_ref();
        assert!(!mailbox.sleep(&task));
        mailbox.close();
        assert_eq!(mailbox.send(8), Err(8));
    }

    // A part that is called comes, however often it was and whenever: before it looks for work, and after it has found none.
    #[test]
    fn who_is_called_does_not_sleep() {
        let mailbox = Mailbox::<u8>::new();
        let count = Arc::new(Count::default());
        let task = Waker::from(Arc::clone(&count));
        let take = || mailbox.take(&mut VecDeque::new(), &mut VecDeque::new());
        mailbox.call();
        mailbox.call();
        assert!(!mailbox.sleep(&task));
        assert_eq!(take(), Taken { is_called: true, is_closed: false });
        assert!(mailbox.sleep(&task));
        mailbox.call();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(take().is_called && !take().is_called);
        assert!(mailbox.sleep(&task));
        mailbox.close();
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
        assert!(!mailbox.sleep(&task) && take().is_closed);
    }
}
