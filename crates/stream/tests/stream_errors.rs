//! Every stream error condition of RFC 6120 section 4.9.3, provoked from outside: by a peer where the machine itself can
//! tell, else by the owner.

#![allow(clippy::unwrap_used)]

mod scripted;

use std::sync::Arc;

use balcony_machine::{Instant, Secret, Seed};
use balcony_stanza::{StreamCondition as C, StreamError};
use balcony_stream::client::{Client, ClientStreamConfig};
use balcony_stream::component::{
    Component, ComponentAnswer, ComponentInitiatingConfig, ComponentReceivingConfig,
};
use balcony_stream::s2s::{S2s, S2sReceivingConfig};
use balcony_stream::server::{Server, ServerStreamConfig};
use balcony_stream::{ClientStream, ComponentStream, Error, S2sStream, ServerStream, Side, TlsPolicy};
use scripted::{End, STREAM};

/// Who provokes a condition, and how.
enum By {
    /// A client's bytes after the header, before it has logged in.
    Client(String),
    /// A client's bytes instead of the header.
    Header(String),
    /// A client that is silent after the header.
    Silence,
    /// A server's bytes, to a client of ours that has logged in.
    Server(&'static str),
    /// Another server's bytes, on a stream that is authorised.
    Federation(&'static str),
    /// A component that another stream is already; the owner says so.
    Component,
    /// The owner alone knows.
    Owner,
}

const BYTES: usize = 10_001;

fn hello(namespace: &str, attributes: &str) -> String {
    format!("<stream:stream {attributes} xmlns='{namespace}' xmlns:stream='{STREAM}'>")
}

fn client_hello() -> String {
    hello("jabber:client", "to='example.com' version='1.0'")
}

fn client(condition: C) -> By {
    let text = match condition {
        C::BadFormat => "text between elements",
        C::BadNamespacePrefix => "<c:message xmlns:c='jabber:client'/>",
        C::NotAuthorized => "<message to='romeo@example.com'/>",
        C::NotWellFormed => "<a></b>",
        C::RestrictedXml => "<!-- -->",
        C::PolicyViolation => return By::Client(format!("<a b='{}", "x".repeat(BYTES))),
        other => panic!("{other:?}"),
    };
    By::Client(text.into())
}

fn provoked_by(condition: C) -> By {
    match condition {
        C::BadFormat
        | C::BadNamespacePrefix
        | C::NotAuthorized
        | C::NotWellFormed
        | C::PolicyViolation
        | C::RestrictedXml => client(condition),
        C::HostGone => By::Header(hello("jabber:client", "to='old.example.com' version='1.0'")),
        C::HostUnknown => By::Header(hello("jabber:client", "to='example.net' version='1.0'")),
        C::InvalidNamespace => By::Header(hello("urn:example", "to='example.com' version='1.0'")),
        C::UnsupportedVersion => By::Header(hello("jabber:client", "to='example.com' version='0.9'")),
        C::UnsupportedEncoding => {
            By::Header(format!("<?xml version='1.0' encoding='latin1'?>{}", client_hello()))
        }
        C::ConnectionTimeout => By::Silence,
        C::UnsupportedFeature => By::Server("<stream:features/>"),
        C::UndefinedCondition => By::Server(
            "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>\
             <iq type='result' id='bind'/>",
        ),
        C::ImproperAddressing => By::Federation("<message from='a.example'/>"),
        C::InvalidFrom => By::Federation("<message from='c.example' to='b.example'/>"),
        C::UnsupportedStanzaType => By::Federation("<order xmlns='urn:example'/>"),
        C::Conflict => By::Component,
        // What the machine can't know: schemas (it validates none), the owner's troubles, and who else was asked in vain. In
        // a dialback the latter is no stream error (XEP-0220 1.1.1 §2.4.2).
        C::InternalServerError
        | C::InvalidXml
        | C::RemoteConnectionFailed
        | C::Reset
        | C::ResourceConstraint
        | C::SeeOtherHost
        | C::SystemShutdown => By::Owner,
    }
}

fn receiving() -> End<Server> {
    let mut config = ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([9; 32]));
    config.gone = vec!["old.example.com".parse().unwrap()];
    config.tls = TlsPolicy::None;
    End::new(ServerStream::new(Arc::new(config), Seed::from_u64(1), Instant::ZERO))
}

/// A client's end that has logged in, as far as the header after that.
fn logged_in() -> End<Client> {
    let mut config =
        ClientStreamConfig::new("juliet@example.com".parse().unwrap(), Secret::new("pencil".into()));
    config.tls = TlsPolicy::Direct;
    let stream = ClientStream::new(Arc::new(config), Seed::from_u64(1), Instant::ZERO);
    let mut end = End::new(stream).secured(&[]);
    let header = hello("jabber:client", "from='example.com' id='1' version='1.0'");
    let plain = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
                 <mechanism>PLAIN</mechanism></mechanisms></stream:features>";
    end.feed(&[&header, plain, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", &header].concat());
    end
}

/// A server's end of another server's stream, authorised from `a.example` to `b.example`.
fn authorised() -> End<S2s> {
    let mut config = S2sReceivingConfig::new(vec!["b.example".parse().unwrap()]);
    config.tls = TlsPolicy::Direct;
    let stream = S2sStream::receiving(Arc::new(config), Seed::from_u64(1), Instant::ZERO);
    let mut end = End::new(stream).secured(&["a.example"]);
    let header = hello("jabber:server", "from='a.example' to='b.example' version='1.0'");
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
    end.feed(&[&header, auth, &header].concat());
    assert!(end.stream.is_open());
    end
}

/// A component and its server, joined; the server asks about the component.
fn component() -> End<Component> {
    let domain: balcony_jid::BareJid = "plays.example.com".parse().unwrap();
    let secret = Secret::new(String::from("secret"));
    let theirs = ComponentInitiatingConfig::new(domain.clone(), secret.clone());
    let ours = ComponentReceivingConfig::new("example.com".parse().unwrap(), vec![(domain, secret)]);
    let mut theirs =
        End::new(ComponentStream::initiating(Arc::new(theirs), Seed::from_u64(1), Instant::ZERO));
    let mut ours = End::new(ComponentStream::receiving(Arc::new(ours), Seed::from_u64(2), Instant::ZERO));
    let header = ours.feed(&theirs.feed(""));
    ours.feed(&theirs.feed(&header));
    ours
}

/// The condition that a stream ends with.
fn provoke(condition: C) -> C {
    match provoked_by(condition) {
        By::Client(bytes) => {
            let mut end = receiving();
            end.feed(&(client_hello() + &bytes));
            end.error()
        }
        By::Header(bytes) => {
            let mut end = receiving();
            end.feed(&bytes);
            end.error()
        }
        By::Silence => {
            let mut end = receiving();
            end.feed(&client_hello());
            end.wait();
            end.error()
        }
        By::Server(bytes) => {
            let mut end = logged_in();
            end.feed(bytes);
            end.error()
        }
        By::Federation(bytes) => {
            let mut end = authorised();
            end.feed(bytes);
            end.error()
        }
        By::Component => {
            let mut end = component();
            end.answer(ComponentAnswer::Attached(false));
            end.error()
        }
        By::Owner => aborted(receiving(), condition.into()).error(),
    }
}

/// An end of which the owner ends the stream.
fn aborted<S: Side>(mut end: End<S>, error: StreamError) -> End<S> {
    end.feed("");
    end.stream.abort(error, &mut end.out);
    end.feed("");
    end
}

// RFC 6120 §4.9.3.1 to §4.9.3.25, §15 stream-error-generate
#[test]
fn all_conditions() {
    let mut of_owner = 0;
    for condition in C::ALL {
        of_owner += usize::from(matches!(provoked_by(*condition), By::Owner));
        assert_eq!(provoke(*condition), *condition);
    }
    assert_eq!((C::ALL.len(), of_owner), (25, 7));
}

// RFC 6120 §4.9.1.1 [W8]: the owner can end any stream with any of them, at any time.
#[test]
fn the_owner_can_send_them_all() {
    fn send<S: Side>(end: End<S>, condition: C) {
        let end = aborted(end, StreamError::new(condition, "because"));
        assert_eq!(end.error(), condition);
        assert!(end.output().contains("because"));
    }
    for condition in C::ALL {
        send(receiving(), *condition);
        send(logged_in(), *condition);
        send(authorised(), *condition);
        send(component(), *condition);
        let mut end = receiving();
        end.feed(&client_hello());
        send(end, *condition);
    }
}

// RFC 6120 §4.9.3.19: the one whose content is for machines; and the peer can read it.
#[test]
fn see_other_host_names_the_host() {
    let end = aborted(receiving(), StreamError::new(C::SeeOtherHost, "[2001:db8::2]:5222"));
    let element =
        "<see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>[2001:db8::2]:5222</see-other-host>";
    assert!(end.output().contains(&format!("<stream:error>{element}</stream:error>")), "{}", end.output());
    let mut client = logged_in();
    client.feed(&format!("<stream:error>{element}</stream:error>"));
    let expected = Error::Remote(StreamError::new(C::SeeOtherHost, "[2001:db8::2]:5222"));
    assert_eq!(client.ended, Some(Err(expected)));
}
