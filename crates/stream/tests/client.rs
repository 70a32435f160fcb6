//! A server's bytes, good and bad, against the initiating end of a stream.

#![allow(clippy::unwrap_used)]

mod common;

use core::time::Duration;

use balcony_machine::{Progress, Reason};
use balcony_sasl::{Mechanism, SaslCondition, ServerExchange};
use balcony_stanza::{ErrorCondition, MessageType, Stanza, StreamCondition};
use balcony_stream::client::{ClientAnswer, ClientEvent};
use balcony_stream::{ChannelBinding, Error, Security, TlsPolicy};
use common::{
    BIND, BOUND, CLOSE, Client, EXPORTER, HEADER, PROCEED, STARTTLS, SUCCESS, Scram, data, features,
    mechanisms, sasl,
};

const STARTTLS_REQUIRED: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>";
const CHANNEL_BINDING: &str = "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/></sasl-channel-binding>";
const OTHER_BINDING: &str = "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-server-end-point'/></sasl-channel-binding>";
const UNKNOWN_BINDING: &str = "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-unique'/></sasl-channel-binding>";
const FAILURE: &str = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>";
const ALL: [&str; 5] = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"];

fn plain() -> String {
    features(&mechanisms(&["PLAIN"]))
}

/// The server's bytes up to each phase of a login with PLAIN on TLS, with the name of what follows.
fn phases() -> Vec<(&'static str, Vec<String>)> {
    let script = [HEADER, &plain(), SUCCESS, HEADER, BIND, BOUND].map(String::from);
    ["header", "features", "success", "second header", "second features", "bind result", "stanzas"]
        .into_iter()
        .enumerate()
        .map(|(count, next)| (next, script[..count].to_vec()))
        .collect()
}

fn at(script: &[String]) -> Client {
    Client::at(&script.iter().map(String::as_str).collect::<Vec<_>>())
}

// RFC 6120 §4.7.1 [H1], §4.7.2 [H5], §4.7.3 [H8], §4.7.4 [H10], §4.7.5 [H12], §11.5 [X7]
#[test]
fn the_header_in_the_clear_does_not_say_who_we_are() {
    for tls in [TlsPolicy::Required, TlsPolicy::Optional, TlsPolicy::None] {
        let mut client = Client::new(tls);
        assert_eq!(
            client.feed(""),
            "<?xml version='1.0'?><stream:stream to='example.com' version='1.0' xml:lang='en' \
             xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
        );
        // Once is enough.
        assert_eq!(client.feed(""), "");
    }
    let mut client = Client::secured(None, |config| config.lang = "de-AT".into());
    assert_eq!(
        client.feed(""),
        "<?xml version='1.0'?><stream:stream from='juliet@example.com' to='example.com' version='1.0' \
         xml:lang='de-AT' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
    );
}

// RFC 6120 §4.7.5 [H14] [H15] [H16], §4.9.3.25
#[test]
fn servers_of_another_time() {
    for version in ["", " version='0.9'", " version='0.10'", " version='one'", " version='1'"] {
        let mut client = Client::at(&[]);
        client.feed(&HEADER.replace(" version='1.0' ", &format!("{version} ")));
        assert_eq!(client.error(), StreamCondition::UnsupportedVersion, "{version}");
    }
    for version in ["1.0", "01.00", "1.7", "2.0", "12.3", "4294967296.0"] {
        let mut client = Client::at(&[&HEADER.replace(" version='1.0' ", &format!(" version='{version}' "))]);
        assert!(client.feed(&plain()).starts_with("<auth "), "{version}");
    }
}

// RFC 6120 §4.9.3.10
#[test]
fn servers_of_another_kind() {
    for header in [
        HEADER.replace("jabber:client", "jabber:server"),
        HEADER.replace("http://etherx.jabber.org/streams", "urn:example"),
        "<html xmlns='http://www.w3.org/1999/xhtml'>".into(),
    ] {
        let mut client = Client::at(&[]);
        client.feed(&header);
        assert_eq!(client.error(), StreamCondition::InvalidNamespace, "{header}");
    }
}

// RFC 6120 §5.4 [N9] [N13], §4.7.1 [H1]
#[test]
fn starttls_and_nothing_else_before_tls() {
    for tls in [TlsPolicy::Required, TlsPolicy::Optional] {
        for offer in [STARTTLS, STARTTLS_REQUIRED, &format!("{}{STARTTLS}", mechanisms(&ALL))] {
            let mut client = Client::new(tls);
            client.feed(HEADER);
            assert_eq!(client.feed(&features(offer)), STARTTLS);
            assert_eq!(client.feed(""), "");

            // What is slipped in behind <proceed/> is TLS's, never ours.
            let injected = format!("{PROCEED}{HEADER}{}", plain());
            let mut input = injected.as_bytes();
            assert_eq!(client.feed_bytes(&mut input), "");
            assert_eq!(client.events, ["StartTls"]);
            assert_eq!(input.len(), injected.len() - PROCEED.len());
            assert_eq!(client.feed_bytes(&mut input), "");
            assert_eq!(input.len(), injected.len() - PROCEED.len());
        }
    }
}

// RFC 6120 §5.4.3.3 [N12], §15 tls-restart: what was said in the clear counts for nothing.
#[test]
fn the_stream_after_tls_is_a_new_one() {
    let mut client = Client::new(TlsPolicy::Required);
    client.feed(&HEADER.replace("xml:lang='en'", "xml:lang='it'"));
    client.feed(&features(&format!("{STARTTLS}{}{CHANNEL_BINDING}", mechanisms(&["SCRAM-SHA-1", "PLAIN"]))));
    client.feed_bytes(&mut PROCEED.as_bytes());
    client.stream.secured(Security::new(None)).unwrap();
    assert!(client.feed("").contains("<stream:stream from='juliet@example.com' to='example.com'"));
    client.feed(&HEADER.replace(" xml:lang='en'", ""));
    // Not what was offered before, nor TLS again.
    let auth = client.feed(&features(&format!("{STARTTLS_REQUIRED}{}", mechanisms(&["SCRAM-SHA-256"]))));
    assert!(auth.contains("mechanism='SCRAM-SHA-256'"), "{auth}");
    assert!(client.stream.secured(Security::new(None)).is_err());
}

// RFC 7590 §3.1 [U2], RFC 6120 §13.8.4: whoever takes the feature out is asked for TLS all the same, and gets nothing else.
#[test]
fn a_stripped_starttls_feature() {
    let refusals = [
        "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        "<stream:error><unsupported-stanza-type xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
        CLOSE,
    ];
    for offer in ["", &mechanisms(&ALL), BIND] {
        for refusal in refusals {
            let mut client = Client::new(TlsPolicy::Required);
            client.feed(HEADER);
            assert_eq!(client.feed(&features(offer)), STARTTLS, "{offer}");
            assert_eq!(client.feed(refusal), CLOSE);
            assert_eq!(client.failure(), Error::NoTls, "{refusal}");
            assert!(!client.output().contains("juliet") && !client.output().contains("<auth"));
        }
        let mut client = Client::new(TlsPolicy::Required);
        client.feed(HEADER);
        client.feed(&features(offer));
        assert_eq!(client.stream.eof(client.now, &mut Vec::new()).unwrap_err(), Error::NoTls);
        // A server that only does not tell.
        let mut client = Client::new(TlsPolicy::Required);
        client.feed(HEADER);
        client.feed(&features(offer));
        client.feed_bytes(&mut PROCEED.as_bytes());
        client.stream.secured(Security::new(None)).unwrap();
        assert!(client.feed("").contains("<stream:stream from='juliet@example.com' to='example.com'"));
    }
    // What was offered and then fails for another reason keeps its reason.
    let mut client = Client::new(TlsPolicy::Required);
    client.feed(HEADER);
    client.feed(&features(STARTTLS_REQUIRED));
    client
        .feed("<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>");
    assert!(matches!(client.failure(), Error::Remote(_)));
    // Who said that it may be goes on, and still does not say the password.
    let mut client = Client::new(TlsPolicy::Optional);
    client.feed(HEADER);
    assert!(client.feed(&features(&mechanisms(&ALL))).contains("mechanism='SCRAM-SHA-256'"));
}

// RFC 6120 §5.4.2.2 [N10]
#[test]
fn starttls_refused() {
    let mut client = Client::new(TlsPolicy::Optional);
    client.feed(HEADER);
    client.feed(&features(&format!("{STARTTLS}{}", mechanisms(&ALL))));
    assert_eq!(client.feed("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"), CLOSE);
    assert_eq!(client.failure(), Error::NoTls);
}

// RFC 6120 §5.4.3.2 [N11]: no byte of ours during the handshake.
#[test]
fn an_end_during_the_handshake_is_silent() {
    let handshaking = || {
        let mut client = Client::new(TlsPolicy::Required);
        client.feed(&[HEADER, &features(STARTTLS)].concat());
        client.feed_bytes(&mut PROCEED.as_bytes());
        client.out.clear();
        client
    };
    let mut client = handshaking();
    assert_eq!(client.eof(), "");
    assert_eq!(client.ended, Some(Err(Error::Truncated)));

    let mut client = handshaking();
    client.stream.abort(StreamCondition::Reset.into(), &mut client.out);
    assert_eq!(client.feed("x"), "");
    assert!(matches!(client.ended, Some(Err(Error::Local(_)))));

    let mut client = handshaking();
    client.stream.close(client.now, &mut client.out);
    assert_eq!(client.feed("x"), "");
    assert_eq!(client.ended, Some(Ok(())));

    let mut client = handshaking();
    client.now = client.stream.deadline().unwrap().at;
    assert_eq!(client.feed("x"), "");
    assert!(matches!(client.ended, Some(Err(Error::Local(_)))));
}

// RFC 6120 §6.3.3 [S1]: our order, and only what both have; unknown names and other spellings are nothing.
#[test]
fn the_best_mechanism_is_chosen() {
    let cases: [(&[&str], &[Mechanism], Option<&str>); 9] = [
        (&["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"], Mechanism::all(), Some("SCRAM-SHA-256")),
        (&["PLAIN", "SCRAM-SHA-1"], Mechanism::all(), Some("SCRAM-SHA-1")),
        (&["EXTERNAL", "X-NEW", "PLAIN"], Mechanism::all(), Some("PLAIN")),
        (&ALL, &[Mechanism::ScramSha1, Mechanism::ScramSha256], Some("SCRAM-SHA-1")),
        (&ALL, &[Mechanism::Plain], Some("PLAIN")),
        (&["PLAIN"], &[Mechanism::ScramSha256], None),
        (&["plain", "SCRAM-SHA3-512", "", "PLAIN "], Mechanism::all(), None),
        (&[], Mechanism::all(), None),
        (&ALL, &[], None),
    ];
    for (offered, wanted, chosen) in cases {
        let mut client = Client::secured(None, |config| config.mechanisms = wanted.to_vec());
        client.feed(HEADER);
        let answer = client.feed(&features(&mechanisms(offered)));
        match chosen {
            Some(chosen) => {
                assert!(answer.contains(&format!("mechanism='{chosen}'")), "{offered:?}: {answer}")
            }
            None => assert_eq!((answer.as_str(), client.failure()), (CLOSE, Error::NoMechanism)),
        }
    }
}

// RFC 6120 §13.12: what a server bounds for strangers, a client need not bound for its server.
#[test]
fn a_server_may_have_many_features() {
    let others: String = (0..500).map(|n| format!("<feature xmlns='urn:xmpp:{n}'><a/></feature>")).collect();
    let mut client = Client::secured(None, |_| {});
    client.feed(HEADER);
    let out = client.feed(&features(&format!("{others}{}", mechanisms(&["SCRAM-SHA-256"]))));
    assert!(out.contains("mechanism='SCRAM-SHA-256'"), "{out}");
}

// RFC 6120 §13.8.3 [S2] [PL1]: the password goes over TLS or not at all.
#[test]
fn plain_never_without_tls() {
    for tls in [TlsPolicy::Optional, TlsPolicy::None] {
        let mut client = Client::with(|config| {
            config.tls = tls;
            config.mechanisms = vec![Mechanism::Plain];
        });
        client.feed(HEADER);
        assert_eq!(client.feed(&plain()), CLOSE);
        assert_eq!(client.failure(), Error::NoMechanism);
        // -PLUS needs a channel to bind to.
        let mut client = Client::new(tls);
        client.feed(HEADER);
        assert_eq!(client.feed(&features(&mechanisms(&["SCRAM-SHA-256-PLUS"]))), CLOSE);
        assert_eq!(client.failure(), Error::NoMechanism);
    }
    assert_eq!(data(&Client::at(&[HEADER, &plain()]).output(), "auth"), b"\0juliet\0pencil");
}

// RFC 6120 §4.3.2 [N4] [N5], §4.9.3.23
#[test]
fn features_that_cannot_be_negotiated() {
    let unknown = "<compulsory xmlns='urn:example'><required/></compulsory>";
    for offer in ["", unknown, &format!("{unknown}{}", mechanisms(&ALL))] {
        let mut client = Client::at(&[HEADER, &plain(), SUCCESS, HEADER]);
        client.feed(&features(offer));
        assert_eq!(client.error(), StreamCondition::UnsupportedFeature, "{offer}");
    }
    let mut client = Client::at(&[HEADER]);
    client.feed(&features(unknown));
    assert_eq!(client.error(), StreamCondition::UnsupportedFeature);
    // What need not be negotiated does no harm, and no good.
    let mut client = Client::at(&[HEADER]);
    client.feed(&features("<voluntary xmlns='urn:example'/>"));
    assert_eq!(client.failure(), Error::NoMechanism);
    // Others may stand beside the one that we want, in whatever order [N6].
    let bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";
    let session = "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>";
    let mut client = Client::at(&[HEADER, &plain(), SUCCESS, HEADER]);
    assert!(client.feed(&features(&format!("{session}{unknown}{bind}"))).contains("<bind "));
}

/// Feeds the features, and returns the flag and the mechanism with which the exchange begins.
fn binding_flag(client: &mut Client, offer: &str) -> (String, String) {
    client.feed(HEADER);
    flag_of(&client.feed(&features(offer)))
}

fn flag_of(auth: &str) -> (String, String) {
    let initial = String::from_utf8(data(auth, "auth")).unwrap();
    let mechanism = auth.split("mechanism='").nth(1).unwrap().split('\'').next().unwrap();
    (initial.split(',').next().unwrap().to_owned(), mechanism.to_owned())
}

// RFC 5802 §6 [SC12], XEP-0440 §3 [CB3] [CB4]
#[test]
fn channel_binding_is_used_where_both_can_and_never_hidden() {
    let plus = mechanisms(&ALL);
    let no_plus = mechanisms(&["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]);
    let with = |list: &str, announced: &str| format!("{list}{announced}");
    for (exporter, offer, flag, mechanism) in [
        (Some(EXPORTER), with(&plus, CHANNEL_BINDING), "p=tls-exporter", "SCRAM-SHA-256-PLUS"),
        (Some(EXPORTER), with(&plus, ""), "p=tls-exporter", "SCRAM-SHA-256-PLUS"),
        // Nobody can put others in the place of the -PLUS mechanisms, either.
        (
            Some(EXPORTER),
            with(&mechanisms(&["SCRAM-SHA3-512-PLUS", "SCRAM-SHA-256"]), CHANNEL_BINDING),
            "y",
            "SCRAM-SHA-256",
        ),
        // Nobody can hide the -PLUS mechanisms, even if the announcement is changed to match.
        (Some(EXPORTER), with(&no_plus, ""), "y", "SCRAM-SHA-256"),
        (None, with(&plus, CHANNEL_BINDING), "n", "SCRAM-SHA-256"),
        (None, with(&no_plus, ""), "n", "SCRAM-SHA-256"),
    ] {
        let mut client = Client::secured(exporter, |_| {});
        assert_eq!(binding_flag(&mut client, &offer), (flag.into(), mechanism.into()), "{offer}");
    }
}

// XEP-0440 1.0.0 §3 [CB2] [CB9]: the better one that both ends have, and each of them alone
#[test]
fn the_best_channel_binding_of_both_ends() {
    const END: &[u8] = &[7; 32];
    let both = CHANNEL_BINDING.replace("/></sasl", "/><channel-binding type='tls-server-end-point'/></sasl");
    for (exporter, end_point, announced, flag) in [
        (true, true, both.as_str(), "p=tls-exporter"),
        (false, true, &both, "p=tls-server-end-point"),
        (true, false, &both, "p=tls-exporter"),
        (true, true, OTHER_BINDING, "p=tls-server-end-point"),
        (true, true, CHANNEL_BINDING, "p=tls-exporter"),
        (true, true, "", "p=tls-exporter"),
        (false, true, "", "p=tls-server-end-point"),
        (false, false, &both, "n"),
    ] {
        let mut client = Client::with(|config| config.tls = TlsPolicy::Direct);
        let security = Security::new(exporter.then_some(EXPORTER));
        client.stream.secured(security.with_end_point(end_point.then(|| END.to_vec()))).unwrap();
        let offer = format!("{}{announced}", mechanisms(&ALL));
        assert_eq!(binding_flag(&mut client, &offer).0, flag, "{exporter} {end_point} {announced}");
    }
}

// XEP-0440 1.0.0 §3 [CB5] [CB6]: what no honest server offers, nobody answers
#[test]
fn an_offer_that_was_tampered_with_ends_the_stream() {
    let no_plus = &["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"][..];
    let sasl2 = |names: &[&str]| {
        mechanisms(names)
            .replace("mechanisms", "authentication")
            .replace("urn:ietf:params:xml:ns:xmpp-sasl", "urn:xmpp:sasl:2")
    };
    for (offer, aborts) in [
        // The -PLUS mechanisms are gone, or the types that they had.
        (format!("{}{CHANNEL_BINDING}", mechanisms(no_plus)), true),
        (format!("{}{UNKNOWN_BINDING}", mechanisms(no_plus)), true),
        (format!("{}{CHANNEL_BINDING}", sasl2(no_plus)), true),
        (sasl2(&ALL), true),
        (format!("{}{CHANNEL_BINDING}", sasl2(&ALL)), false),
        (sasl2(no_plus), false),
        // A mechanism that we lack is no less a -PLUS mechanism.
        (format!("{}{CHANNEL_BINDING}", mechanisms(&["SCRAM-SHA3-512-PLUS", "SCRAM-SHA-256"])), false),
    ] {
        let mut client = Client::secured(Some(EXPORTER), |_| {});
        client.feed(HEADER);
        let sent = client.feed(&features(&offer));
        assert_eq!(sent == CLOSE, aborts, "{offer} {sent}");
        if aborts {
            assert_eq!(client.failure(), Error::ChannelBinding);
        }
        // Who can't bind anyway, has nothing to lose; nor has who does not want to.
        for (exporter, policy) in [(None, ChannelBinding::Preferred), (Some(EXPORTER), ChannelBinding::Off)] {
            let mut client = Client::secured(exporter, |config| config.channel_binding = policy);
            client.feed(HEADER);
            assert_ne!(client.feed(&features(&offer)), CLOSE);
        }
    }
}

// XEP-0440 §3 [CB7] [CB8], XEP-0474 §7 [SD8]: the type that every server has is gone, or it is all that there is and the certificate is one
// that has none. The server has to say that this is its offer; PLAIN, by which nobody says anything, is not used.
#[test]
fn without_a_common_type_the_server_has_to_say_what_it_offers() {
    let first = |nonce: &str| format!("r={nonce}server,s=QSXCR+Q6sek8bf92,i=4096");
    for announced in [UNKNOWN_BINDING, OTHER_BINDING] {
        for h in ["", ",h=AAAA"] {
            let mut client = Client::secured(Some(EXPORTER), |_| {});
            client.feed(HEADER);
            let auth = client.feed(&features(&format!("{}{announced}", mechanisms(&ALL))));
            assert_eq!(flag_of(&auth), ("n".into(), "SCRAM-SHA-256".into()));
            let initial = String::from_utf8(data(&auth, "auth")).unwrap();
            let challenge = first(initial.split_once(",r=").unwrap().1) + h;
            client.feed(&sasl("challenge", challenge.as_bytes()));
            assert_eq!(client.failure(), Error::Downgraded, "{h}");
        }
        let mut client = Client::secured(Some(EXPORTER), |_| {});
        client.feed(HEADER);
        let offer = format!("{}{announced}", mechanisms(&["SCRAM-SHA-256-PLUS", "PLAIN"]));
        assert_eq!(client.feed(&features(&offer)), CLOSE);
        assert_eq!(client.failure(), Error::ChannelBinding);
    }
}

#[test]
fn channel_binding_can_be_demanded() {
    for (exporter, offer) in [
        (None, mechanisms(&ALL)),
        (Some(EXPORTER), mechanisms(&["SCRAM-SHA-256", "PLAIN"])),
        (Some(EXPORTER), plain()),
        (Some(EXPORTER), format!("{}{OTHER_BINDING}", mechanisms(&ALL))),
    ] {
        let mut client =
            Client::secured(exporter, |config| config.channel_binding = ChannelBinding::Required);
        client.feed(HEADER);
        assert_eq!(client.feed(&features(&offer)), CLOSE);
        assert_eq!(client.failure(), Error::ChannelBinding);
    }
}

// RFC 5802 §6: who does not want to bind says the same as who can't, whatever is offered.
#[test]
fn channel_binding_can_be_turned_off() {
    for offer in [mechanisms(&ALL), format!("{}{CHANNEL_BINDING}", mechanisms(&ALL)), mechanisms(&ALL[2..])] {
        let mut client =
            Client::secured(Some(EXPORTER), |config| config.channel_binding = ChannelBinding::Off);
        assert_eq!(binding_flag(&mut client, &offer), ("n".into(), "SCRAM-SHA-256".into()));
        // So does who leaves out all mechanisms for it.
        let mut client =
            Client::secured(Some(EXPORTER), |config| config.mechanisms = vec![Mechanism::ScramSha256]);
        assert_eq!(binding_flag(&mut client, &offer).0, "n");
    }
    // But to have others stand before them is no way to lose them.
    let mut client = Client::secured(Some(EXPORTER), |config| {
        config.mechanisms = vec![Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha1Plus];
    });
    assert_eq!(binding_flag(&mut client, &mechanisms(&ALL)).1, "SCRAM-SHA-1-PLUS");
}

/// A client whose TLS has both types of channel binding.
fn with_both(policy: ChannelBinding) -> Client {
    let mut client =
        Client::with(|config| (config.tls, config.channel_binding) = (TlsPolicy::Direct, policy));
    let security = Security::new(Some(EXPORTER)).with_end_point(Some(vec![7; 32]));
    client.stream.secured(security).unwrap();
    client
}

// RFC 5802 §6 [SC12], XEP-0440: a server that offers -PLUS and announces nothing may be unable to bind to what we have.
#[test]
fn unannounced_channel_bindings_are_tried() {
    let refused = [FAILURE, &FAILURE.replace("not-authorized", "malformed-request")];
    for failure in refused {
        let mut client = with_both(ChannelBinding::Preferred);
        assert_eq!(binding_flag(&mut client, &mechanisms(&ALL)).0, "p=tls-exporter");
        let second = flag_of(&client.feed(failure));
        assert_eq!(second, ("p=tls-server-end-point".into(), "SCRAM-SHA-256-PLUS".into()));
        let third = flag_of(&client.feed(failure));
        assert_eq!(third, ("y".into(), "SCRAM-SHA-256".into()));
        assert_eq!(client.feed(failure), CLOSE);
        assert_eq!(client.failure(), Error::ChannelBinding);
    }
    // There may be nothing else, or nothing else that will do.
    for (policy, offer) in [(ChannelBinding::Preferred, &ALL[..2]), (ChannelBinding::Required, &ALL)] {
        let mut client = with_both(policy);
        binding_flag(&mut client, &mechanisms(offer));
        assert_eq!(flag_of(&client.feed(FAILURE)).0, "p=tls-server-end-point");
        assert_eq!(client.feed(FAILURE), CLOSE);
        assert_eq!(client.failure(), Error::ChannelBinding);
    }
}

// RFC 5802 §6 [SC11]: what the client falls back to is worth nothing to whoever brings it about.
#[test]
fn a_refusal_in_the_name_of_the_server_is_found_out() {
    let second = || {
        let mut client = Client::secured(Some(EXPORTER), |_| {});
        client.feed(&[HEADER, &features(&mechanisms(&ALL)), FAILURE].concat());
        client
    };
    let initial = data(&second().output(), "auth");
    let mut server = ServerExchange::new(Mechanism::ScramSha256, None, true, "servers-nonce");
    assert!(server.initial(Some(&initial)).is_err());

    // A server that can't bind after all takes it, and a wrong password is told as such.
    for right in [true, false] {
        let mut client = second();
        let mut scram = Scram::new(Mechanism::ScramSha256, None, false);
        let challenge = scram.challenge(&data(&client.output(), "auth"));
        let response = client.feed(&sasl("challenge", &challenge));
        if right {
            client.feed(&sasl("success", &scram.success(&data(&response, "response"))));
            assert!(client.events.len() == 1 && client.events[0].contains("ScramSha256"));
        } else {
            assert_eq!(client.feed(FAILURE), CLOSE);
            assert_eq!(client.failure(), Error::Authentication(SaslCondition::NotAuthorized, None));
        }
    }
}

// RFC 6120 §13.8.3 [PL1]: whoever refuses what was bound is not sent the password instead.
#[test]
fn no_refusal_leads_to_plain() {
    let mut client = with_both(ChannelBinding::Preferred);
    binding_flag(&mut client, &mechanisms(&["SCRAM-SHA-256-PLUS", "PLAIN"]));
    assert_eq!(flag_of(&client.feed(FAILURE)).1, "SCRAM-SHA-256-PLUS");
    assert_eq!(client.feed(FAILURE), CLOSE);
    assert_eq!(client.failure(), Error::ChannelBinding);
}

// XEP-0440, RFC 6120 §6.4.5: all other refusals are final.
#[test]
fn no_second_try_after_other_refusals() {
    // The type was announced.
    for policy in [ChannelBinding::Preferred, ChannelBinding::Required] {
        let mut client = with_both(policy);
        binding_flag(&mut client, &format!("{}{CHANNEL_BINDING}", mechanisms(&ALL)));
        assert_eq!(client.feed(FAILURE), CLOSE);
        assert_eq!(client.failure(), Error::Authentication(SaslCondition::NotAuthorized, None));
    }
    // It was taken, and the password is wrong.
    let mut client = with_both(ChannelBinding::Preferred);
    binding_flag(&mut client, &mechanisms(&ALL));
    let mut scram = Scram::new(Mechanism::ScramSha256Plus, Some(EXPORTER), true);
    let challenge = scram.challenge(&data(&client.output(), "auth"));
    client.feed(&sasl("challenge", &challenge));
    assert_eq!(client.feed(FAILURE), CLOSE);
    assert_eq!(client.failure(), Error::Authentication(SaslCondition::NotAuthorized, None));
    // It is no matter of the type.
    let mut client = with_both(ChannelBinding::Preferred);
    binding_flag(&mut client, &mechanisms(&ALL));
    assert_eq!(client.feed(&FAILURE.replace("not-authorized", "temporary-auth-failure")), CLOSE);
    assert_eq!(client.failure(), Error::Authentication(SaslCondition::TemporaryAuthFailure, None));
    // There was none.
    let mut client = Client::at(&[HEADER, &features(&mechanisms(&ALL))]);
    assert_eq!(client.feed(FAILURE), CLOSE);
}

/// A client whose password SASLprep makes `m2`, after these features.
fn superscript(features_content: &str) -> Client {
    let mut client =
        Client::secured(None, |config| config.password = balcony_machine::Secret::new("m²".into()));
    client.feed(&[HEADER, &features(features_content)].concat());
    client
}

// RFC 5802 §2.2, RFC 4616 §2: the password as SASLprep prepares it, and once more as it was before, where the two differ.
#[test]
fn the_other_form_of_a_password_is_tried_once() {
    let plain = mechanisms(&["PLAIN"]);
    let mut client = superscript(&plain);
    assert_eq!(data(&client.output(), "auth"), b"\0juliet\0m2");
    let second = client.feed(FAILURE);
    assert_eq!(data(&second, "auth"), "\0juliet\0m²".as_bytes());
    client.feed(&[SUCCESS, HEADER, BIND, BOUND].concat());
    assert!(client.stream.is_open(), "{:?}", client.ended);

    // It is the last try.
    let mut client = superscript(&plain);
    client.feed(FAILURE);
    assert_eq!(client.feed(FAILURE), CLOSE);
    assert_eq!(client.failure(), Error::Authentication(SaslCondition::NotAuthorized, None));

    // SCRAM, with a server that has the keys of this form or of that. (An account with the keys of `m²` itself can't be made
    // any more; this one stands for it.)
    for form in ["m2", "another"] {
        let mut client = superscript(&mechanisms(&["SCRAM-SHA-256", "PLAIN"]));
        let mut scram = Scram::new(Mechanism::ScramSha256, None, false).with_password(form);
        let challenge = scram.challenge(&data(&client.output(), "auth"));
        let response = client.feed(&sasl("challenge", &challenge));
        if form == "m2" {
            client.feed(&sasl("success", &scram.success(&data(&response, "response"))));
            assert!(client.events.len() == 1 && client.events[0].contains("ScramSha256"));
            continue;
        }
        // The same mechanism, and never PLAIN.
        let again = client.feed(FAILURE);
        assert!(again.contains("mechanism='SCRAM-SHA-256'"), "{again}");
        let mut scram = Scram::new(Mechanism::ScramSha256, None, false);
        let second = client.feed(&sasl("challenge", &scram.challenge(&data(&again, "auth"))));
        assert_ne!(data(&second, "response"), data(&response, "response"));
        assert_eq!(client.feed(FAILURE), CLOSE);
        assert_eq!(client.failure(), Error::Authentication(SaslCondition::NotAuthorized, None));
    }
}

// RFC 6120 §6.4.5: what was not about the password, and a password of one form, is not tried again.
#[test]
fn no_second_try_where_it_can_do_nothing() {
    let refused = |client: &mut Client, failure: &str| {
        assert_eq!(client.feed(failure), CLOSE);
        client.failure()
    };
    let plain = mechanisms(&["PLAIN"]);
    let mut client = superscript(&plain);
    let failure = FAILURE.replace("not-authorized", "account-disabled");
    assert_eq!(refused(&mut client, &failure), Error::Authentication(SaslCondition::AccountDisabled, None));
    let mut client = Client::at(&[HEADER, &features(&plain)]);
    assert_eq!(refused(&mut client, FAILURE), Error::Authentication(SaslCondition::NotAuthorized, None));
    // No salt has come, so nothing has been guessed.
    let mut client = superscript(&mechanisms(&["SCRAM-SHA-256"]));
    assert_eq!(refused(&mut client, FAILURE), Error::Authentication(SaslCondition::NotAuthorized, None));
}

// A server that takes one try only: what it ends the stream for is the password.
#[test]
fn a_server_that_hears_no_second_try_has_refused_the_first() {
    let error =
        "<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    for end in [Some(CLOSE), Some(error), None] {
        let mut client = superscript(&mechanisms(&["PLAIN"]));
        client.feed(FAILURE);
        match end {
            Some(end) => drop(client.feed(end)),
            None => drop(client.eof()),
        }
        let refusal = Error::Authentication(SaslCondition::NotAuthorized, None);
        assert_eq!(client.ended, Some(Err(refusal)), "{end:?}");
    }
}

// RFC 4013 §2.3: the reason names what is wrong with the password.
#[test]
fn a_password_that_can_be_none_is_said_to_be_so() {
    let mut client =
        Client::secured(None, |config| config.password = balcony_machine::Secret::new("a\tb".into()));
    client.feed(&[HEADER, &features(&mechanisms(&["PLAIN"]))].concat());
    let text = client.failure().to_string();
    assert!(text.contains("a character that is not allowed"), "{text}");
}

// RFC 6120 §6.5 [S12] [S15]
#[test]
fn every_failure_is_told() {
    for condition in SaslCondition::all() {
        let mut client = Client::at(&[HEADER, &plain()]);
        client.feed(&FAILURE.replace("not-authorized", condition.name()));
        assert_eq!(client.failure(), Error::Authentication(*condition, None));
    }
    let text = "<text xml:lang='en'>Ask &lt;the nurse></text>";
    for (content, condition, told) in [
        ("<account-disabled/>".to_owned() + text, SaslCondition::AccountDisabled, true),
        (text.to_owned() + "<account-disabled/>", SaslCondition::AccountDisabled, true),
        (text.to_owned(), SaslCondition::NotAuthorized, true),
        ("<made-up/>".to_owned(), SaslCondition::NotAuthorized, false),
        (String::new(), SaslCondition::NotAuthorized, false),
    ] {
        let mut client = Client::at(&[HEADER, &plain()]);
        assert_eq!(client.feed(&FAILURE.replace("<not-authorized/>", &content)), CLOSE);
        let told = told.then_some("Ask <the nurse>".into());
        assert_eq!(client.failure(), Error::Authentication(condition, told), "{content}");
    }
}

// RFC 5802 §5 [SC9]: whoever does not know the password is not our server, whatever it says.
#[test]
fn a_server_that_does_not_prove_itself() {
    let proof = |change: &dyn Fn(Vec<u8>) -> String| {
        let mut client = Client::at(&[HEADER, &features(&mechanisms(&["SCRAM-SHA-256"]))]);
        let mut scram = Scram::new(Mechanism::ScramSha256, None, false);
        let challenge = scram.challenge(&data(&client.output(), "auth"));
        let response = client.feed(&sasl("challenge", &challenge));
        let sent = client.feed(&change(scram.success(&data(&response, "response"))));
        (client, sent)
    };
    // By the book, with the proof in either place.
    for place in ["success", "challenge"] {
        let (client, sent) =
            proof(&|data| sasl(place, &data) + if place == "challenge" { SUCCESS } else { "" });
        assert!(client.ended.is_none() && client.events.len() == 1, "{:?}", client.ended);
        // RFC 6120 §6.4.3: there is nothing to respond, and an empty element says so.
        assert_eq!(
            sent.starts_with("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"),
            place == "challenge"
        );
        assert!(sent.contains("<stream:stream from='juliet@example.com'"), "{sent}");
    }
    type Change = &'static dyn Fn(Vec<u8>) -> String;
    let changes: [(&str, Change); 7] = [
        ("no proof", &|_| SUCCESS.into()),
        ("an empty proof", &|_| SUCCESS.replace("/>", ">=</success>")),
        ("a proof of nothing", &|_| sasl("success", b"v=")),
        ("a wrong proof", &|mut data| {
            data[7] = if data[7] == b'A' { b'B' } else { b'A' };
            sasl("success", &data)
        }),
        ("half a proof", &|data| sasl("success", &data[..(data.len() / 2) & !3])),
        ("an error", &|_| sasl("success", b"e=other-error")),
        ("a wrong proof before success", &|mut data| {
            data[7] = if data[7] == b'A' { b'B' } else { b'A' };
            sasl("challenge", &data) + SUCCESS
        }),
    ];
    for (what, change) in changes {
        let (client, sent) = proof(change);
        assert_eq!(client.failure(), Error::ServerNotAuthentic, "{what}");
        assert!(client.events.is_empty(), "{what}");
        assert!(!sent.contains("<stream:stream"), "{what}: {sent}");
    }
    // Nor may it skip the exchange.
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-1"] {
        let mut client = Client::at(&[HEADER, &features(&mechanisms(&[mechanism]))]);
        client.feed(SUCCESS);
        assert_eq!(client.failure(), Error::ServerNotAuthentic);
    }
}

// RFC 5802 §5.1 [SC4] [SC5], RFC 6120 §6.4.4, §13.9.1 [S4]
#[test]
fn challenges_that_break_the_mechanism_are_aborted() {
    let nonce = |client: &Client| {
        let initial = String::from_utf8(data(&client.output(), "auth")).unwrap();
        initial.split("r=").nth(1).unwrap().to_owned()
    };
    for challenge in [
        "r=NONCE,s=c2FsdA==,i=4096",
        "r=not-ours-at-all,s=c2FsdA==,i=4096",
        "r=NONCEserver,s=c2FsdA==,i=4095",
        "r=NONCEserver,s=c2FsdA==,i=4000000000",
        "r=NONCEserver,s=no base64,i=4096",
        "m=new,r=NONCEserver,s=c2FsdA==,i=4096",
        "e=unknown-user",
        "",
    ] {
        let mut client = Client::at(&[HEADER, &features(&mechanisms(&["SCRAM-SHA-256"]))]);
        let challenge = challenge.replace("NONCE", &nonce(&client));
        let sent = client.feed(&sasl("challenge", challenge.as_bytes()));
        assert_eq!(sent, format!("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>{CLOSE}"), "{challenge}");
        assert!(matches!(client.failure(), Error::Authentication(..)));
    }
    let mut client = Client::at(&[HEADER, &features(&mechanisms(&["SCRAM-SHA-256"]))]);
    client.feed("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>no base64!</challenge>");
    assert_eq!(client.failure(), Error::Authentication(SaslCondition::IncorrectEncoding, None));
    // PLAIN has no challenges.
    let mut client = Client::at(&[HEADER, &plain()]);
    client.feed(&sasl("challenge", b"what?"));
    assert!(matches!(client.failure(), Error::Authentication(SaslCondition::MalformedRequest, _)));
}

// RFC 6120 §6.4.6 [S5] [S6]: success with zero-length data is success.
#[test]
fn success_with_data_of_no_length() {
    for success in
        [SUCCESS.into(), SUCCESS.replace("/>", "></success>"), SUCCESS.replace("/>", ">=</success>")]
    {
        let client = Client::at(&[HEADER, &plain(), &success]);
        assert_eq!(client.events.len(), 1, "{success}");
        assert!(client.output().ends_with("xmlns:stream='http://etherx.jabber.org/streams'>"));
    }
}

// habits.md: every ask is answered once or expires. A server may make us compute, but not wait for ever.
#[test]
fn the_salted_password_is_asked_for_and_may_fail() {
    let asked = || {
        let mut client = Client::at(&[HEADER, &features(&mechanisms(&["SCRAM-SHA-256"]))]);
        let challenge =
            Scram::new(Mechanism::ScramSha256, None, false).challenge(&data(&client.output(), "auth"));
        let bytes = sasl("challenge", &challenge) + SUCCESS;
        let mut input = bytes.as_bytes();
        let progress = client.stream.advance(client.now, &mut input, &mut client.out).unwrap();
        let Progress::Event(ClientEvent::Ask(ticket, _)) = progress else { panic!("{progress:?}") };
        // The success that has come too early waits meanwhile.
        assert_eq!(input, SUCCESS.as_bytes());
        let progress = client.stream.advance(client.now, &mut input, &mut client.out).unwrap();
        assert!(matches!(progress, Progress::Blocked(_)) && input == SUCCESS.as_bytes());
        (client, ticket)
    };
    let (mut client, ticket) = asked();
    client.stream.answer(ticket, ClientAnswer::Unavailable).unwrap();
    assert!(client.stream.answer(ticket, ClientAnswer::Unavailable).is_err());
    client.feed("");
    assert!(matches!(client.failure(), Error::Authentication(SaslCondition::TemporaryAuthFailure, _)));

    let (mut client, ticket) = asked();
    let deadline = client.stream.deadline().unwrap();
    assert_eq!(deadline.reason, Reason::Answer);
    client.now = deadline.at;
    client.feed("");
    assert!(matches!(client.failure(), Error::Authentication(SaslCondition::TemporaryAuthFailure, _)));
    assert!(client.stream.answer(ticket, ClientAnswer::Unavailable).is_err());

    // And so does who closes meanwhile.
    let (mut client, ticket) = asked();
    client.stream.close(client.now, &mut client.out);
    assert!(client.stream.answer(ticket, ClientAnswer::Unavailable).is_err());
    client.feed(CLOSE);
    assert_eq!(client.ended, Some(Ok(())));
}

// RFC 6120 §7.6, §7.7 [B1] [B2], §4.3.6, §7.3.2 bind-restart
#[test]
fn the_jid_is_what_the_server_says() {
    let mut client = Client::at(&[HEADER, &plain(), SUCCESS, HEADER]);
    assert_eq!(
        client.feed(BIND),
        "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
         <resource>balcony</resource></bind></iq>"
    );
    assert!(client.stream.jid().is_none() && !client.stream.is_open());
    assert_eq!(client.feed(&BOUND.replace("/balcony", "/Balcony-7 it&apos;s")), "");
    assert_eq!(client.stream.jid().unwrap().as_str(), "juliet@example.com/Balcony-7 it's");
    assert!(client.stream.is_open());

    let mut client = Client::secured(None, |config| config.resource = None);
    client.feed(&[HEADER, &plain(), SUCCESS, HEADER].concat());
    assert_eq!(
        client.feed(BIND),
        "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
    );
}

// RFC 6120 §7.7.2 [B4] [B5]
#[test]
fn bind_errors() {
    for (content, condition, text) in [
        (
            "<error type='cancel'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
            ErrorCondition::Conflict,
            None,
        ),
        (
            "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><error type='wait'><resource-constraint \
             xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>Too many</text></error>",
            ErrorCondition::ResourceConstraint,
            Some("Too many"),
        ),
        ("", ErrorCondition::UndefinedCondition, None),
    ] {
        let mut client = Client::at(&[HEADER, &plain(), SUCCESS, HEADER, BIND]);
        assert_eq!(client.feed(&format!("<iq type='error' id='bind'>{content}</iq>")), CLOSE);
        let Error::Bind(error) = client.failure() else { panic!("{:?}", client.ended) };
        assert_eq!((error.condition, error.text.as_deref()), (condition, text));
    }
    for jid in ["", "<jid/>", "<jid>juliet@example.com</jid>", "<jid>@/x</jid>"] {
        let mut client = Client::at(&[HEADER, &plain(), SUCCESS, HEADER, BIND]);
        client.feed(&BOUND.replace("<jid>juliet@example.com/balcony</jid>", jid));
        assert_eq!(client.error(), StreamCondition::UndefinedCondition, "{jid}");
    }
}

// RFC 6120 §4.3.5 [N3]: nothing before the resource is bound is ours, and nothing can be sent.
#[test]
fn stanzas_before_the_resource_is_bound_are_ignored() {
    let early = "<message><body>Wake up</body></message><presence/><iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>\
                 <iq type='set' id='bind'><a xmlns='urn:a'/></iq><iq type='result' id='other'/><iq type='get'/>";
    for (next, script) in
        phases().into_iter().filter(|(next, _)| !matches!(*next, "header" | "second header" | "stanzas"))
    {
        let mut client = at(&script);
        assert_eq!(client.feed(early), "", "before {next}");
        assert!(client.ended.is_none() && client.stanzas.is_empty(), "before {next}");
        assert!(client.stream.send(&Stanza::message(MessageType::Chat), &mut client.out).is_err());
        // Even if we are about to leave.
        client.stream.close(client.now, &mut client.out);
        assert_eq!(client.feed(early), "", "before {next}");
        assert!(client.stanzas.is_empty(), "before {next}");
        client.feed(CLOSE);
        assert_eq!(client.ended, Some(Ok(())));
    }
    // It goes on as if nothing had been.
    let mut client = at(&phases()[1].1);
    client.feed(&[early, &plain(), early, SUCCESS, HEADER, early, BIND, early, BOUND].concat());
    assert!(client.stream.is_open() && client.stanzas.is_empty());
}

// RFC 6120 §8
#[test]
fn stanzas_come_and_go() {
    let mut client = Client::at(&[HEADER, &plain(), SUCCESS, HEADER, BIND, BOUND]);
    assert_eq!(
        client.feed(
            "<message from='romeo@example.com/garden' id='1'><body>Hi</body></message> <order xmlns='urn:example'/>\
             <presence from='romeo@example.com/garden' xml:lang='it'/><stream:features/>"
        ),
        ""
    );
    assert_eq!(client.stanzas.len(), 2);
    // §4.7.4: the language of the stream holds for stanzas without one.
    let langs: Vec<_> = client.stanzas.iter().map(|stanza| stanza.head.lang.as_deref().unwrap()).collect();
    assert_eq!(langs, ["en", "it"]);
    // §8.3.1 [ST15]: who sends what is no stanza is told, not our server.
    let reply = client
        .feed("<iq type='get' id='7' from='romeo@example.com/garden' to='juliet@example.com/balcony'/>");
    assert!(
        reply.starts_with(
            "<iq from='juliet@example.com/balcony' to='romeo@example.com/garden' type='error' id='7'><error type='modify'><bad-request"
        ),
        "{reply}"
    );
    assert_eq!(
        client.feed("<iq type='result' from='romeo@example.com'/><message type='error' from='@'/>"),
        ""
    );
    // §8.3.3.12: nor does one with more in it than we take.
    let deep = "<a>".repeat(800) + &"</a>".repeat(800);
    let reply = client.feed(&format!("<iq type='get' id='8' from='romeo@example.com/garden'>{deep}</iq>"));
    assert!(
        reply.starts_with(
            "<iq to='romeo@example.com/garden' type='error' id='8'><error type='modify'><policy-violation "
        ),
        "{reply}"
    );
    client.out.clear();
    client.stream.send(&Stanza::message(MessageType::Chat).with_id("2"), &mut client.out).unwrap();
    assert_eq!(client.output(), "<message type='chat' id='2'/>");
    assert_eq!((client.stanzas.len(), &client.ended), (2, &None));
}

// RFC 6120 §4.4 [W5]
#[test]
fn the_server_closes_at_each_phase() {
    for (next, script) in phases().into_iter().filter(|(next, _)| !next.ends_with("header")) {
        let mut client = at(&script);
        assert_eq!(client.feed(CLOSE), CLOSE, "before {next}");
        assert_eq!(client.ended, Some(Ok(())), "before {next}");
        // What follows is nobody's.
        assert_eq!(client.feed("<message/>"), "");
        assert!(client.stanzas.is_empty());
    }
}

// RFC 6120 §4.4 [W5]
#[test]
fn we_close_at_each_phase() {
    for (next, script) in phases() {
        let mut client = at(&script);
        client.out.clear();
        client.stream.close(client.now, &mut client.out);
        assert!(client.output().ends_with(CLOSE), "before {next}");
        let deadline = client.stream.deadline().unwrap();
        assert_eq!((deadline.reason, deadline.at - client.now), (Reason::Closing, Duration::from_secs(5)));
        let sent = client.output();
        // Twice is once; and what was on its way is taken in peace, without an answer.
        client.stream.close(client.now, &mut client.out);
        assert!(client.stream.send(&Stanza::message(MessageType::Chat), &mut client.out).is_err());
        let script_of_all = phases().pop().unwrap().1;
        let rest = script_of_all[script.len()..].split_inclusive(|part| part == SUCCESS).next();
        let rest = rest.unwrap_or_default().concat();
        assert_eq!(client.feed(&rest), "", "before {next}");
        assert_eq!(client.ended, None, "before {next}");
        assert_eq!(client.feed("<message/><iq type='get' id='1'/>"), "");
        assert_eq!(client.stanzas.len(), usize::from(next == "stanzas"), "before {next}");
        assert_eq!(client.feed(CLOSE), "");
        assert_eq!((client.ended.clone(), client.output()), (Some(Ok(())), sent), "before {next}");

        // The wait has a bound.
        let mut client = at(&script);
        client.stream.close(client.now, &mut client.out);
        client.now = client.stream.deadline().unwrap().at;
        client.feed("");
        assert_eq!((client.ended.clone(), client.stream.deadline()), (Some(Ok(())), None), "before {next}");
    }
}

// RFC 6120 §4.9.1.1 [W7] [W9]
#[test]
fn a_stream_error_at_each_phase() {
    let error = "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
                 <text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>Not here</text></stream:error>";
    for (next, script) in phases() {
        let mut client = at(&script);
        // §4.9.1.2: it comes after a header, always.
        let sent =
            client.feed(&format!("{}{error}{CLOSE}", if next.ends_with("header") { HEADER } else { "" }));
        assert_eq!(sent, CLOSE, "before {next}");
        let Error::Remote(error) = client.failure() else { panic!("before {next}: {:?}", client.ended) };
        assert_eq!(error.condition, StreamCondition::HostUnknown);
        assert_eq!(error.text.as_deref(), Some("Not here"));
    }
}

// RFC 6120 §4.9.3.13 and the others: what cannot be understood ends the stream, with the error that fits.
#[test]
fn garbage_at_each_phase() {
    for (next, script) in phases() {
        for (garbage, condition) in [
            ("<<<", StreamCondition::NotWellFormed),
            ("<!-- -->", StreamCondition::RestrictedXml),
            ("<x:a/>", StreamCondition::NotWellFormed),
        ] {
            let mut client = at(&script);
            client.feed(garbage);
            assert_eq!(client.error(), condition, "{garbage} before {next}");
        }
        let mut client = at(&script);
        client.feed(&format!("<a b='{}", "x".repeat(300_000)));
        assert_eq!(client.error(), StreamCondition::PolicyViolation, "before {next}");
        if !next.ends_with("header") {
            let mut client = at(&script);
            client.feed("text");
            assert_eq!(client.error(), StreamCondition::BadFormat, "before {next}");
        }
        // An element of ours at the wrong time is no better than one of nobody's.
        if !next.ends_with("header") && next != "stanzas" {
            for element in ["<order xmlns='urn:example'/>", PROCEED, "<stream:made-up/>"] {
                let mut client = at(&script);
                client.feed(element);
                assert_eq!(client.error(), StreamCondition::UnsupportedStanzaType, "{element} before {next}");
            }
        }
    }
}

// RFC 6120 §4.4: the transport must not end before the stream does.
#[test]
fn the_transport_ends_at_each_phase() {
    for (next, script) in phases() {
        let mut client = at(&script);
        assert_eq!(client.eof(), "", "before {next}");
        assert_eq!(client.ended, Some(Err(Error::Truncated)));
        let mut client = at(&script);
        client.stream.close(client.now, &mut client.out);
        assert_eq!(client.eof(), "");
        assert_eq!(client.ended, Some(Ok(())));
    }
}

// RFC 6120 §4.6, §4.9.3.4 [W3] [W4]
#[test]
fn a_silent_server() {
    for (next, script) in phases() {
        let mut client = at(&script);
        client.now = client.stream.deadline().unwrap().at;
        let sent = client.feed("");
        if next == "stanzas" {
            // It is asked first.
            assert!(
                sent.starts_with("<iq type='get' id='") && sent.contains("<ping xmlns='urn:xmpp:ping'/>")
            );
            client.now = client.stream.deadline().unwrap().at;
            client.feed("");
        }
        assert_eq!(client.error(), StreamCondition::ConnectionTimeout, "before {next}");
    }
}

// RFC 6120 §4.8.2: a server's header need not declare a content namespace; then each first-level element brings its own.
#[test]
fn a_header_without_a_content_namespace() {
    let own = |element: &str| element.replacen(" type=", " xmlns='jabber:client' type=", 1);
    let attributes = "from='example.com' id='s1' version='1.0'";
    for (header, prefix) in [
        (format!("<stream xmlns='http://etherx.jabber.org/streams' {attributes}>"), ""),
        (format!("<s:stream xmlns:s='http://etherx.jabber.org/streams' {attributes}>"), "s:"),
    ] {
        let prefixed = |features: &str| features.replace("stream:", prefix);
        let login = [&header, &*prefixed(&plain()), SUCCESS, &header, &prefixed(BIND), &own(BOUND)].concat();
        let mut client = Client::at(&[&login]);
        assert!(client.stream.is_open(), "{:?}", client.ended);
        let message = "<message type='chat' from='romeo@example.net'><body>hi</body></message>";
        client.feed(&own(message));
        let [stanza] = &client.stanzas[..] else { panic!("{:?}", client.ended) };
        assert_eq!(stanza.payload.as_bytes(), b"<body>hi</body>");
        // What declares none is no stanza.
        client.feed(message);
        assert_eq!(client.stanzas.len(), 1);
    }
}

// RFC 6120 §8.3.1: an error goes to the sender. Whoever has no address that can be written is told nothing, rather than the client's own account.
#[test]
fn who_has_no_address_gets_no_error() {
    let mut client = Client::at(&[HEADER, &features(&mechanisms(&["PLAIN"])), SUCCESS, HEADER, BIND, BOUND]);
    for kind in ["message", "presence", "iq type='get' id='1'"] {
        assert_eq!(client.feed(&format!("<{kind} from='room@chat.example.com/\u{1160}'/>")), "", "{kind}");
    }
    assert!(client.stanzas.is_empty() && client.ended.is_none());
    let answer = client.feed("<presence type='none' from='romeo@example.net/x'/>");
    assert!(answer.starts_with("<presence to='romeo@example.net/x' type='error'>"), "{answer}");
    // The server itself has none.
    assert!(client.feed("<iq type='get' id='1'/>").starts_with("<iq type='error' id='1'>"));
}
