//! A user's own account, over an authenticated stream: its password and its end (XEP-0077 sections 3.2 and 3.3).
//!
//! Whether strangers may register is another question, which the streams answer: whoever has an account may always change
//! its password, and end it.

use alloc::string::String;
use alloc::vec::Vec;

use balcony_jid::{BareJid, Jid};
use balcony_machine::Secret;
use balcony_stanza::{ErrorCondition, IqType, Kind, Stanza, StanzaError, ns};
use balcony_xml::{Element, ElementRef, Name};

use crate::commit::{Commit, Scope, Then};
use crate::line::Origin;
use crate::router::Router;
use crate::{Ask, Effect};

/// Whether a session asks its own server about registration. Like a request without address it is about the account.
pub(crate) fn is_for_own_server(stanza: &Stanza) -> bool {
    let (Some(from), Some(to)) = (&stanza.head.from, &stanza.head.to) else { return false };
    to.as_str() == from.domainpart()
        && matches!(stanza.head.kind, Kind::Iq(IqType::Get | IqType::Set))
        && stanza.payload.parse().is_ok_and(|content| content.root().child("query", ns::REGISTER).is_some())
}

impl Router {
    /// A client asks for something that concerns its account itself.
    pub(crate) fn registration_request(
        &mut self,
        stanza: Stanza,
        query: ElementRef<'_>,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        let Some(name) = stanza.head.from.as_ref().map(Jid::to_bare) else { return };
        if stanza.head.kind == Kind::Iq(IqType::Get) {
            if let Some(result) = stanza.result() {
                self.reply(result.child(registered(&name)), effects);
            }
            return;
        }
        match read(&name, query) {
            Ok(ask) => {
                let (scope, then) = match ask {
                    Ask::Remove { .. } => (Scope::All, Then::Removal),
                    _ => (Scope::Own, Then::Password),
                };
                let Some(charge) = self.charge_own(&stanza, origin, effects) else { return };
                let commit = Commit { request: Some(stanza), scope, then };
                self.commit(ask, commit, Some(charge), effects);
            }
            Err(error) => self.refuse(&stanza, error, effects),
        }
    }
}

fn read(name: &BareJid, query: ElementRef<'_>) -> Result<Ask, StanzaError> {
    let bad = |text| Err(StanzaError::new(ErrorCondition::BadRequest, text));
    if query.child("remove", ns::REGISTER).is_some() {
        return match query.children().count() {
            1 => Ok(Ask::Remove { account: name.clone() }),
            _ => bad("a removal has nothing beside it"),
        };
    }
    let count = |name| query.children().filter(|child| child.is(name, ns::REGISTER)).count();
    if count("username") > 1 || count("password") > 1 {
        return bad("a field is there twice");
    }
    let field = |name| query.child(name, ns::REGISTER).map(|field| field.text());
    let (Some(username), Some(password)) = (field("username"), field("password")) else {
        return bad("a user name and a password are needed");
    };
    match BareJid::from_parts(Some(&username), name.domainpart()) {
        Ok(account) if account == *name => {}
        _ => return bad("this is not the user name of this account"),
    }
    if password.is_empty() {
        return Err(StanzaError::new(ErrorCondition::NotAcceptable, "an empty password protects nothing"));
    }
    Ok(Ask::SetPassword { account: name.clone(), password: Secret::new(String::from(&*password)) })
}

/// What is registered. The password is not shown: nobody knows it.
fn registered(name: &BareJid) -> Element {
    const QUERY: Name = Name::from_static("query");
    const REGISTERED: Name = Name::from_static("registered");
    const USERNAME: Name = Name::from_static("username");
    const PASSWORD: Name = Name::from_static("password");
    Element::new(QUERY, ns::REGISTER)
        .child(Element::new(REGISTERED, ns::REGISTER))
        .child(Element::new(USERNAME, ns::REGISTER).text(name.localpart().unwrap_or_default()))
        .child(Element::new(PASSWORD, ns::REGISTER))
}
