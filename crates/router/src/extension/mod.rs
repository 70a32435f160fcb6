//! Extensions: what a server does beyond RFC 6120 and 6121, a module each.
//!
//! An [`Extension`] registers functions, and that is all that it declares: what discovery announces, which requests are answered and
//! who may send them, what is loaded with an account and where a stanza is looked at all come from the [`Registry`]. Leave the
//! extension out of [`Extensions`] and all of that is gone; what it keeps stays in the store, hidden, until it is back.
//!
//! The router knows no extension by name. A function gets one account and what all accounts share, never the router, so nothing that
//! an extension does can reach into another account.
//!
//! | kind | what it is asked |
//! |---|---|
//! | [`server`](Registry::server) | a request to the server itself |
//! | [`get`](Registry::get), [`set`](Registry::set) | a request to an account |
//! | [`every_account`](Registry::every_account) | a request to any account, whose answer does not depend on it |
//! | [`public`](Registry::public) | a request to any account for what anybody may read |
//! | [`allows`](Registry::allows) | whether anything passes between an account and an entity |
//! | [`absent`](Registry::absent) | what becomes of a message that nobody takes |
//! | [`replay`](Registry::replay) | what a kept message is when somebody takes messages again |
//! | [`copy`](Registry::copy) | who gets a copy of a message |
//! | [`original`](Registry::original) | of which message something is a copy |
//! | [`bind_inline`](Registry::bind_inline) | what a client wants at once when it binds its resource |
//! | [`element`](Registry::element) | what a client says beside stanzas |
//! | [`hold`](Registry::hold) | whether what comes for a client goes to it now |
//! | [`inactive`](Registry::inactive) | whether nobody uses a client |
//! | [`waits`](Registry::waits) | what waits for the account's user |
//! | [`woken`](Registry::woken) | what it wanted to do now |
//! | [`resumed`](Registry::resumed) | what is still known of a client whose session goes on |

use core::fmt;

mod account_ref;
mod call;
mod clash;
mod context;
mod extensions;
mod matters;
mod orders;
mod registry;
mod reply;
mod slots;
mod tables;

pub mod blocking;
pub mod carbons;
pub mod csi;
pub mod disco;
pub mod last;
pub mod offline;
pub mod ping;
pub mod private;
pub mod push;
pub mod registration;
pub mod session;
pub mod vcard;
pub mod version;

// A new module has its line above and its line here.
impl Extensions {
    /// Those that a server has if nobody says otherwise.
    #[must_use]
    pub fn standard() -> Builder {
        Extensions::builder()
            .with(disco::Disco)
            .with(ping::Ping)
            .with(version::Version)
            .with(session::Session)
            .with(blocking::Blocking::default())
            .with(carbons::Carbons)
            .with(registration::Registration)
            .with(offline::Offline::default())
            .with(last::Last)
            .with(private::Private::default())
            .with(vcard::Vcard::default())
            .with(csi::Csi::default())
            .with(push::Push::default())
    }
}

pub use account_ref::{AccountRef, Client};
pub use clash::{Claim, Clash};
pub use context::{Context, Server};
pub use extensions::{Asked, Builder, Collection, Extensions, Kind};
pub use orders::{Response, Waiting};
pub use registry::{Access, Addressee, Copies, Copying, Documents, Registry};
pub use reply::{Absent, Delivery, Edit, Hold, Reply, Request};

pub(crate) use call::Call;
pub(crate) use orders::{Order, Respond, What};
pub(crate) use reply::{Later, Then, Todo};
pub(crate) use slots::{Slots, bit};
pub(crate) use tables::{Found, Tables};

/// Something that a server does for its accounts beyond the core of XMPP: see the [module](self).
///
/// The value itself is configuration and does not change. What changes is the state of an account or of a client, which the router
/// owns and hands out through a [`Context`]; as long as it equals its default it takes no memory.
pub trait Extension: Sized + Send + Sync + 'static {
    /// What it is called: a word in lower case, by which it is left out or replaced. Collections begin with it, too, by custom.
    const NAME: &'static str;

    /// What it knows of an account that is loaded.
    type Account: Default + PartialEq + fmt::Debug + Send + Sync + 'static;

    /// What it knows of a connected client.
    type Client: Default + PartialEq + fmt::Debug + Send + Sync + 'static;

    /// Makes the account's state of the documents that are kept of it. It depends on nothing else: it is called each time an account is
    /// loaded, and again when it is not known whether a change was made. If no collection is loaded it is not called.
    ///
    /// # Errors
    ///
    /// [`Damaged`] if a document can't be read. The account can't be used then, and its clients are told so.
    fn load(&self, documents: &Documents<'_>) -> Result<Self::Account, Damaged> {
        let _ = documents;
        Ok(Self::Account::default())
    }

    /// Names its functions.
    fn register(&self, registry: &mut Registry<'_, Self>);
}

/// A document has not the form that its version says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document is damaged")
    }
}

impl core::error::Error for Damaged {}
