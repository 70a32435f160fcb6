//! A user's own account, over an authenticated stream: its password and its end (XEP-0077 sections 3.2 and 3.3).
//!
//! Whether strangers may register is another question, which the streams answer: whoever has an account may always change
//! its password, and end it.

use alloc::string::String;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_stanza::{ErrorCondition, StanzaError};
use balcony_xep::register::{Field, Fields, Form, NS, Request as Register};

use super::{Access, Addressee, Context, Extension, Registry, Reply, Request};

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Registration;

impl Extension for Registration {
    const NAME: &'static str = "registration";
    type Account = ();
    type Client = ();

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.feature(Addressee::Server, NS);
        registry.at_server_too(NS);
        registry.get(Access::Owner, "query", NS, registered);
        registry.set("query", NS, change);
    }
}

/// What is registered. The password is not shown: nobody knows it.
fn registered(_: &Registration, context: &mut Context<'_, '_, Registration>, _: &Request<'_>) -> Reply {
    let username = context.owner().localpart().unwrap_or_default();
    let fields = Fields::new().with(Field::Username, username).with(Field::Password, "");
    Reply::from(Form { is_registered: true, instructions: None, fields }.to_element())
}

fn change(_: &Registration, context: &mut Context<'_, '_, Registration>, request: &Request<'_>) -> Reply {
    let fields = match Register::read(request.element) {
        Ok(Register::Remove) => return context.remove_account(),
        Ok(Register::Register(fields)) => fields,
        Err(error) => return error.into(),
    };
    let bad = |text| Reply::Error(StanzaError::new(ErrorCondition::BadRequest, text));
    let (Some(username), Some(password)) = (fields.get(Field::Username), fields.get(Field::Password)) else {
        return bad("a user name and a password are needed");
    };
    match BareJid::from_parts(Some(username), context.owner().domainpart()) {
        Ok(account) if account == *context.owner() => {}
        _ => return bad("this is not the user name of this account"),
    }
    if password.is_empty() {
        return StanzaError::new(ErrorCondition::NotAcceptable, "an empty password protects nothing").into();
    }
    context.set_password(Secret::new(String::from(password)))
}
