//! What an extension can register, each with the function that the router calls for it. What is registered comes to lie in
//! `tables.rs`.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::{BareJid, Jid};
use balcony_stanza::{IqType, Payload, Stanza, StanzaError};
use balcony_xml::ElementRef;

use super::extensions::{Collection, Kind};
use super::tables::{Key, OwnRequest, PublicRequest, Replay, ServerRequest, Tables, Typed};
use super::{Absent, AccountRef, Claim, Context, Extension, Reply, Request, Server, Slots, Waiting};
use crate::account::Account;
use crate::router::deliver;
use crate::{Content, Document, Effect, Entry, SessionId};

/// Whom a feature or a request is addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressee {
    /// The server itself, by its domain.
    Server,
    /// An account, by its bare JID.
    Account,
}

/// Who may ask an account. To everybody else there is nothing: what they get is what they would get of an account that does not
/// exist, and takes as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Its own clients.
    Owner,
    /// They, and those who see the presence of the account's user.
    Subscribers,
}

/// The tables that an extension fills in.
#[derive(Debug)]
pub struct Registry<'a, X: Extension> {
    pub(super) tables: &'a mut Tables,
    pub(super) typed: &'a Arc<Typed<X>>,
}

/// The documents of one account that an extension keeps.
#[derive(Clone, Copy, Debug)]
pub struct Documents<'a> {
    pub(super) all: &'a [Document],
    pub(super) collections: &'a [&'static str],
}

impl<'a> Documents<'a> {
    /// Those of a collection, by their keys, in any order.
    pub fn of(&self, collection: &str) -> impl Iterator<Item = (&'a str, &'a Content)> {
        let own = self.collections.contains(&collection);
        let all = if own { self.all } else { &[] };
        all.iter()
            .filter(move |document| document.collection == collection)
            .map(|document| (&*document.key, &document.content))
    }
}

/// Why a message may be copied.
#[derive(Clone, Copy, Debug)]
pub enum Copying<'a> {
    /// This client of the account has sent it, to somebody else.
    Sent(SessionId),
    /// These clients of the account get it.
    Received(&'a [SessionId]),
}

/// Copies of a message on their way to clients of one account.
#[derive(Debug)]
pub struct Copies<'a> {
    pub(crate) account: &'a Account,
    pub(crate) effects: &'a mut Vec<Effect>,
}

impl Copies<'_> {
    /// Gives a client of the account a copy. There is none for anybody else.
    pub fn give(&mut self, to: SessionId, copy: Stanza) {
        if self.account.resources().iter().any(|resource| resource.session == to) {
            deliver([to], copy, self.effects);
        }
    }
}

impl<X: Extension> Registry<'_, X> {
    /// Nobody else can have this.
    fn claim(&mut self, claim: Claim) {
        if let Some(claims) = &mut self.tables.claims {
            claims.add(claim, self.typed.index);
        }
    }

    /// By what a request is found that this extension answers.
    fn request(&mut self, of: Addressee, kind: IqType, name: &'static str, namespace: &'static str) -> Key {
        let key = Key { is_set: kind == IqType::Set, name, namespace };
        self.claim(Claim::Request(key.of(of)));
        key
    }

    /// Discovery announces this (XEP-0030).
    pub fn feature(&mut self, of: Addressee, feature: &'static str) {
        self.claim(Claim::Feature(of, feature));
        self.tables.features.push((of, feature));
    }

    /// Answers requests to the server itself, of anybody.
    pub fn server(
        &mut self,
        kind: IqType,
        name: &'static str,
        namespace: &'static str,
        answer: fn(&X, Server<'_>, &Request<'_>) -> Result<Payload, StanzaError>,
    ) {
        let (key, answer) =
            (self.request(Addressee::Server, kind, name, namespace), self.without_account(answer));
        self.tables.server.push((key, answer));
    }

    /// Answers requests of anybody to any account, whether or not it exists; so the answer can't depend on that.
    pub fn every_account(
        &mut self,
        kind: IqType,
        name: &'static str,
        namespace: &'static str,
        answer: fn(&X, Server<'_>, &Request<'_>) -> Result<Payload, StanzaError>,
    ) {
        let (key, answer) =
            (self.request(Addressee::Account, kind, name, namespace), self.without_account(answer));
        self.tables.every_account.push((key, answer));
    }

    fn without_account(
        &self,
        answer: fn(&X, Server<'_>, &Request<'_>) -> Result<Payload, StanzaError>,
    ) -> ServerRequest {
        let typed = Arc::clone(self.typed);
        ServerRequest(Box::new(move |server, request| answer(&typed.x, server, request)))
    }

    /// Answers gets to an account.
    pub fn get(
        &mut self,
        access: Access,
        name: &'static str,
        namespace: &'static str,
        answer: fn(&X, &mut Context<'_, '_, X>, &Request<'_>) -> Reply,
    ) {
        self.account(IqType::Get, access, name, namespace, answer);
    }

    /// Answers sets of an account's own clients.
    pub fn set(
        &mut self,
        name: &'static str,
        namespace: &'static str,
        answer: fn(&X, &mut Context<'_, '_, X>, &Request<'_>) -> Reply,
    ) {
        self.account(IqType::Set, Access::Owner, name, namespace, answer);
    }

    fn account(
        &mut self,
        kind: IqType,
        access: Access,
        name: &'static str,
        namespace: &'static str,
        answer: fn(&X, &mut Context<'_, '_, X>, &Request<'_>) -> Reply,
    ) {
        let typed = Arc::clone(self.typed);
        let run = move |call: &mut super::Call<'_>, request: &Request<'_>| {
            typed.with(call, |x, context| answer(x, context, request))
        };
        let request = OwnRequest { index: self.typed.index, access, run: Box::new(run) };
        let key = self.request(Addressee::Account, kind, name, namespace);
        self.tables.account.push((key, request));
    }

    /// Requests of this namespace that an account's own clients address to their server are about the account, too.
    pub fn at_server_too(&mut self, namespace: &'static str) {
        self.tables.at_server_too.push(namespace);
    }

    /// Answers gets of anybody to an account, from documents of a collection that anybody may read. There are none if the account does
    /// not exist, or has blocked whoever asks; the store is asked in any case, so that nobody can tell that from one who has none.
    pub fn public(
        &mut self,
        name: &'static str,
        namespace: &'static str,
        collection: &'static str,
        answer: fn(&X, &Request<'_>, &Documents<'_>) -> Result<Payload, StanzaError>,
    ) {
        let typed = Arc::clone(self.typed);
        let answer = move |request: &Request<'_>, documents: &[Document]| {
            let documents = Documents { all: documents, collections: &[collection] };
            answer(&typed.x, request, &documents)
        };
        let request = PublicRequest { collection, answer: Box::new(answer) };
        let key = self.request(Addressee::Account, IqType::Get, name, namespace);
        self.tables.public.push((key, request));
    }

    /// Says whether anything passes between an account and an entity: stanzas both ways, and presence. It may depend on what the
    /// extension knows of the account, and is asked only if it knows something. The router asks wherever it makes an audience, and before it gives anything to the account; who is not allowed gets what a stranger gets. When the answer
    /// changes, those whom it concerns see the user come or go. What the account's clients send to such an entity gets the error
    /// `refusal`.
    pub fn allows(
        &mut self,
        allows: fn(&X, AccountRef<'_, X>, &Jid) -> bool,
        refusal: fn(&X) -> StanzaError,
    ) {
        let typed = Arc::clone(self.typed);
        let allows = move |owner: &BareJid, account: &Account, entity: &Jid| {
            allows(&typed.x, AccountRef { owner, account, typed: &typed }, entity)
        };
        let typed = Arc::clone(self.typed);
        let refusal = move || refusal(&typed.x);
        self.tables.add_allows(self.typed.index, Box::new(allows), Box::new(refusal));
    }

    /// Says what becomes of a message to an account of which no client takes it. The first extension, in the order in which they were
    /// added, that does something decides; of the standard ones that is [`Offline`](super::offline::Offline), for all that can be of
    /// use later. It is kept in a log of the extension's own.
    ///
    /// The last argument says whether the message has waited for a client that has not come back (XEP-0198): then the server has said on it
    /// since when (XEP-0203), and whoever keeps it does not have to. Otherwise whatever it says may be anybody's.
    pub fn absent(&mut self, absent: fn(&X, AccountRef<'_, X>, &Stanza, bool) -> Absent) {
        let typed = Arc::clone(self.typed);
        let absent = move |owner: &BareJid, account: &Account, stanza: &Stanza, is_stamped: bool| {
            absent(&typed.x, AccountRef { owner, account, typed: &typed }, stanza, is_stamped)
        };
        self.tables.absent.push((self.typed.index, Box::new(absent)));
    }

    /// Copies messages for other clients of the account; asked if the extension knows anything of one of them.
    pub fn copy(&mut self, copy: fn(&X, AccountRef<'_, X>, Copying<'_>, &Stanza, &mut Copies<'_>)) {
        let typed = Arc::clone(self.typed);
        let copy = move |owner: &BareJid,
                         account: &Account,
                         why: Copying<'_>,
                         stanza: &Stanza,
                         copies: &mut Copies<'_>| {
            copy(&typed.x, AccountRef { owner, account, typed: &typed }, why, stanza, copies);
        };
        self.tables.add_copy(self.typed.index, Box::new(copy));
    }

    /// Says of which message such a copy is one. Then whoever has got the copy has got the message: if nobody else has, nobody gets it
    /// once more. If the copy is lost with the last who was to get either, the message goes its way again. `None` if it is no copy of this
    /// extension's, or not of a message that somebody was sent.
    ///
    /// All copies of such an extension come from the bare address of the account.
    pub fn original(&mut self, original: fn(&Stanza) -> Option<Stanza>) {
        self.tables.originals.push(original);
    }

    /// Does what a client wants at once when it binds its resource (XEP-0386), and announces that it can be wanted. The account may not
    /// be loaded yet: only the state of the client can be changed.
    pub fn bind_inline(
        &mut self,
        name: &'static str,
        namespace: &'static str,
        wanted: fn(&X, &mut Context<'_, '_, X>, ElementRef<'_>),
    ) {
        let typed = Arc::clone(self.typed);
        let run = move |call: &mut super::Call<'_>, element: ElementRef<'_>| {
            typed.with(call, |x, context| wanted(x, context, element));
        };
        self.claim(Claim::Inline(name, namespace));
        self.tables.bind_inline.push(((name, namespace), Box::new(run)));
    }

    /// Announces this among the features of a stream, to clients that have authenticated (RFC 6120 section 4.3.2).
    pub fn stream_feature(&mut self, name: &'static str, namespace: &'static str) {
        self.tables.stream_features.push((name, namespace));
    }

    /// Takes an element that clients send beside stanzas. It is not answered, and not counted (XEP-0198); it takes effect before what the
    /// client sends next. The account may not be loaded yet: only the state of the client can be changed.
    pub fn element(
        &mut self,
        name: &'static str,
        namespace: &'static str,
        sent: fn(&X, &mut Context<'_, '_, X>, ElementRef<'_>),
    ) {
        let typed = Arc::clone(self.typed);
        let run = move |call: &mut super::Call<'_>, element: ElementRef<'_>| {
            typed.with(call, |x, context| sent(x, context, element));
        };
        self.tables.elements.push(((name, namespace), Box::new(run)));
    }

    /// Says whether a stanza that comes for a client goes to it now, or is held until something more urgent comes; of the extensions that
    /// know something of the client the first that does not let it [pass](super::Delivery::Pass) decides. Held is what has been decided: to
    /// its sender it is handled, and it counts against the bounds of the client's session. It goes when an extension says so, when too much
    /// is held ([`Limits::held`](balcony_machine::Limits::held)), and when no extension that holds knows anything of the client any more.
    /// Then messages say since when they have waited (XEP-0203). What is replayed from a log is not held.
    pub fn hold(&mut self, hold: fn(&X, &X::Client, &Stanza) -> super::Delivery) {
        let typed = Arc::clone(self.typed);
        let index = self.typed.index;
        let hold = move |client: &Slots, stanza: &Stanza| {
            hold(&typed.x, client.get(index).unwrap_or(&typed.no_client), stanza)
        };
        self.tables.add_hold(index, Box::new(hold));
    }

    /// Says whether nobody uses a client of which the extension knows something, for whoever looks at the sessions of an account
    /// ([`Router::bound`](crate::Router::bound)). One that says so is enough.
    pub fn inactive(&mut self, is_inactive: fn(&X, &X::Client) -> bool) {
        let typed = Arc::clone(self.typed);
        let index = self.typed.index;
        self.tables.inactive.push(Box::new(move |client: &Slots| {
            client.get(index).is_some_and(|known| is_inactive(&typed.x, known))
        }));
    }

    /// Hears of messages that wait for the account's user: in the session of a client that has lost its connection (XEP-0198), with one that
    /// does not acknowledge them for a quarter of a minute, or in the store (XEP-0160), when they are there durably. Asked if the
    /// extension knows something of the account. The context's [session](Context::session) is the client for which a message waits.
    pub fn waits(&mut self, waits: fn(&X, &mut Context<'_, '_, X>, &Waiting<'_>)) {
        let typed = Arc::clone(self.typed);
        let waits = move |call: &mut super::Call<'_>, waiting: &Waiting<'_>| {
            typed.with(call, |x, context| waits(x, context, waiting));
        };
        self.tables.add_waits(self.typed.index, Box::new(waits));
    }

    /// Is called at the time that the extension has [wanted](Context::wake).
    pub fn woken(&mut self, woken: fn(&X, &mut Context<'_, '_, X>)) {
        let typed = Arc::clone(self.typed);
        let woken = move |call: &mut super::Call<'_>| typed.with(call, woken);
        self.tables.woken.push((self.typed.index, Box::new(woken)));
    }

    /// Changes what is known of a client when it goes on with its session on another stream (XEP-0198 section 5): what was said on the
    /// stream before, and does not hold for this one.
    pub fn resumed(&mut self, resumed: fn(&X, &mut X::Client)) {
        let typed = Arc::clone(self.typed);
        let index = self.typed.index;
        self.tables.resumed.push(Box::new(move |client| {
            if client.get::<X::Client>(index).is_some()
                && let Some(known) = client.get_mut(index)
            {
                resumed(&typed.x, known);
                client.tidy(index, &typed.no_client);
            }
        }));
    }

    /// Tells the account's clients when its state is another after it was loaded again: a change may have been made though its request
    /// has failed, because the store was too slow, or by others. `changed` gets the state before.
    pub fn loaded_again(&mut self, changed: fn(&X, &X::Account, &mut Context<'_, '_, X>)) {
        let typed = Arc::clone(self.typed);
        self.tables.loaded_again.push(Box::new(move |before, call| {
            let before = before.get(typed.index).unwrap_or(&typed.no_account);
            typed.with(call, |x, context| {
                if context.state() != before {
                    changed(x, before, context);
                }
            });
        }));
    }

    /// Keeps what is known of a client while the server is down, for a session that goes on afterwards (XEP-0198). `restore` gets what
    /// `save` has made, perhaps an earlier version of it, and returns `None` if it can't read that: then nothing is known.
    pub fn client_state(&mut self, save: fn(&X::Client) -> Vec<u8>, restore: fn(&[u8]) -> Option<X::Client>) {
        let index = self.typed.index;
        let save = move |slots: &Slots| slots.get(index).map(save);
        let restore = move |state: &[u8], slots: &mut Slots| {
            if let Some(state) = restore(state) {
                slots.set(index, state);
            }
        };
        self.tables.client_states.push((index, Box::new(save), Box::new(restore)));
    }

    /// Has a collection of documents in this version. Those of it that are `loaded` with an account are given to
    /// [`Extension::load`]; others are [read](Context::read) when they are needed. No two extensions may have one of the same name; and
    /// one changes and reads no other than its own.
    pub fn documents(&mut self, name: &'static str, version: u8, loaded: bool) {
        self.keep(name, version, Kind::Documents);
        if loaded {
            self.tables.loaded.push((self.typed.index, name));
        }
    }

    /// Has a log in this version. The same holds for its name. A log grows by [`absent`](Registry::absent) and
    /// [`save`](Context::save), and is read by [`replay`](Registry::replay) alone.
    pub fn log(&mut self, name: &'static str, version: u8) {
        self.keep(name, version, Kind::Log);
    }

    fn keep(&mut self, name: &'static str, version: u8, kind: Kind) {
        self.claim(Claim::Collection(name));
        self.tables.collections.push(Collection { name: Cow::Borrowed(name), version, kind });
        self.tables.keepers.push(self.typed.index);
    }

    /// Has the entries of this log delivered, in order, before any other message, when a client takes messages again; they are deleted
    /// when they have been written. `restore` makes the message of an entry; an entry of which it makes none is passed over. A router
    /// has one such log.
    pub fn replay(&mut self, log: &'static str, restore: fn(&X, &str, &Entry) -> Option<Stanza>) {
        let typed = Arc::clone(self.typed);
        let restore = move |server: &str, entry: &Entry| restore(&typed.x, server, entry);
        self.claim(Claim::Replay);
        self.tables.replay = Some(Replay { log, restore: Box::new(restore) });
    }
}
