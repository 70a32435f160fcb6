//! Both ends of a component's stream against good and bad peers.

#![allow(clippy::unwrap_used)]

mod scripted;

use std::sync::Arc;

use balcony_machine::{Instant, Secret, Seed};
use balcony_stanza::{MessageType, Stanza, StreamCondition};
use balcony_stream::component::{
    Component, ComponentAnswer, ComponentAsk, ComponentEvent, ComponentInitiatingConfig,
    ComponentReceivingConfig,
};
use balcony_stream::{ComponentStream, Security};
use scripted::{End, STREAM, stream_id};

const CLOSE: &str = "</stream:stream>";
const MESSAGE: &str =
    "<message from='bot@plays.example' to='juliet@example.com/balcony'><body>Hi</body></message>";

fn header(attributes: &str) -> String {
    format!("<stream:stream xmlns='jabber:component:accept' xmlns:stream='{STREAM}' {attributes}>")
}

fn component() -> End<Component> {
    let config =
        ComponentInitiatingConfig::new("plays.example".parse().unwrap(), Secret::new("secret".into()));
    End::new(ComponentStream::initiating(Arc::new(config), Seed::from_u64(1), Instant::ZERO))
}

fn server() -> End<Component> {
    let components = [("plays.example", "secret"), ("films.example", "other")]
        .map(|(domain, secret)| (domain.parse().unwrap(), Secret::new(secret.into())));
    let config = ComponentReceivingConfig::new("example.com".parse().unwrap(), components.to_vec());
    End::new(ComponentStream::receiving(Arc::new(config), Seed::from_u64(1), Instant::ZERO))
}

/// The lower-case SHA-1 of the id and the secret, by somebody else's hands.
fn handshake(id: &str, secret: &str) -> String {
    use sha1::{Digest as _, Sha1};
    Sha1::digest([id, secret].concat()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A server's end as far as the handshake.
fn shaken() -> End<Component> {
    let mut end = server();
    end.feed(&header("to='plays.example'"));
    let digest = handshake(stream_id(&end.output()), "secret");
    end.feed(&format!("<handshake>{digest}</handshake>"));
    end
}

fn attached() -> End<Component> {
    let mut end = shaken();
    assert_eq!(end.answer(ComponentAnswer::Attached(true)), "<handshake/>");
    assert!(end.stream.is_open());
    end.out.clear();
    end
}

// XEP-0114 1.6 §3: no version, and so no features; `to` is who the component wants to be.
#[test]
fn the_component_shakes_hands() {
    let mut end = component();
    assert_eq!(
        end.feed(""),
        format!(
            "<?xml version='1.0'?><stream:stream to='plays.example' xml:lang='en' xmlns='jabber:component:accept' \
             xmlns:stream='{STREAM}'>"
        )
    );
    // printf 3BF96D32secret | sha1sum
    assert_eq!(
        end.feed(&header("from='plays.example' id='3BF96D32'")),
        "<handshake>b09ea9b3b7f586be8a08d0a3dd7466f110aeb136</handshake>"
    );
    assert!(!end.stream.is_open());
    assert_eq!(end.feed("<handshake/>"), "");
    assert!(
        matches!(&end.events[..], [ComponentEvent::Attached(domain)] if domain.as_str() == "plays.example")
    );
    assert!(end.stream.is_open());

    // The id counts as it reads, not as it is written.
    let mut end = component();
    end.feed("");
    let answer = end.feed(&header("id='a&amp;&#x3c;b'"));
    assert_eq!(answer, format!("<handshake>{}</handshake>", handshake("a&<b", "secret")));
}

// XEP-0114 1.6 §3
#[test]
fn the_server_lets_it_in() {
    let mut end = server();
    let answer = end.feed(&header("to='plays.example'"));
    let expected = "<?xml version='1.0'?><stream:stream from='plays.example' id='";
    assert!(answer.starts_with(expected), "{answer}");
    assert!(
        answer.ends_with(&format!(" xmlns='jabber:component:accept' xmlns:stream='{STREAM}'>")),
        "{answer}"
    );
    assert!(!answer.contains(" version='1.0' "), "{answer}");

    let mut end = shaken();
    let [(_, ComponentAsk::Attach { component })] = &end.asks[..] else { panic!("{:?}", end.asks) };
    assert_eq!(component.as_str(), "plays.example");
    assert!(!end.stream.is_open());
    assert_eq!(end.answer(ComponentAnswer::Attached(true)), "<handshake/>");
    assert!(
        matches!(&end.events[..], [ComponentEvent::Attached(domain)] if domain.as_str() == "plays.example")
    );
    // Stanzas go both ways, from any address in the domain.
    end.feed(MESSAGE);
    end.feed("<presence from='plays.example/x' to='romeo@example.com'/>");
    assert_eq!(end.stanzas.len(), 2);
    let stanza = Stanza::message(MessageType::Chat)
        .with_from("juliet@example.com".parse().unwrap())
        .with_to("bot@plays.example".parse().unwrap());
    end.out.clear();
    end.stream.send(&stanza, &mut end.out).unwrap();
    assert_eq!(end.output(), "<message from='juliet@example.com' to='bot@plays.example' type='chat'/>");
    assert!(end.stream.send(&Stanza::message(MessageType::Chat), &mut end.out).is_err());
}

// XEP-0114 1.6 §3, RFC 6120 §4.9.3
#[test]
fn whom_the_server_does_not_let_in() {
    use StreamCondition as C;
    let hello = header("to='plays.example'");
    for (bytes, condition) in [
        (header("to='books.example'"), C::HostUnknown),
        (header("to='example.com'"), C::HostUnknown),
        (header("to='bot@plays.example'"), C::HostUnknown),
        (header(""), C::HostUnknown),
        (hello.replace("component:accept", "client"), C::InvalidNamespace),
        (hello.replace("component:accept", "component:connect"), C::InvalidNamespace),
        (format!("{hello}<handshake>{}</handshake>", "0".repeat(40)), C::NotAuthorized),
        (format!("{hello}<handshake/>"), C::NotAuthorized),
        (format!("{hello}{MESSAGE}"), C::NotAuthorized),
        (format!("{hello}<handshake xmlns='urn:example'/>"), C::NotAuthorized),
    ] {
        let mut end = server();
        let answer = end.feed(&bytes);
        assert_eq!(end.error(), condition, "{bytes}");
        assert!(answer.starts_with("<?xml version='1.0'?><stream:stream from="), "{answer}");
        assert!(end.asks.is_empty() && end.stanzas.is_empty());
    }
    // The digest counts as it is written, and with the secret of this component.
    let of = |digest: fn(&str) -> String| {
        let mut end = server();
        end.feed(&header("to='plays.example'"));
        let digest = digest(stream_id(&end.output()));
        end.feed(&format!("<handshake>{digest}</handshake>"));
        (end.asks.len(), end.ended.is_some())
    };
    assert_eq!(of(|id| handshake(id, "secret")), (1, false));
    assert_eq!(of(|id| handshake(id, "other")), (0, true));
    assert_eq!(of(|id| handshake(id, "secret").to_uppercase()), (0, true));
    assert_eq!(of(|id| handshake(id, "secret")[..39].into()), (0, true));
    // One stream a component (RFC 6120 §4.9.3.3), or nobody can say.
    let mut end = shaken();
    end.answer(ComponentAnswer::Attached(false));
    assert_eq!(end.error(), C::Conflict);
    let mut end = shaken();
    end.wait();
    assert_eq!(end.error(), C::InternalServerError);
}

// XEP-0114 1.6 §3, RFC 6120 §8.1.1.2 [ST8], §4.9.3.7, §4.9.3.9
#[test]
fn stanzas_that_end_the_stream() {
    use StreamCondition as C;
    for (bytes, condition) in [
        ("<message from='bot@plays.example'/>", C::ImproperAddressing),
        ("<message to='juliet@example.com'/>", C::ImproperAddressing),
        ("<message from='plays.example' to='@'/>", C::ImproperAddressing),
        ("<message from='bot@films.example' to='juliet@example.com'/>", C::InvalidFrom),
        ("<message from='juliet@example.com' to='juliet@example.com'/>", C::InvalidFrom),
        ("<message from='x.plays.example' to='juliet@example.com'/>", C::InvalidFrom),
        ("<iq type='get' id='1' from='films.example' to='example.com'/>", C::InvalidFrom),
        ("<order xmlns='urn:example'/>", C::UnsupportedStanzaType),
        ("<handshake/>", C::UnsupportedStanzaType),
    ] {
        let mut end = attached();
        end.feed(bytes);
        assert_eq!(end.error(), condition, "{bytes}");
        assert!(end.stanzas.is_empty());
    }
    for (bytes, condition) in [
        ("<message to='bot@plays.example'/>", C::ImproperAddressing),
        ("<message from='juliet@example.com'/>", C::ImproperAddressing),
        ("<order xmlns='urn:example'/>", C::UnsupportedStanzaType),
    ] {
        let mut end = component();
        end.feed(&[&header("id='1'"), "<handshake/>", bytes].concat());
        assert_eq!(end.error(), condition, "{bytes}");
    }
}

// RFC 7622 appendix A: its server may take for an address what is none here. Whoever has it does not throw the component off.
#[test]
fn an_address_of_older_rules_ends_no_stream() {
    let stranger = "<message from='\u{263a}@a.example' to='bot@plays.example'/>";
    let message = "<message from='juliet@example.com' to='bot@plays.example'/>";
    let mut end = component();
    end.feed(&[&header("id='1'"), "<handshake/>", stranger, message].concat());
    assert!(end.ended.is_none(), "{:?}", end.ended);
    assert_eq!(end.stanzas.len(), 1);
    let mut end = attached();
    let answer = end.feed("<message from='bot@plays.example' to='\u{263a}@example.com' id='1'/>");
    assert!(
        answer.starts_with("<message from='example.com' to='bot@plays.example' type='error' id='1'>"),
        "{answer}"
    );
}

// The same of a domain: whoever has one, and a server that talks with it, does not throw a component off.
#[test]
fn a_domain_of_older_rules_does_not_throw_a_component_off() {
    let message = "<message from='juliet@example.com' to='bot@plays.example'/>";
    for from in [
        "\u{263a}.example",
        "romeo@my_host.example",
        "romeo@a\u{2603}.example/x",
        "romeo@-a.example",
        "romeo@a..example",
    ] {
        let mut end = component();
        let stranger = format!("<message from='{from}' to='bot@plays.example'/>");
        let answer = end.feed(&[&header("id='1'"), "<handshake/>", &stranger, message].concat());
        assert!(end.ended.is_none(), "{from} {:?}", end.ended);
        assert_eq!(end.stanzas.len(), 1, "{from}");
        assert!(!answer.contains("type='error'"), "{from} {answer}");
    }
}

// RFC 6120 §8.2.3 stanza-iq-child, §8.3.1 stanza-error-reply
#[test]
fn invalid_stanzas_get_an_error_and_the_stream_goes_on() {
    let mut end = attached();
    let answer = end.feed("<iq type='get' id='1' from='bot@plays.example' to='example.com'/>");
    assert!(
        answer.starts_with("<iq from='example.com' to='bot@plays.example' type='error' id='1'>"),
        "{answer}"
    );
    assert_eq!(end.feed("<iq type='error' from='plays.example' to='example.com'/>"), "");
    end.feed(MESSAGE);
    assert_eq!(end.stanzas.len(), 1);

    let mut end = component();
    end.feed(&[&header("id='1'"), "<handshake/>"].concat());
    let answer = end.feed("<iq type='set' id='1' from='juliet@example.com' to='plays.example'/>");
    assert!(
        answer.starts_with("<iq from='plays.example' to='juliet@example.com' type='error' id='1'>"),
        "{answer}"
    );
    end.feed("<message from='juliet@example.com' to='plays.example'/>");
    assert_eq!(end.stanzas.len(), 1);
}

// XEP-0114 1.6 §3: what a component may send.
#[test]
fn a_component_sends_from_its_domain() {
    let mut end = component();
    end.feed(&[&header("id='1'"), "<handshake/>"].concat());
    let from = |from: &str| {
        Stanza::message(MessageType::Chat)
            .with_from(from.parse().unwrap())
            .with_to("a@example.com".parse().unwrap())
    };
    assert!(end.stream.send(&from("bot@plays.example/r"), &mut end.out).is_ok());
    for stanza in [from("bot@films.example"), from("example.com"), Stanza::message(MessageType::Chat)] {
        assert!(end.stream.send(&stanza, &mut end.out).is_err());
    }
}

// RFC 6120 §4.9.3.1, §4.9.3.10, §4.9.3.24
#[test]
fn servers_that_a_component_leaves() {
    use StreamCondition as C;
    let hello = header("id='1'");
    let stanza = "<message from='juliet@example.com' to='plays.example'/>";
    for (bytes, condition) in [
        (header(""), C::BadFormat),
        (hello.replace("component:accept", "server"), C::InvalidNamespace),
        (format!("{hello}<stream:features/>"), C::UnsupportedStanzaType),
        (format!("{hello}{stanza}"), C::UnsupportedStanzaType),
    ] {
        let mut end = component();
        end.feed(&bytes);
        assert_eq!(end.error(), condition, "{bytes}");
        assert!(end.stanzas.is_empty());
    }
}

// RFC 6120 §4.4 [W5], §4.6.1 [W3] [W4], §4.6.4 [W2]
#[test]
fn silence_and_the_end() {
    let mut end = attached();
    let ping = end.wait();
    assert!(ping.starts_with("<iq from='example.com' to='plays.example' type='get' id='"), "{ping}");
    end.wait();
    assert_eq!(end.error(), StreamCondition::ConnectionTimeout);

    let mut end = component();
    end.feed(&[&header("id='1'"), "<handshake/>"].concat());
    // [W2]: it asks nobody, but the connection below finds out if its server is gone without a word.
    assert_eq!([end.wait(), end.wait()], [" ", " "]);
    end.stream.close(end.now, &mut end.out);
    end.feed(&["<message from='juliet@example.com' to='plays.example'/>", CLOSE].concat());
    assert_eq!((end.stanzas.len(), end.ended), (1, Some(Ok(()))));

    // What comes after our closing tag, and without a handshake, is nobody's.
    let mut end = server();
    end.feed(&header("to='plays.example'"));
    end.stream.close(end.now, &mut end.out);
    end.feed(&[MESSAGE, CLOSE].concat());
    assert_eq!((end.stanzas.len(), end.ended), (0, Some(Ok(()))));
    let mut end = attached();
    end.stream.close(end.now, &mut end.out);
    end.feed(&[MESSAGE, "<iq type='get' id='1' from='plays.example' to='example.com'/>", CLOSE].concat());
    assert_eq!((end.stanzas.len(), end.output().as_str()), (1, CLOSE));
}

// XEP-0114 1.6 §4: there is no STARTTLS, but TLS can lie below.
#[test]
fn on_tls_from_the_first_byte() {
    let mut config =
        ComponentInitiatingConfig::new("plays.example".parse().unwrap(), Secret::new("secret".into()));
    config.direct_tls = true;
    assert!(!format!("{config:?}").contains("\"secret\""));
    let stream = ComponentStream::initiating(Arc::new(config), Seed::from_u64(1), Instant::ZERO);
    let mut end = End::new(stream);
    assert_eq!(end.feed(""), "");
    end.stream.secured(Security::default()).unwrap();
    assert!(end.feed("").contains("to='plays.example'"));
    assert!(component().stream.secured(Security::default()).is_err());
}

// RFC 6120 §4.8.2: a header need not declare a content namespace, at either end; then each first-level element brings its own.
#[test]
fn a_header_without_a_content_namespace() {
    let own = |element: &str| element.replacen(" from=", " xmlns='jabber:component:accept' from=", 1);
    for (start, end) in [("<stream xmlns=", ">"), ("<s:stream xmlns:s=", ">")] {
        let mut server = self::server();
        server.feed(&format!("{start}'{STREAM}' to='plays.example'{end}"));
        let digest = handshake(stream_id(&server.output()), "secret");
        server.feed(&format!("<handshake xmlns='jabber:component:accept'>{digest}</handshake>"));
        server.answer(ComponentAnswer::Attached(true));
        let mut component = self::component();
        let answer = component.feed(&format!("{start}'{STREAM}' from='plays.example' id='3BF96D32'{end}"));
        assert!(answer.ends_with("b09ea9b3b7f586be8a08d0a3dd7466f110aeb136</handshake>"), "{answer}");
        component.feed("<handshake xmlns='jabber:component:accept'/>");
        for mut one in [server, component] {
            assert!(one.stream.is_open(), "{}", one.output());
            one.feed(&own(MESSAGE));
            let [stanza] = &one.stanzas[..] else { panic!("{}", one.output()) };
            assert_eq!(stanza.payload.as_bytes(), b"<body>Hi</body>");
            one.feed(MESSAGE);
            assert_eq!(one.error(), StreamCondition::UnsupportedStanzaType);
        }
    }
}
