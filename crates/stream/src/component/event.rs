//! What a component's stream tells and asks.

use alloc::boxed::Box;

use balcony_jid::BareJid;
use balcony_machine::Ticket;
use balcony_stanza::Stanza;

/// What a component's stream tells its owner. XEP-0114 knows no STARTTLS.
#[derive(Debug)]
pub enum ComponentEvent {
    /// Something slow is needed; the stream waits until [`Stream::answer`](crate::Stream::answer) (receiving end only).
    Ask(Ticket, ComponentAsk),
    /// A component is attached to its server: stanzas flow, from and to its domain.
    Attached(BareJid),
    /// The peer sent a stanza. At the server its `from` is in the domain of the component.
    Stanza(Box<Stanza>),
}

/// What a component's stream asks of the server, as it may take long.
#[derive(Debug)]
pub enum ComponentAsk {
    /// Attach this component, which knows its secret? Answer with [`ComponentAnswer::Attached`].
    Attach {
        /// The domain of the component.
        component: BareJid,
    },
}

/// The answer to a [`ComponentAsk`].
#[derive(Debug)]
pub enum ComponentAnswer {
    /// Whether the component is attached; `false` if another stream is it already.
    Attached(bool),
    /// The question can't be answered now.
    Unavailable,
}
