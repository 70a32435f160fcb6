//! Blocking: nothing passes between a user and those whom the user has blocked (XEP-0191).
//!
//! Strangers who are blocked get what all strangers get: the answers, or the silence, of an account that does not exist. So the
//! probes of those who are no subscribers are denied even if they are blocked, where section 3.1 would have silence: that silence
//! would show the block, and the account.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use balcony_jid::Jid;
use balcony_stanza::{ErrorCondition, IqType, StanzaError};
use balcony_xep::blocking::{NS, Request as Wanted, block, error, list, unblock};

use super::{
    Access, AccountRef, Addressee, Context, Damaged, Documents, Edit, Extension, Hold, Registry, Reply,
    Request,
};

/// The collection of addresses that a user has blocked: documents without content, whose keys are the addresses.
pub const BLOCKED: &str = "blocked";
/// The version in which an address is kept: its key says all.
const VERSION: u8 = 1;

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Blocking {
    /// How many addresses a user may block; past it blocking gets `resource-constraint`.
    pub addresses: usize,
    /// How long all of them may be together, in bytes.
    pub bytes: usize,
}

impl Default for Blocking {
    fn default() -> Self {
        Blocking { addresses: 1_000, bytes: 256 * 1024 }
    }
}

/// Whom a user has blocked.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Blocked(BTreeSet<Box<str>>);

impl Blocked {
    /// Whether one of the addresses is that of the entity, or includes it: a bare JID includes its resources, a domain all
    /// of its addresses (XEP-0016 section 2.1).
    fn holds(&self, entity: &Jid) -> bool {
        [entity.as_str(), entity.bare_str(), entity.domainpart()].iter().any(|jid| self.0.contains(*jid))
    }

    /// How many there would be with these, and how long.
    fn size_with(&self, more: &[Jid]) -> (usize, usize) {
        let new: BTreeSet<&str> = more.iter().map(Jid::as_str).filter(|jid| !self.0.contains(*jid)).collect();
        let all = self.0.iter().map(|jid| &**jid).chain(new);
        all.fold((0, 0), |(count, bytes), jid| (count + 1, bytes + jid.len()))
    }
}

impl Extension for Blocking {
    const NAME: &'static str = "blocking";
    type Account = Blocked;
    /// Whether it has asked for the list, and so hears of changes (section 3.2).
    type Client = bool;

    fn load(&self, documents: &Documents<'_>) -> Result<Blocked, Damaged> {
        Ok(Blocked(documents.of(BLOCKED).map(|(jid, _)| Box::from(jid)).collect()))
    }

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.feature(Addressee::Server, NS);
        registry.feature(Addressee::Account, NS);
        registry.documents(BLOCKED, VERSION, true);
        registry.get(Access::Owner, "blocklist", NS, give);
        registry.set("block", NS, change);
        registry.set("unblock", NS, change);
        // The wrong type of request is a mistake, and not something that this server does not know.
        registry.set("blocklist", NS, |_, _, _| ErrorCondition::BadRequest.into());
        for name in ["block", "unblock"] {
            registry.get(Access::Owner, name, NS, |_, _, _| ErrorCondition::BadRequest.into());
        }
        registry.loaded_again(|_, before, context| {
            let now = context.state();
            let added: Vec<&str> = now.0.difference(&before.0).map(|jid| &**jid).collect();
            let removed: Vec<&str> = before.0.difference(&now.0).map(|jid| &**jid).collect();
            let added = (!added.is_empty()).then(|| block(added));
            let removed = (!removed.is_empty()).then(|| unblock(removed));
            for push in added.into_iter().chain(removed) {
                context.push(&push.into(), |client| *client.state);
            }
        });
        registry.client_state(|hears| [u8::from(*hears)].into(), |state| Some(state == [1]));
        registry.allows(|_, account, entity| !account.state().holds(entity), |_| error());
    }
}

fn give(_: &Blocking, context: &mut Context<'_, '_, Blocking>, _: &Request<'_>) -> Reply {
    if let Some(hears) = context.client_mut() {
        *hears = true;
    }
    Reply::from(list(context.state().0.iter().map(|jid| &**jid)))
}

fn change(blocking: &Blocking, context: &mut Context<'_, '_, Blocking>, request: &Request<'_>) -> Reply {
    let wanted = match Wanted::read(IqType::Set, request.element) {
        Ok(wanted) => wanted,
        Err(error) => return error.into(),
    };
    let account: AccountRef<'_, Blocking> = context.account();
    let edits: Vec<Edit> = match &wanted {
        Wanted::List => return ErrorCondition::BadRequest.into(),
        Wanted::Block(jids) => {
            let (addresses, bytes) = account.state().size_with(jids);
            if addresses > blocking.addresses || bytes > blocking.bytes {
                return StanzaError::new(ErrorCondition::ResourceConstraint, "too many are blocked").into();
            }
            jids.iter().map(|jid| Edit::put(BLOCKED, jid.as_str(), VERSION, [])).collect()
        }
        Wanted::Unblock(jids) => jids.iter().map(|jid| Edit::remove(BLOCKED, jid.as_str())).collect(),
        Wanted::UnblockAll => account.state().0.iter().map(|jid| Edit::remove(BLOCKED, jid)).collect(),
    };
    // Nothing that the user sends to somebody whom the user is about to block may come after the answer.
    context.save(edits, Hold::Everything, move |_, context| {
        let push = match &wanted {
            Wanted::Block(jids) => block(jids.iter().map(Jid::as_str)),
            Wanted::Unblock(jids) => unblock(jids.iter().map(Jid::as_str)),
            Wanted::UnblockAll | Wanted::List => unblock([]),
        };
        context.push(&push.into(), |client| *client.state);
        if let Some(Blocked(blocked)) = context.state_mut() {
            match &wanted {
                Wanted::Block(jids) => blocked.extend(jids.iter().map(|jid| Box::from(jid.as_str()))),
                Wanted::Unblock(jids) => jids.iter().for_each(|jid| {
                    blocked.remove(jid.as_str());
                }),
                Wanted::UnblockAll | Wanted::List => blocked.clear(),
            }
        }
        Reply::DONE
    })
}
