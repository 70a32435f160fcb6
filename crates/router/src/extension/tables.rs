//! All that extensions have registered, in the form in which the router looks it up, without the extensions' types.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use balcony_jid::{BareJid, Jid};
use balcony_stanza::{IqType, Payload, Stanza, StanzaError};
use balcony_xml::ElementRef;

use super::clash::Claims;
use super::extensions::{Asked, Collection, Kind};
use super::slots::bit;
use super::{
    Absent, Access, Addressee, Call, Context, Copies, Copying, Damaged, Delivery, Edit, Extension, Reply,
    Request, Server, Slots, Waiting,
};
use crate::account::Account;
use crate::{Append, Collections, Document, Entry, LogEdit};

/// An extension, its place, and the states of those of whom it knows nothing.
#[derive(Debug)]
pub(crate) struct Typed<X: Extension> {
    pub(super) x: X,
    pub(super) index: u8,
    pub(super) no_account: X::Account,
    pub(super) no_client: X::Client,
}

impl<X: Extension> Typed<X> {
    /// Runs a function of the extension. States that are the default afterwards are given back.
    pub(super) fn with<R>(
        self: &Arc<Self>,
        call: &mut Call<'_>,
        run: impl FnOnce(&X, &mut Context<'_, '_, X>) -> R,
    ) -> R {
        let result = run(&self.x, &mut Context { call, typed: self });
        if let Some(known) = call.account.known_mut() {
            known.slots.tidy(self.index, &self.no_account);
        }
        if let Some(client) = call.session.and_then(|session| call.account.by_session(session)) {
            client.slots_mut().tidy(self.index, &self.no_client);
        }
        call.account.count_slots();
        result
    }
}

/// By what a request is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) is_set: bool,
    pub(super) name: &'static str,
    pub(super) namespace: &'static str,
}

impl Key {
    pub(super) const fn of(self, of: Addressee) -> Asked {
        let kind = if self.is_set { IqType::Set } else { IqType::Get };
        Asked { of, kind, name: self.name, namespace: self.namespace }
    }
}

type Allows = Box<dyn Fn(&BareJid, &Account, &Jid) -> bool + Send + Sync>;
type Refusal = Box<dyn Fn() -> StanzaError + Send + Sync>;
type Copy = Box<dyn Fn(&BareJid, &Account, Copying<'_>, &Stanza, &mut Copies<'_>) + Send + Sync>;
type OfServer = Box<dyn Fn(Server<'_>, &Request<'_>) -> Result<Payload, StanzaError> + Send + Sync>;
type OfAccount = Box<dyn Fn(&mut Call<'_>, &Request<'_>) -> Reply + Send + Sync>;
type OfDocuments = Box<dyn Fn(&Request<'_>, &[Document]) -> Result<Payload, StanzaError> + Send + Sync>;
type Restore = Box<dyn Fn(&str, &Entry) -> Option<Stanza> + Send + Sync>;
type IsAbsent = Box<dyn Fn(&BareJid, &Account, &Stanza, bool) -> Absent + Send + Sync>;
type Sent = Box<dyn Fn(&mut Call<'_>, ElementRef<'_>) + Send + Sync>;
type Holds = Box<dyn Fn(&Slots, &Stanza) -> Delivery + Send + Sync>;
type IsInactive = Box<dyn Fn(&Slots) -> bool + Send + Sync>;
type Waits = Box<dyn Fn(&mut Call<'_>, &Waiting<'_>) + Send + Sync>;
type Woken = Box<dyn Fn(&mut Call<'_>) + Send + Sync>;
type Resumed = Box<dyn Fn(&mut Slots) + Send + Sync>;
type Wanted = Box<dyn Fn(&mut Call<'_>, ElementRef<'_>) + Send + Sync>;
type SaveClient = Box<dyn Fn(&Slots) -> Option<Vec<u8>> + Send + Sync>;
type RestoreClient = Box<dyn Fn(&[u8], &mut Slots) + Send + Sync>;
pub(super) type LoadedAgain = Box<dyn Fn(&Slots, &mut Call<'_>) + Send + Sync>;
type Load = Box<dyn Fn(&[Document], &mut Slots) -> Result<(), Damaged> + Send + Sync>;

/// A request that needs no account.
pub(crate) struct ServerRequest(pub(super) OfServer);

/// A request to an account.
pub(crate) struct OwnRequest {
    pub(super) index: u8,
    pub(super) access: Access,
    pub(super) run: OfAccount,
}

/// A request for documents that anybody may read.
pub(crate) struct PublicRequest {
    pub(super) collection: &'static str,
    pub(super) answer: OfDocuments,
}

/// What is delivered before anything else.
pub(crate) struct Replay {
    pub(crate) log: &'static str,
    pub(crate) restore: Restore,
}

/// The tables.
#[derive(Default)]
pub(crate) struct Tables {
    /// What was registered, until all have done so; `None` if nobody wants to know.
    pub(super) claims: Option<Claims>,
    pub(super) features: Vec<(Addressee, &'static str)>,
    pub(super) server: Vec<(Key, ServerRequest)>,
    pub(super) every_account: Vec<(Key, ServerRequest)>,
    pub(super) account: Vec<(Key, OwnRequest)>,
    pub(super) public: Vec<(Key, PublicRequest)>,
    pub(super) at_server_too: Vec<&'static str>,
    /// Bits of extensions that count as there, whatever they know: see [`Builder::always`](super::Builder::always).
    always: u64,
    /// The extensions that are asked what is allowed, and those that copy: a bit each.
    allows_bits: u64,
    copy_bits: u64,
    allows: Vec<(Allows, Refusal)>,
    copy: Vec<Copy>,
    /// What tells of which message something is a copy.
    pub(super) originals: Vec<fn(&Stanza) -> Option<Stanza>>,
    pub(super) absent: Vec<(u8, IsAbsent)>,
    pub(super) bind_inline: Vec<((&'static str, &'static str), Wanted)>,
    /// What is announced with the features of a stream, by name and namespace.
    pub(super) stream_features: Vec<(&'static str, &'static str)>,
    /// What clients send that is no stanza, by name and namespace.
    pub(super) elements: Vec<((&'static str, &'static str), Sent)>,
    /// The extensions that hold back what comes for clients, a bit each.
    hold_bits: u64,
    hold: Vec<(u8, Holds)>,
    pub(super) inactive: Vec<IsInactive>,
    /// The extensions that hear of messages that wait, a bit each.
    waits_bits: u64,
    waits: Vec<(u8, Waits)>,
    pub(super) woken: Vec<(u8, Woken)>,
    pub(super) resumed: Vec<Resumed>,
    pub(super) collections: Vec<Collection>,
    /// Which extension has which of them.
    pub(super) keepers: Vec<u8>,
    /// Which extension has which collection loaded with an account.
    pub(super) loaded: Vec<(u8, &'static str)>,
    /// How what an extension knows of an account is made, with its number.
    load: Vec<(u8, Load)>,
    pub(super) loaded_again: Vec<LoadedAgain>,
    pub(super) replay: Option<Replay>,
    /// How what extensions know of a client is kept while the server is down.
    pub(super) client_states: Vec<(u8, SaveClient, RestoreClient)>,
}

/// Who answers a request to an account.
#[derive(Clone, Copy)]
pub(crate) enum Found<'a> {
    /// An extension, with the account.
    Own(&'a OwnRequest),
    /// An extension, with documents that anybody may read.
    Public(&'a PublicRequest),
    /// An extension, without a look at the account.
    Every(&'a ServerRequest),
}

impl Tables {
    /// None; `always` if everybody is to count as there.
    pub(super) fn new(always: bool) -> Tables {
        Tables { always: if always { u64::MAX } else { 0 }, ..Tables::default() }
    }

    /// Takes an extension in. Its number is the next one.
    pub(super) fn add<X: Extension>(&mut self, x: X, index: u8) {
        let typed =
            Arc::new(Typed { x, index, no_account: X::Account::default(), no_client: X::Client::default() });
        typed.x.register(&mut super::Registry { tables: self, typed: &typed });
        let own: Vec<&'static str> =
            self.loaded.iter().filter(|(at, _)| *at == index).map(|(_, name)| *name).collect();
        if !own.is_empty() {
            let load: Load = Box::new(move |all, slots| {
                let state = typed.x.load(&super::Documents { all, collections: &own })?;
                if state != typed.no_account {
                    slots.set(index, state);
                }
                Ok(())
            });
            self.load.push((index, load));
        }
    }

    pub(super) fn add_allows(&mut self, index: u8, allows: Allows, refusal: Refusal) {
        self.allows_bits |= bit(index);
        self.allows.push((allows, refusal));
    }

    pub(super) fn add_copy(&mut self, index: u8, copy: Copy) {
        self.copy_bits |= bit(index);
        self.copy.push(copy);
    }

    pub(super) fn add_hold(&mut self, index: u8, hold: Holds) {
        self.hold_bits |= bit(index);
        self.hold.push((index, hold));
    }

    pub(super) fn add_waits(&mut self, index: u8, waits: Waits) {
        self.waits_bits |= bit(index);
        self.waits.push((index, waits));
    }

    pub(crate) fn features(&self, of: Addressee) -> impl Iterator<Item = &'static str> + use<'_> {
        self.features.iter().filter(move |(at, _)| *at == of).map(|(_, feature)| *feature)
    }

    /// Whether this extension has registered the collection that it wants to change, in this version or a later one.
    pub(crate) fn may_change(&self, index: u8, edit: &Edit) -> bool {
        let (name, kind, version) = match edit {
            Edit::Document(edit) => (
                &edit.collection,
                Kind::Documents,
                edit.content.as_ref().map_or(0, |content| content.version),
            ),
            Edit::Log(LogEdit::Append(append)) => return self.may_append(index, append),
            Edit::Log(LogEdit::Trim { log, .. }) => (log, Kind::Log, 0),
        };
        self.collection(index, name, kind).is_some_and(|collection| version <= collection.version)
    }

    fn may_append(&self, index: u8, append: &Append) -> bool {
        let log = self.collection(index, &append.log, Kind::Log);
        log.is_some_and(|log| append.content.version <= log.version)
    }

    /// The collection of this name that the extension has registered.
    pub(crate) fn collection(&self, index: u8, name: &str, kind: Kind) -> Option<&Collection> {
        let mut own = self.keepers.iter().zip(&self.collections).filter(|(keeper, _)| **keeper == index);
        own.find(|(_, own)| own.name == name && own.kind == kind).map(|(_, own)| own)
    }

    /// The collections that are loaded with an account.
    pub(crate) fn loaded(&self) -> Collections {
        self.loaded.iter().map(|(_, name)| Cow::Borrowed(*name)).collect()
    }

    /// The states of extensions that know something of an account with these documents; the number of the first that can't read its own.
    pub(crate) fn load(&self, documents: &[Document]) -> Result<Slots, u8> {
        let mut slots = Slots::default();
        self.load
            .iter()
            .try_for_each(|(index, load)| load(documents, &mut slots).map_err(|Damaged| *index))?;
        Ok(slots)
    }

    /// What is answered.
    pub(super) fn requests(&self) -> impl Iterator<Item = Asked> + use<'_> {
        let server = self.server.iter().map(|(key, _)| key.of(Addressee::Server));
        let account = self.account.iter().map(|(key, _)| key);
        let account = account.chain(self.public.iter().map(|(key, _)| key));
        let account = account.chain(self.every_account.iter().map(|(key, _)| key));
        server.chain(account.map(|key| key.of(Addressee::Account)))
    }

    /// An account was loaded again; these were the states before.
    pub(crate) fn loaded_again(&self, before: &Slots, call: &mut Call<'_>) {
        self.loaded_again.iter().for_each(|tell| tell(before, call));
    }

    /// Who answers a request to the server.
    pub(crate) fn at_server(&self, kind: IqType, element: ElementRef<'_>) -> Option<&ServerRequest> {
        find(&self.server, kind, element)
    }

    /// Who answers a request to an account.
    pub(crate) fn at_account(&self, kind: IqType, element: ElementRef<'_>) -> Option<Found<'_>> {
        find(&self.account, kind, element)
            .map(Found::Own)
            .or_else(|| find(&self.public, kind, element).map(Found::Public))
            .or_else(|| find(&self.every_account, kind, element).map(Found::Every))
    }

    /// Whether a request of an account's own clients to their server is about the account.
    pub(crate) fn is_about_own_account(&self, element: ElementRef<'_>) -> bool {
        self.at_server_too.contains(&element.namespace())
    }

    /// Whether an extension says what is allowed.
    pub(crate) const fn decides(&self, index: u8) -> bool {
        self.allows_bits & bit(index) != 0
    }

    /// Whether anything passes between the account, of whose extensions these bits are there, and the entity.
    pub(crate) fn allows(&self, owner: &BareJid, account: &Account, entity: &Jid) -> bool {
        self.bits(account) & self.allows_bits == 0
            // The user's own resources can't be shut out.
            || entity.bare_str() == owner.as_str()
            || self.allows.iter().all(|(allows, _)| allows(owner, account, entity))
    }

    /// Why nothing passes from the account to the entity.
    pub(crate) fn refusal(&self, owner: &BareJid, account: &Account, entity: &Jid) -> Option<StanzaError> {
        if self.bits(account) & self.allows_bits == 0 || entity.bare_str() == owner.as_str() {
            return None;
        }
        self.allows.iter().find(|(allows, _)| !allows(owner, account, entity)).map(|(_, refusal)| refusal())
    }

    /// Whether an account with these bits has to look at its messages.
    pub(crate) const fn looks_at_messages(&self, bits: u64) -> bool {
        (bits | self.always) & (self.allows_bits | self.copy_bits) != 0
    }

    /// The extensions that may have something to say about the account.
    fn bits(&self, account: &Account) -> u64 {
        account.slot_bits() | self.always
    }

    /// Copies a message for those of the account's clients that want copies.
    pub(crate) fn copy(
        &self,
        owner: &BareJid,
        account: &Account,
        why: Copying<'_>,
        stanza: &Stanza,
        copies: &mut Copies<'_>,
    ) {
        if self.bits(account) & self.copy_bits != 0 {
            self.copy.iter().for_each(|copy| copy(owner, account, why, stanza, copies));
        }
    }

    /// Whether it can be told of which messages there are copies.
    pub(crate) const fn knows_originals(&self) -> bool {
        !self.originals.is_empty()
    }

    /// The message of which this is a copy, if it is a copy of one that somebody was sent.
    pub(crate) fn original(&self, copy: &Stanza) -> Option<Stanza> {
        self.originals.iter().find_map(|original| original(copy))
    }

    /// What becomes of a message that nobody takes.
    pub(crate) fn absent(
        &self,
        owner: &BareJid,
        account: &Account,
        stanza: &Stanza,
        is_stamped: bool,
    ) -> Absent {
        let mut all =
            self.absent.iter().map(|(index, absent)| match absent(owner, account, stanza, is_stamped) {
                Absent::Keep(append) if !self.may_append(*index, &append) => Absent::Return,
                absent => absent,
            });
        all.find(|absent| *absent != Absent::Return).unwrap_or(Absent::Return)
    }

    /// Takes an element that is no stanza; what no extension knows is passed over.
    pub(crate) fn element(&self, call: &mut Call<'_>, element: ElementRef<'_>) {
        let found = self.elements.iter().find(|((name, namespace), _)| element.is(name, namespace));
        if let Some((_, sent)) = found {
            sent(call, element);
        }
    }

    /// Whether an extension knows something of this client, and so may hold back what comes for it.
    pub(crate) const fn holds(&self, client: &Slots) -> bool {
        client.bits() & self.hold_bits != 0
    }

    /// Whether an extension is to be asked about what comes for this client.
    pub(crate) const fn may_hold(&self, client: &Slots) -> bool {
        (client.bits() | self.always) & self.hold_bits != 0
    }

    /// Whether what comes for this client goes to it now, and which extension says so: the first that does not let it pass.
    pub(crate) fn hold(&self, client: &Slots, stanza: &Stanza) -> (u8, Delivery) {
        let known = client.bits() | self.always;
        let asked = self.hold.iter().filter(|(index, _)| known & bit(*index) != 0);
        let mut all = asked.map(|(index, hold)| (*index, hold(client, stanza)));
        all.find(|(_, delivery)| *delivery != Delivery::Pass).unwrap_or((0, Delivery::Pass))
    }

    /// Whether an extension knows that nobody uses this client.
    pub(crate) fn is_inactive(&self, client: &Slots) -> bool {
        self.inactive.iter().any(|is_inactive| is_inactive(client))
    }

    /// Whether an extension hears of messages that wait, of an account of which these know something.
    pub(crate) const fn is_told_of(&self, bits: u64) -> bool {
        (bits | self.always) & self.waits_bits != 0
    }

    /// A message waits for the user of an account.
    pub(crate) fn waits(&self, call: &mut Call<'_>, waiting: &Waiting<'_>) {
        let known = call.account.known().map_or(0, |known| known.slots.bits()) | self.always;
        self.waits
            .iter()
            .filter(|(index, _)| known & bit(*index) != 0)
            .for_each(|(_, waits)| waits(call, waiting));
    }

    /// It is the time that an extension has wanted.
    pub(crate) fn woken(&self, index: u8, call: &mut Call<'_>) {
        self.woken.iter().filter(|(at, _)| *at == index).for_each(|(_, woken)| woken(call));
    }

    /// The client goes on with its session on another stream.
    pub(crate) fn resumed(&self, client: &mut Slots) {
        self.resumed.iter().for_each(|resumed| resumed(client));
    }

    pub(crate) const fn replay(&self) -> Option<&Replay> {
        self.replay.as_ref()
    }

    /// What extensions know of a client, as it is kept.
    pub(crate) fn client_states<'a>(
        &'a self,
        slots: &'a Slots,
    ) -> impl Iterator<Item = (u8, Vec<u8>)> + use<'a> {
        self.client_states.iter().filter_map(|(index, save, _)| Some((*index, save(slots)?)))
    }

    /// An extension knows again what it has kept of a client, if it can read it.
    pub(crate) fn restore_client(&self, index: Option<u8>, state: &[u8], slots: &mut Slots) {
        if let Some((.., restore)) = self.client_states.iter().find(|(at, ..)| Some(*at) == index) {
            restore(state, slots);
        }
    }

    /// Does what a client wants at once; `false` if no extension knows it.
    pub(crate) fn bind_inline(&self, call: &mut Call<'_>, element: ElementRef<'_>) -> bool {
        let found = self.bind_inline.iter().find(|((name, namespace), _)| element.is(name, namespace));
        found.is_some_and(|(_, wanted)| {
            wanted(call, element);
            true
        })
    }
}

impl ServerRequest {
    pub(crate) fn answer(&self, server: Server<'_>, request: &Request<'_>) -> Result<Payload, StanzaError> {
        (self.0)(server, request)
    }
}

impl OwnRequest {
    pub(crate) const fn index(&self) -> u8 {
        self.index
    }

    pub(crate) const fn is_for_subscribers(&self) -> bool {
        matches!(self.access, Access::Subscribers)
    }

    pub(crate) fn run(&self, call: &mut Call<'_>, request: &Request<'_>) -> Reply {
        (self.run)(call, request)
    }
}

impl PublicRequest {
    pub(crate) const fn collection(&self) -> &'static str {
        self.collection
    }

    pub(crate) fn answer(
        &self,
        request: &Request<'_>,
        documents: &[Document],
    ) -> Result<Payload, StanzaError> {
        (self.answer)(request, documents)
    }
}

fn find<'t, T>(table: &'t [(Key, T)], kind: IqType, element: ElementRef<'_>) -> Option<&'t T> {
    let is_set = kind == IqType::Set;
    let found = table.iter().find(|(key, _)| key.is_set == is_set && element.is(key.name, key.namespace));
    found.map(|(_, request)| request)
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tables")
            .field("features", &self.features)
            .field("collections", &self.collections)
            .finish_non_exhaustive()
    }
}
