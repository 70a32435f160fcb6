//! The forms as they stand in the extensions, and what is none.
#![allow(clippy::unwrap_used)]

use balcony_jid::Jid;
use balcony_machine::XmlLimits;
use balcony_stanza::{ErrorCondition as C, ErrorType, Head, IqType, Kind, MessageType, Payload, Stanza};
use balcony_xep::attention::Attention;
use balcony_xep::blocking::{self, BlockList};
use balcony_xep::carbons::{self, Carbon, Direction, Private};
use balcony_xep::chat_states::{self, ChatState};
use balcony_xep::conference::Invitation;
use balcony_xep::delay::{self, Delay};
use balcony_xep::disco::{self, About, Identity, Info, Items};
use balcony_xep::encryption::Encryption;
use balcony_xep::forward::Forwarded;
use balcony_xep::hints::Hints;
use balcony_xep::last::{self, Last};
use balcony_xep::offline::Keep;
use balcony_xep::ping::Ping;
use balcony_xep::push;
use balcony_xep::register::{self, Field, Form};
use balcony_xep::version::{self, Software};
use balcony_xep::{calls, encryption, muc, private, sm, vcard};
use balcony_xml::{Element, Name};

fn element(xml: &str) -> Element {
    Element::parse(xml.as_bytes(), XmlLimits::STANZA).unwrap()
}

/// The content of a message.
fn content(xml: &str) -> Payload {
    Payload::from_bytes(xml.as_bytes()).unwrap()
}

fn written(element: &Element) -> String {
    let mut out = Vec::new();
    element.root().write(&mut out, "jabber:client");
    String::from_utf8(out).unwrap()
}

fn text(payload: &Payload) -> &str {
    core::str::from_utf8(payload.as_bytes()).unwrap()
}

// XEP-0199 2.0.1 §4, XEP-0092 1.1 §2, XEP-0012 2.0 §2, XEP-0030 2.5.0 §3.1 §4.1, XEP-0280 1.0.1 §5
#[test]
fn requests() {
    assert_eq!(written(&Ping.to_element()), "<ping xmlns='urn:xmpp:ping'/>");
    assert_eq!(written(&version::Query.to_element()), "<query xmlns='jabber:iq:version'/>");
    assert_eq!(written(&last::Query.to_element()), "<query xmlns='jabber:iq:last'/>");
    assert_eq!(
        written(&disco::Query::new(About::Info).to_element()),
        "<query xmlns='http://jabber.org/protocol/disco#info'/>"
    );
    let query = disco::Query { node: Some("x".into()), ..disco::Query::new(About::Items) };
    assert_eq!(
        written(&query.to_element()),
        "<query xmlns='http://jabber.org/protocol/disco#items' node='x'/>"
    );
    assert_eq!(written(&carbons::Request::Enable.to_element()), "<enable xmlns='urn:xmpp:carbons:2'/>");
    assert_eq!(written(&carbons::Request::Disable.to_element()), "<disable xmlns='urn:xmpp:carbons:2'/>");
    assert_eq!(written(&Private.to_element()), "<private xmlns='urn:xmpp:carbons:2'/>");
    // The same names elsewhere are something else.
    for other in ["<ping xmlns='urn:x'/>", "<query xmlns='urn:x'/>", "<pong xmlns='urn:xmpp:ping'/>"] {
        let other = element(other);
        let other = other.root();
        assert_eq!(
            (Ping::read(other), version::Query::read(other), last::Query::read(other)),
            (None, None, None)
        );
        assert_eq!((disco::Query::read(other), carbons::Request::read(other)), (None, None));
    }
}

// XEP-0092 1.1 §2
#[test]
fn software() {
    let os = "<query xmlns='jabber:iq:version'><name>Exodus</name><version>0.7.0.4</version><os>Windows-XP 5.01.2600</os></query>";
    let software = |os: Option<&'static str>| Software {
        name: "Exodus".into(),
        version: "0.7.0.4".into(),
        os: os.map(Into::into),
    };
    let (told, untold) = (software(Some("Windows-XP 5.01.2600")), software(None));
    assert_eq!(Software::read(element(os).root()), Some(told.clone()));
    assert_eq!(written(&told.to_element()), os);
    assert!(!written(&untold.to_element()).contains("os>"));
    let nothing = Software { name: "".into(), version: "".into(), os: None };
    assert_eq!(Software::read(element("<query xmlns='jabber:iq:version'/>").root()), Some(nothing));
}

// XEP-0012 2.0 §3: seconds are required
#[test]
fn last_activity() {
    let home = "<query xmlns='jabber:iq:last' seconds='903'>Heading Home</query>";
    let last = Last { seconds: 903, status: Some("Heading Home".into()) };
    assert_eq!(Last::read(element(home).root()), Some(last.clone()));
    assert_eq!(written(&last.to_element()), home);
    assert_eq!(
        written(&Last { seconds: 0, status: None }.to_element()),
        "<query xmlns='jabber:iq:last' seconds='0'/>"
    );
    for wrong in ["", " seconds=''", " seconds='+1'", " seconds='-1'", " seconds='18446744073709551616'"] {
        let wrong = element(&format!("<query xmlns='jabber:iq:last'{wrong}/>"));
        assert_eq!(Last::read(wrong.root()), None, "{wrong:?}");
    }
}

// XEP-0030 2.5.0 §3.1, §4.1
#[test]
fn discovery() {
    let xml = "<query xmlns='http://jabber.org/protocol/disco#info'><identity category='server' type='im' name='Play'/>\
               <feature var='urn:x'/><feature var='urn:y'/></query>";
    let info = Info {
        node: None,
        identities: vec![Identity::new("server", "im").named("Play")],
        features: vec!["urn:x".into(), "urn:y".into()],
    };
    assert_eq!(written(&info.to_element()), xml);
    assert_eq!(written(&disco::info(None, &info.identities, ["urn:x", "urn:y"])), xml);
    assert_eq!(Info::read(element(xml).root()), Some(info.clone()));
    assert!(info.has("urn:y") && !info.has("urn:z"));
    // What is incomplete says nothing, and forms are something else (XEP-0128).
    let odd = "<query xmlns='http://jabber.org/protocol/disco#info' node='n'><identity type='im'/><feature/>\
               <identity category='client'/><x xmlns='jabber:x:data'/><feature xmlns='urn:x' var='urn:z'/></query>";
    let nothing = Info { node: Some("n".into()), ..Info::default() };
    assert_eq!(Info::read(element(odd).root()), Some(nothing));

    let xml = "<query xmlns='http://jabber.org/protocol/disco#items'><item jid='a@b' node='n' name='N'/><item jid='c'/></query>";
    let parsed = element(&xml.replace("<item jid='c'/>", "<item/><item jid='c'/>"));
    let items = Items::read(parsed.root()).unwrap();
    assert_eq!(items.items.len(), 2);
    assert_eq!(written(&items.to_element()), xml);
    assert_eq!(
        written(&Items::default().to_element()),
        "<query xmlns='http://jabber.org/protocol/disco#items'/>"
    );
}

// XEP-0030 2.5.0: an answer has a bound, and what is above it is not cut off in the middle.
#[test]
fn discovery_is_bounded() {
    let wide = XmlLimits { nodes: 1 << 16, bytes: 1 << 20, ..XmlLimits::STANZA };
    let many = |open: &str, entry: &str, count: usize| {
        let xml = format!("{open}{}</query>", entry.repeat(count));
        Element::parse(xml.as_bytes(), wide).unwrap()
    };
    let info =
        |count| many("<query xmlns='http://jabber.org/protocol/disco#info'>", "<feature var='x'/>", count);
    assert_eq!(Info::read(info(4_096).root()).map(|info| info.features.len()), Some(4_096));
    assert_eq!(Info::read(info(4_097).root()), None);
    let items =
        |count| many("<query xmlns='http://jabber.org/protocol/disco#items'>", "<item jid='x'/>", count);
    assert_eq!(Items::read(items(4_096).root()).map(|items| items.items.len()), Some(4_096));
    assert_eq!(Items::read(items(4_097).root()), None);
}

// XEP-0203 2.0 §4, XEP-0091 1.4 §3, XEP-0082 1.1.1 §4
#[test]
fn delays() {
    let xml = "<delay xmlns='urn:xmpp:delay' from='capulet.com' stamp='2002-09-10T23:08:25.000Z'>Offline Storage</delay>";
    let delay =
        Delay { reason: Some("Offline Storage".into()), ..Delay::new("capulet.com", 1_031_699_305_000) };
    assert_eq!(Delay::read(element(xml).root()), Some(delay.clone()));
    assert_eq!(written(&delay.to_element()), xml);
    for stamp in ["20020910T23:08:25", "2002-09-10T23:08:25Z"] {
        let xml = format!("<x xmlns='jabber:x:delay' from='capulet.com' stamp='{stamp}'>Offline Storage</x>");
        assert_eq!(Delay::read_legacy(element(&xml).root()), Some(delay.clone()), "{stamp}");
        assert_eq!(Delay::read(element(&xml).root()), None);
    }
    for wrong in [
        "<delay xmlns='urn:xmpp:delay'/>",
        // XEP-0082 §4: only the older namespace has the older format.
        "<delay xmlns='urn:xmpp:delay' stamp='20020910T23:08:25'/>",
        "<x xmlns='jabber:x:delay' stamp='yesterday'/>",
    ] {
        let wrong = element(wrong);
        assert_eq!((Delay::read(wrong.root()), Delay::read_legacy(wrong.root())), (None, None), "{wrong:?}");
    }
}

// XEP-0203 2.0 §5: what claims to be the own stamp goes, and all else stays as it was, byte for byte.
#[test]
fn a_stamp_replaces_what_claims_to_be_it() {
    let others = "<body>O &lt;Romeo&gt;</body><delay xmlns='urn:xmpp:delay' from='room@example.org' stamp=\"x\"></delay>";
    let ours = "<delay xmlns='urn:xmpp:delay' from='example.com' stamp='1970-01-01T00:00:01.000Z'/>";
    let forged = "<delay xmlns='urn:xmpp:delay' from='example.com' stamp='1999-01-01T00:00:00Z'/>";
    let legacy = "<x xmlns='jabber:x:delay' from='example.com' stamp='19990101T00:00:00'/>";
    for claims in ["", forged, legacy, &format!("{forged}{legacy}{forged}")] {
        let stamped = delay::stamp(&content(&format!("{claims}{others}{claims}")), "example.com", 1_000);
        assert_eq!(text(&stamped), format!("{others}{ours}"));
    }
    assert_eq!(text(&delay::stamp(&Payload::EMPTY, "example.com", 1_000)), ours);
}

// XEP-0297 1.0 §3: the stanza keeps its namespace, and a delay stands before it.
#[test]
fn forwarded() {
    let stanza =
        Stanza::message(MessageType::Chat).with_id("m").with_payload(content("<body>But soft</body>"));
    let inner =
        "<message xmlns='jabber:client' type='chat' id='m'><body>But soft</body></message></forwarded>";
    let bare = Forwarded { delay: None, stanza: stanza.clone() };
    assert_eq!(text(&bare.to_payload()), format!("<forwarded xmlns='urn:xmpp:forward:0'>{inner}"));
    let delayed = Forwarded { delay: Some(Delay::new("a.example", 0)), stanza };
    assert_eq!(
        text(&delayed.to_payload()),
        format!(
            "<forwarded xmlns='urn:xmpp:forward:0'>\
             <delay xmlns='urn:xmpp:delay' from='a.example' stamp='1970-01-01T00:00:00.000Z'/>{inner}"
        )
    );
    for wrong in [
        "<forwarded xmlns='urn:xmpp:forward:0'/>",
        "<forwarded xmlns='urn:xmpp:forward:0'><message/></forwarded>",
        "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='@'/></forwarded>",
        "<forwarded xmlns='urn:xmpp:forward:0'><iq xmlns='jabber:client' type='get' id='1'/></forwarded>",
        "<forwarded xmlns='urn:x'><message xmlns='jabber:client'/></forwarded>",
    ] {
        assert_eq!(Forwarded::read(element(wrong).root()), None, "{wrong}");
    }
}

// XEP-0280 1.0.1 §8
#[test]
fn copies() {
    let message =
        Stanza::message(MessageType::Chat).with_id("m").with_payload(content("<body>But soft</body>"));
    for (direction, name) in [(Direction::Received, "received"), (Direction::Sent, "sent")] {
        let copy = carbons::wrap(&message, direction);
        assert_eq!(
            text(&copy),
            format!(
                "<{name} xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>\
                 <message xmlns='jabber:client' type='chat' id='m'><body>But soft</body></message></forwarded></{name}>"
            )
        );
        let carbon = Carbon { direction, message: message.clone() };
        assert_eq!(Carbon::read(copy.parse().unwrap().root()), Some(carbon));
    }
    // Nothing but messages is copied.
    let presence = text(&carbons::wrap(&message, Direction::Sent))
        .replace("message", "presence")
        .replace(" type='chat'", "");
    assert_eq!(Carbon::read(content(&presence).parse().unwrap().root()), None);
}

// XEP-0280 1.0.1 §6.1, §9: which messages there are copies of, received and sent.
#[test]
fn eligible_for_copies() {
    use MessageType::{Chat, Error, Groupchat, Headline, Normal};
    const INVITED: &str = "<x xmlns='http://jabber.org/protocol/muc#user'><invite/></x>";
    const IN_ROOM: &str = "<x xmlns='http://jabber.org/protocol/muc#user'/>";
    let head = |kind, to: &str| Head { to: Some(Jid::parse(to).unwrap()), ..Stanza::message(kind).head };
    let full = |kind| head(kind, "juliet@example.com/balcony");
    for (kind, xml, received, sent) in [
        (Chat, "", true, true),
        (Normal, "<body>x</body>", true, true),
        (Normal, "<x xmlns='urn:x'/>", false, false),
        (Normal, "<received xmlns='urn:xmpp:receipts' id='1'/>", true, true),
        (Normal, "<composing xmlns='http://jabber.org/protocol/chatstates'/>", true, true),
        (Normal, "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>", true, true),
        (Normal, "<x xmlns='jabber:x:conference' jid='room@example.com'/>", true, true),
        (Normal, INVITED, true, true),
        (Chat, IN_ROOM, false, true),
        (Groupchat, "<body>x</body>", false, false),
        (Headline, "<body>x</body>", false, false),
        (Error, "<body>x</body><error/>", true, true),
        (Error, "<error/>", false, false),
        (Chat, "<body>x</body><private xmlns='urn:xmpp:carbons:2'/>", false, false),
        (Chat, "<body>x</body><no-copy xmlns='urn:xmpp:hints'/>", false, false),
    ] {
        let payload = content(xml);
        let content = payload.parse().unwrap();
        let eligible = |direction| carbons::is_eligible(&full(kind), content.root(), direction);
        let found = (eligible(Direction::Received), eligible(Direction::Sent));
        assert_eq!(found, (received, sent), "{kind:?} {xml}");
        let message = Stanza { head: full(kind), payload };
        let copied = |direction| carbons::is_copied(&message, direction);
        assert_eq!((copied(Direction::Received), copied(Direction::Sent)), found, "{kind:?} {xml}");
    }
    // XEP-0334 0.4 §4.3: the hint is for full addresses.
    let hint = content("<no-copy xmlns='urn:xmpp:hints'/>").parse().unwrap();
    let bare = head(Chat, "juliet@example.com");
    assert!(carbons::is_eligible(&bare, hint.root(), Direction::Received));
    let presence = Head { kind: Kind::Iq(IqType::Get), ..bare };
    assert!(!carbons::is_eligible(&presence, hint.root(), Direction::Received));
}

// XEP-0334 0.4 §4, XEP-0085 2.1 §5, XEP-0160 1.0.1 §3
#[test]
fn what_is_kept() {
    const STATE: &str = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
    let hint = |name: &str| format!("<{name} xmlns='urn:xmpp:hints'/>");
    for (xml, keep) in [
        (String::new(), Keep::Yes),
        ("<body>x</body>".into(), Keep::Yes),
        (format!("<body>x</body>{STATE}"), Keep::Yes),
        (STATE.into(), Keep::Needless),
        (format!("{STATE}<thread>t</thread>{}", hint("no-copy")), Keep::Needless),
        (format!("{STATE}{}", hint("store")), Keep::Yes),
        (format!("{STATE}<x xmlns='urn:x'/>"), Keep::Yes),
        ("<thread>t</thread>".into(), Keep::Yes),
        (format!("<body>x</body>{}", hint("no-store")), Keep::Unwanted),
        // XEP-0334 §4.1 [HI1], §4.2 [HI2], [HI8]: only what is not to be kept at all.
        (format!("<body>x</body>{}", hint("no-permanent-store")), Keep::Yes),
        (format!("{STATE}{}", hint("no-permanent-store")), Keep::Needless),
        // XEP-0203: that it has waited makes it no more than it was.
        (format!("{STATE}<delay xmlns='urn:xmpp:delay' stamp='2002-09-10T23:08:25Z'/>"), Keep::Needless),
        (format!("{}{}", hint("no-store"), hint("no-permanent-store")), Keep::Unwanted),
        (format!("{}{}", hint("no-store"), hint("store")), Keep::Unwanted),
    ] {
        let content = content(&xml).parse().unwrap();
        assert_eq!(Keep::read(content.root()), keep, "{xml}");
        assert_eq!(
            chat_states::is_only_state(content.root()),
            xml.starts_with(STATE) && !xml.contains("urn:x'"),
            "{xml}"
        );
    }
    let content =
        content(&format!("{}{}{}", hint("no-copy"), hint("store"), hint("no-copy-at-all"))).parse().unwrap();
    assert_eq!(Hints::read(content.root()), Hints { no_copy: true, store: true, ..Hints::default() });
    assert_eq!(
        ChatState::read(element("<sleeping xmlns='http://jabber.org/protocol/chatstates'/>").root()),
        None
    );
}

// XEP-0045 1.35.1 §7.5, §7.8.2
#[test]
fn occupants() {
    for (xml, is_occupant) in [
        ("<body/>", false),
        ("<x xmlns='http://jabber.org/protocol/muc#user'/>", true),
        ("<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b'/></x>", false),
        ("<x xmlns='http://jabber.org/protocol/muc'/>", false),
    ] {
        assert_eq!(muc::is_by_occupant(content(xml).parse().unwrap().root()), is_occupant, "{xml}");
    }
}

// XEP-0045 1.35.1 §7.8.2, §15.6
#[test]
fn marks_of_rooms() {
    let user = |inner: &str| format!("<x xmlns='{}'>{inner}</x>", muc::USER);
    for (xml, is_invitation, is_of_recipient) in [
        (user(""), false, false),
        (user("<invite to='a@b'/>"), true, false),
        (user("<decline to='a@b'/>"), true, false),
        (user("<item role='none'/><status code='110'/>"), false, true),
        (user("<status code='1100'/>"), false, false),
        ("<x xmlns='jabber:x:conference'><invite/><status code='110'/></x>".into(), false, false),
    ] {
        let payload = content(&xml).parse().unwrap();
        let x = payload.root().children().next().unwrap();
        assert_eq!(muc::is_invitation(x), is_invitation, "{xml}");
        assert_eq!(muc::is_of_recipient(payload.root()), is_of_recipient, "{xml}");
    }
}

// XEP-0380 §3, XEP-0353 §3, XEP-0482 §3, XEP-0224 §3
#[test]
fn encrypted_messages_calls_and_attention() {
    for (xml, is_encrypted, is_about_call) in [
        ("<encryption xmlns='urn:xmpp:eme:0' namespace='urn:xmpp:omemo:2' name='OMEMO'/>", true, false),
        ("<encrypted xmlns='eu.siacs.conversations.axolotl'/>", true, false),
        ("<x xmlns='jabber:x:encrypted'>text</x>", true, false),
        ("<propose xmlns='urn:xmpp:jingle-message:0' id='a'/>", false, true),
        ("<invite xmlns='urn:xmpp:call-invites:0'/>", false, true),
        ("<attention xmlns='urn:xmpp:attention:0'/>", false, false),
        ("<propose xmlns='urn:xmpp:jingle:1'/>", false, false),
    ] {
        let element = element(xml);
        let found = (encryption::is_encrypted(element.root()), calls::is_about_call(element.root()));
        assert_eq!(found, (is_encrypted, is_about_call), "{xml}");
        assert_eq!(Attention::read(element.root()).is_some(), xml.starts_with("<attention"));
    }
    let said = Encryption { namespace: "urn:xmpp:omemo:2".into(), name: Some("OMEMO".into()) };
    let written = "<encryption xmlns='urn:xmpp:eme:0' namespace='urn:xmpp:omemo:2' name='OMEMO'/>";
    assert_eq!(Payload::from(said.to_element()).as_bytes(), written.as_bytes());
    assert_eq!(Encryption::read(element("<encryption xmlns='urn:xmpp:eme:0'/>").root()), None);
}

// XEP-0249 1.2 §2 [DI1]: a room, and what else there may be; no password in logs.
#[test]
fn invitations() {
    let xml = "<x xmlns='jabber:x:conference' jid='dark@macbeth.lit' continue='true' password='cauldron' reason='Hey' thread='e0'/>";
    let parsed = element(xml);
    let invitation = Invitation::read(parsed.root()).unwrap();
    assert_eq!(invitation.password.as_deref(), Some("cauldron"));
    assert_eq!(written(&invitation.to_element()), xml);
    assert!(!format!("{invitation:?}").contains("cauldron"));
    for wrong in ["<x xmlns='jabber:x:conference'/>", "<x xmlns='jabber:x:conference' jid='@'/>"] {
        assert_eq!(Invitation::read(element(wrong).root()), None, "{wrong}");
    }
}

// XEP-0191 1.3 §3
#[test]
fn blocking_requests() {
    use blocking::Request::{Block, List, Unblock, UnblockAll};
    let romeo = || vec![Jid::parse("romeo@montague.net").unwrap()];
    let item = "<item jid='romeo@montague.net'/>";
    for (request, xml) in [
        (List, "<blocklist xmlns='urn:xmpp:blocking'/>".to_owned()),
        (Block(romeo()), format!("<block xmlns='urn:xmpp:blocking'>{item}</block>")),
        (Unblock(romeo()), format!("<unblock xmlns='urn:xmpp:blocking'>{item}</unblock>")),
        (UnblockAll, "<unblock xmlns='urn:xmpp:blocking'/>".to_owned()),
    ] {
        assert_eq!(written(&request.to_element()), xml);
        assert_eq!(blocking::Request::read(request.kind(), element(&xml).root()), Ok(request));
    }
    for (kind, xml, condition) in [
        (IqType::Set, "<blocklist xmlns='urn:xmpp:blocking'/>", C::BadRequest),
        (IqType::Get, "<unblock xmlns='urn:xmpp:blocking'/>", C::BadRequest),
        (IqType::Set, "<unblock xmlns='urn:x'/>", C::BadRequest),
        (IqType::Set, "<block xmlns='urn:xmpp:blocking'/>", C::BadRequest),
        (IqType::Set, "<block xmlns='urn:xmpp:blocking'><item/></block>", C::BadRequest),
        (IqType::Set, "<block xmlns='urn:xmpp:blocking'><item jid='@'/></block>", C::JidMalformed),
    ] {
        let refused = blocking::Request::read(kind, element(xml).root());
        assert_eq!(refused.map_err(|error| error.condition), Err(condition), "{xml}");
    }
    // XEP-0377 0.3 [BR3]: with a report it is the same.
    let report = "<block xmlns='urn:xmpp:blocking'><item jid='romeo@montague.net'><report xmlns='urn:xmpp:reporting:1'/></item></block>";
    assert_eq!(blocking::Request::read(IqType::Set, element(report).root()), Ok(Block(romeo())));

    let list = BlockList { jids: romeo() };
    assert_eq!(
        written(&list.to_element()),
        format!("<blocklist xmlns='urn:xmpp:blocking'>{item}</blocklist>")
    );
    assert_eq!(
        BlockList::read(element("<blocklist xmlns='urn:xmpp:blocking'><item jid='@'/></blocklist>").root()),
        None
    );

    let error = blocking::error();
    assert_eq!((error.condition, error.kind), (C::NotAcceptable, ErrorType::Cancel));
    assert!(written(&error.to_element()).contains("<blocked xmlns='urn:xmpp:blocking:errors'/>"));
    assert!(blocking::is_error(&error) && !blocking::is_error(&C::NotAcceptable.into()));
}

// XEP-0049 1.2 §2, §3
#[test]
fn private_storage() {
    let set = |content: &str| {
        let query = element(&format!("<query xmlns='jabber:iq:private'>{content}</query>"));
        private::Request::read(IqType::Set, query.root(), 200)
    };
    let get = |content: &str| {
        let query = element(&format!("<query xmlns='jabber:iq:private'>{content}</query>"));
        private::Request::read(IqType::Get, query.root(), 200)
    };
    let bookmarks = "<storage xmlns='storage:bookmarks'><conference jid='a@b'/></storage>";
    let Ok(private::Request::Set(documents)) = set(bookmarks) else { panic!("a set") };
    // What is kept is what is answered.
    let answer = format!("<query xmlns='jabber:iq:private'>{bookmarks}</query>");
    assert_eq!(text(documents[0].payload()), answer);
    assert!(!format!("{documents:?}").contains("a@b"));
    let empty = "<storage xmlns='storage:bookmarks'/>";
    let Ok(private::Request::Get(key)) = get(empty) else { panic!("a get") };
    assert_eq!(&key, documents[0].key());
    assert_eq!(text(&key.to_payload()), format!("<query xmlns='jabber:iq:private'>{empty}</query>"));

    let notes = "<storage xmlns='storage:rosternotes'/>";
    assert!(matches!(set(&format!("{bookmarks}{notes}")), Ok(private::Request::Set(two)) if two.len() == 2));
    assert_eq!(set(&notes.repeat(16)).map(|_| ()), Ok(()));
    let huge = format!("<x xmlns='urn:x'>{}</x>", "x".repeat(200));
    // A prefix that is written out again and again.
    let spread = format!("<p:x xmlns:p='urn:{}'>{}</p:x>", "x".repeat(50), "<y/><p:y/>".repeat(9));
    for wrong in ["", &notes.repeat(17), "<x/>", "<x xmlns=''/>", &huge, &spread] {
        assert_eq!(set(wrong).map_err(|error| error.condition), Err(C::NotAcceptable), "{wrong}");
    }
    for (wrong, condition) in
        [("", C::BadRequest), (&*notes.repeat(2), C::BadRequest), ("<x/>", C::NotAcceptable)]
    {
        assert_eq!(get(wrong).map_err(|error| error.condition), Err(condition), "{wrong}");
    }
    for wrong in ["", "<x/>", "<query xmlns='jabber:iq:private'/>", &format!("{answer}{answer}")] {
        assert_eq!(private::Document::read(content(wrong)), None, "{wrong}");
    }
    let mut keys: Vec<_> = [("b", "urn:a"), ("a", "urn:b"), ("a", "urn:a")]
        .map(|(name, namespace)| private::Key::new(Name::from_static(name), namespace).unwrap())
        .into();
    keys.sort();
    let sorted: Vec<_> = keys.iter().map(|key| (key.namespace(), key.name())).collect();
    assert_eq!(sorted, [("urn:a", "a"), ("urn:a", "b"), ("urn:b", "a")]);
}

// XEP-0054 1.3 §3
#[test]
fn cards() {
    let xml = "<vCard xmlns='vcard-temp'><FN>Juliet</FN><X>kept</X></vCard>";
    let parsed = element(xml);
    let read = |kind, bytes| vcard::Request::read(kind, parsed.root(), bytes);
    let Ok(vcard::Request::Set(card)) = read(IqType::Set, 100) else { panic!("a set") };
    assert_eq!(text(&card), xml);
    assert_eq!(read(IqType::Get, 0), Ok(vcard::Request::Get));
    assert_eq!(read(IqType::Set, 20).map_err(|error| error.condition), Err(C::NotAcceptable));
    assert_eq!(read(IqType::Result, 100).map_err(|error| error.condition), Err(C::BadRequest));
    let other = element("<vcard xmlns='vcard-temp'/>");
    let refused = vcard::Request::read(IqType::Set, other.root(), 100);
    assert_eq!(refused.map_err(|error| error.condition), Err(C::BadRequest));
    assert_eq!(text(&vcard::Request::Get.to_payload()), "<vCard xmlns='vcard-temp'/>");

    // What is not known is kept.
    let card = vcard::Card::read(parsed.root()).unwrap();
    assert_eq!(card.text(vcard::Field::FullName).as_deref(), Some("Juliet"));
    let photo = vcard::Photo { media_type: Some("image/png".into()), base64: "iVBORw==".into() };
    let changed = card.with_text(vcard::Field::FullName, Some("Juliet Capulet")).with_photo(Some(&photo));
    assert_eq!(
        written(&changed.to_element()),
        "<vCard xmlns='vcard-temp'><X>kept</X><FN>Juliet Capulet</FN>\
         <PHOTO><TYPE>image/png</TYPE><BINVAL>iVBORw==</BINVAL></PHOTO></vCard>"
    );
    assert!(!format!("{changed:?} {photo:?}").contains("iVBORw"));
}

// XEP-0077 2.4 §3.1, §3.2, §3.3
#[test]
fn registration() {
    let xml = "<query xmlns='jabber:iq:register'><registered/><instructions>Choose.</instructions>\
               <username>bill</username><password/></query>";
    let parsed = element(xml);
    let form = Form::read(parsed.root()).unwrap();
    assert!(form.is_registered);
    assert_eq!(form.fields.iter().collect::<Vec<_>>(), [(Field::Username, "bill"), (Field::Password, "")]);
    assert_eq!(written(&form.to_element()), xml);
    assert_eq!(written(&register::query()), "<query xmlns='jabber:iq:register'/>");
    assert_eq!(written(&register::feature()), "<register xmlns='http://jabber.org/features/iq-register'/>");

    let read = |content: &str| {
        let query = element(&format!("<query xmlns='jabber:iq:register'>{content}</query>"));
        let request = register::Request::read(query.root()).map_err(|error| error.condition)?;
        Ok(match request {
            register::Request::Remove => None,
            // No secret shows.
            register::Request::Register(fields) => {
                assert!(!format!("{fields:?}").contains("pencil"));
                Some(fields.get(Field::Password).unwrap_or("none").to_owned())
            }
        })
    };
    assert_eq!(read("<remove/>"), Ok(None));
    assert_eq!(read("<remove/><username>x</username>"), Err(C::BadRequest));
    assert_eq!(read("<username>x</username>"), Ok(Some("none".into())));
    assert_eq!(read("<password>pencil</password><x xmlns='urn:x'/>"), Ok(Some("pencil".into())));
    assert_eq!(read("<password>pencil</password><password>pencil</password>"), Err(C::BadRequest));
    let other = element("<query xmlns='urn:x'><remove/></query>");
    assert_eq!(register::Request::read(other.root()).map_err(|error| error.condition), Err(C::BadRequest));
}

// XEP-0198 1.6.3 §3 [SM1] [SM4], §4 [SM8] [SM10], §5 [SM12] [SM13] [SM14] [SM15]
#[test]
fn stream_management() {
    let resumable = sm::Resumable {
        id: "some-long-sm-id".into(),
        max: Some(600),
        location: Some("[2001:41D0:1:A49b::1]:9222".into()),
    };
    let enabled = sm::Enabled { resumable: Some(resumable) };
    let failed = sm::Failed { condition: C::ItemNotFound, h: Some(3) };
    for (element, text) in [
        (sm::Feature.to_element(), "<sm xmlns='urn:xmpp:sm:3'/>"),
        (sm::Enable::default().to_element(), "<enable xmlns='urn:xmpp:sm:3'/>"),
        (
            sm::Enable { resume: true, max: Some(600) }.to_element(),
            "<enable xmlns='urn:xmpp:sm:3' resume='true' max='600'/>",
        ),
        (sm::Enabled::default().to_element(), "<enabled xmlns='urn:xmpp:sm:3'/>"),
        (
            enabled.to_element(),
            "<enabled xmlns='urn:xmpp:sm:3' id='some-long-sm-id' location='[2001:41D0:1:A49b::1]:9222' max='600' \
             resume='true'/>",
        ),
        (
            sm::Resume { previd: "x".into(), h: 7 }.to_element(),
            "<resume xmlns='urn:xmpp:sm:3' h='7' previd='x'/>",
        ),
        (
            sm::Resumed { previd: "x".into(), h: u32::MAX }.to_element(),
            "<resumed xmlns='urn:xmpp:sm:3' h='4294967295' previd='x'/>",
        ),
        (
            failed.to_element(),
            "<failed xmlns='urn:xmpp:sm:3' h='3'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>",
        ),
        (sm::Request.to_element(), "<r xmlns='urn:xmpp:sm:3'/>"),
        (sm::Ack { h: 0 }.to_element(), "<a xmlns='urn:xmpp:sm:3' h='0'/>"),
        (
            sm::TooHigh { h: 10, sent: 8 }.to_element(),
            "<handled-count-too-high xmlns='urn:xmpp:sm:3' h='10' send-count='8'/>",
        ),
    ] {
        assert_eq!(written(&element), text);
    }
    let ack = |xml: &str| sm::Ack::read(element(xml).root());
    assert_eq!(ack("<a xmlns='urn:xmpp:sm:3' h='007'/>"), Some(sm::Ack { h: 7 }));
    for wrong in ["", " h=''", " h='-1'", " h='+1'", " h='4294967296'", " h='x'"] {
        assert_eq!(ack(&format!("<a xmlns='urn:xmpp:sm:3'{wrong}/>")), None, "{wrong}");
    }
    let enabled = |attributes: &str| {
        let element = element(&format!("<enabled xmlns='urn:xmpp:sm:3'{attributes}/>"));
        sm::Enabled::read(element.root()).unwrap().resumable.map(|resumable| resumable.id.into_owned())
    };
    assert_eq!(enabled(" id='x' resume='1'"), Some("x".into()));
    assert_eq!(enabled(&format!(" id='{}' resume='true'", "x".repeat(4_000))).unwrap().len(), 4_000);
    for no in ["", " id='x'", " resume='true'", " id='' resume='true'", " id='x' resume='false'"] {
        assert_eq!(enabled(no), None, "{no}");
    }
    assert_eq!(enabled(&format!(" id='{}' resume='true'", "x".repeat(4_001))), None);
    let failed = sm::Failed::read(element("<failed xmlns='urn:xmpp:sm:3'><x/></failed>").root());
    assert_eq!(failed, Some(sm::Failed { condition: C::UndefinedCondition, h: None }));
}

// XEP-0004 2.13.2 §3.1 [DF2], §3.3 [DF15]; XEP-0068 §5 [FN3]
#[test]
fn forms_say_what_they_are() {
    use balcony_xep::data_form::DataForm;
    let parse = |xml: &str| Element::parse(xml.as_bytes(), XmlLimits::STANZA).unwrap();
    let none = |xml: &str| DataForm::read(parse(xml).root()).is_none();
    assert!(none("<x xmlns='jabber:x:data'/>") && none("<x xmlns='jabber:x:data' type='questions'/>"));
    let line = || Element::new(Name::from_static("instructions"), "jabber:x:data");
    let form = parse("<x xmlns='jabber:x:data' type='form'/>");
    let long = (0..4_096).fold(form, |form, _| form.child(line()));
    assert!(DataForm::read(long.root()).is_some() && DataForm::read(long.child(line()).root()).is_none());
    let submit = parse(
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:x</value></field>\
         <field var='a'><value>true</value></field><field var='b'><value>yes</value></field><field var='c'/></x>",
    );
    let form = DataForm::read(submit.root()).unwrap();
    assert_eq!(form.form_type(), Some("urn:x"));
    let said = ["a", "b", "c", "d"].map(|var| form.flag(var));
    assert_eq!((said, form.value("c"), form.values("b").count()), ([true, false, false, false], None, 1));
    // [FN2]: not hidden, no meaning
    let shown = parse(
        "<x xmlns='jabber:x:data' type='form'><field var='FORM_TYPE' type='text-single'><value>urn:x</value></field></x>",
    );
    assert_eq!(DataForm::read(shown.root()).unwrap().form_type(), None);
    assert!(!format!("{form:?}").contains("urn:x"), "values may be passwords");
}

// XEP-0357 0.4.1 §5 [PN2] [PN3], §6 [PN5], §7 [PN8] [PN9] [PN10]
#[test]
fn push_notifications() {
    const OPTIONS: &str = "<x xmlns='jabber:x:data' type='submit'>\
        <field var='FORM_TYPE'><value>http://jabber.org/protocol/pubsub#publish-options</value></field>\
        <field var='secret'><value>eruio234vzxc2kla-91</value></field></x>";
    let enable = format!(
        "<enable xmlns='urn:xmpp:push:0' jid='push-5.client.example' node='yxs32uqsflafdk3iuqo'>{OPTIONS}</enable>"
    );
    let parsed = element(&enable);
    let request = push::Request::read(parsed.root()).unwrap();
    assert_eq!(written(&request.to_element()), enable);
    assert!(!format!("{request:?}").contains("eruio234vzxc2kla-91"), "no secret shows");
    // Another form is none of publish options.
    let other = element(
        "<enable xmlns='urn:xmpp:push:0' jid='push.example'><x xmlns='jabber:x:data' type='submit'/></enable>",
    );
    let jid: Jid = "push.example".parse().unwrap();
    let enabled = push::Enable { jid: jid.clone(), node: None, options: None };
    assert_eq!(push::Request::read(other.root()), Ok(push::Request::Enable(enabled)));
    let disable = element("<disable xmlns='urn:xmpp:push:0' jid='PUSH.example' node='x'/>");
    let disabled = push::Disable { jid, node: Some("x".into()) };
    assert_eq!(push::Request::read(disable.root()), Ok(push::Request::Disable(disabled)));
    for (wrong, condition) in [
        ("<enable xmlns='urn:xmpp:push:0' node='x'/>", C::BadRequest),
        ("<disable xmlns='urn:xmpp:push:0'/>", C::BadRequest),
        ("<enable xmlns='urn:xmpp:push:0' jid='@'/>", C::JidMalformed),
        ("<notification xmlns='urn:xmpp:push:0' jid='a'/>", C::BadRequest),
        ("<enable xmlns='urn:xmpp:carbons:2' jid='a'/>", C::BadRequest),
    ] {
        let error = push::Request::read(element(wrong).root()).unwrap_err();
        assert_eq!(error.condition, condition, "{wrong}");
    }

    // As in the examples of the XEP, whose forms do not say what they are.
    let publish = |form: &str| {
        format!(
            "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='yxs32uqsflafdk3iuqo'><item>\
             <notification xmlns='urn:xmpp:push:0'>{form}<additional xmlns='http://example.com/custom'/></notification>\
             </item></publish><publish-options>{OPTIONS}</publish-options></pubsub>"
        )
    };
    let example = element(&publish(
        "<x xmlns='jabber:x:data'><field var='FORM_TYPE'><value>urn:xmpp:push:summary</value></field>\
         <field var='message-count'><value>1</value></field>\
         <field var='last-message-sender'><value>juliet@capulet.example/balcony</value></field>\
         <field var='last-message-body'><value>Wherefore art thou, Romeo?</value></field></x>",
    ));
    let read = push::Publish::read(example.root()).unwrap();
    let summary = push::Summary {
        messages: Some(1),
        subscriptions: None,
        sender: Some("juliet@capulet.example/balcony".parse().unwrap()),
        body: Some("Wherefore art thou, Romeo?".into()),
    };
    assert!(!format!("{read:?}").contains("Wherefore"), "nor what people say");
    assert_eq!(
        (read.node.as_deref(), &read.notification.summary),
        (Some("yxs32uqsflafdk3iuqo"), &Some(summary))
    );
    assert_eq!(
        read.options.as_ref().and_then(|options| options.value("secret")),
        Some("eruio234vzxc2kla-91")
    );
    assert_eq!(
        written(&read.to_element()),
        format!(
            "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='yxs32uqsflafdk3iuqo'><item>\
             <notification xmlns='urn:xmpp:push:0'><x xmlns='jabber:x:data' type='submit'>\
             <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:push:summary</value></field>\
             <field var='message-count' type='text-single'><value>1</value></field>\
             <field var='last-message-sender' type='jid-single'><value>juliet@capulet.example/balcony</value></field>\
             <field var='last-message-body' type='text-single'><value>Wherefore art thou, Romeo?</value></field></x>\
             </notification></item></publish><publish-options>{OPTIONS}</publish-options></pubsub>"
        )
    );
    let bare = element(&publish(""));
    assert_eq!(push::Publish::read(bare.root()).unwrap().notification.summary, None);
    for wrong in [
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'/>",
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish><item/></publish></pubsub>",
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish><item><notification xmlns='urn:xmpp:push:0'/></item><item/></publish></pubsub>",
    ] {
        assert_eq!(push::Publish::read(element(wrong).root()), None, "{wrong}");
    }
}

// XEP-0050 1.3.0 §3.4 [AH20] [AH21], §4.2 [AH24]: what `execute` means, and that it is only the responder who says so
#[test]
fn what_a_step_may_be() {
    use balcony_xep::commands::{Action, Request, Response, Status};
    let of = |actions: &str| {
        let xml = format!(
            "<command xmlns='http://jabber.org/protocol/commands' node='x' sessionid='1' status='executing'>{actions}</command>"
        );
        Response::read(element(&xml).root()).unwrap().into_owned()
    };
    let all = [Action::Execute, Action::Prev, Action::Next, Action::Complete, Action::Cancel];
    for (actions, means, may) in [
        ("", Action::Complete, [true, false, false, true, true]),
        ("<actions><next/></actions>", Action::Next, [true, false, true, false, true]),
        (
            "<actions execute='complete'><prev/><complete/></actions>",
            Action::Complete,
            [true, true, false, true, true],
        ),
        ("<actions execute='prev'><prev/><next/></actions>", Action::Prev, [true, true, true, false, true]),
        // What is no sense: an action that is not there, or none although there is no next.
        ("<actions execute='complete'><next/></actions>", Action::Next, [true, false, true, false, true]),
        ("<actions execute='cancel'><next/></actions>", Action::Next, [true, false, true, false, true]),
        ("<actions><complete/></actions>", Action::Complete, [true, false, false, true, true]),
    ] {
        let step = of(actions);
        assert_eq!((step.execute_means(), all.map(|action| step.allows(action))), (means, may), "{actions}");
        assert!(!written(&step.reply(Action::Next, None).to_element()).contains("actions"));
    }
    let over = Response { status: Status::Completed, ..of("<actions><next/></actions>") };
    assert!(all.iter().all(|action| !over.allows(*action)));
    assert!(written(&Request::begin("x").to_element()).contains("action='execute'"));
}

// XEP-0050 1.3.0 §4.4 [AH25]; XEP-0308 1.2.1 §4
#[test]
fn commands_and_corrections_name_what_they_are_about() {
    use balcony_stanza::ErrorCondition;
    use balcony_xep::commands::Request;
    use balcony_xep::correction::Correction;
    let parse = |xml: &str| Element::parse(xml.as_bytes(), XmlLimits::STANZA).unwrap();
    for wrong in ["node='x' action='stop'", "action='next'"] {
        let element = parse(&format!("<command xmlns='http://jabber.org/protocol/commands' {wrong}/>"));
        let error = Request::read(element.root()).unwrap_err();
        assert_eq!(error.condition, ErrorCondition::BadRequest);
    }
    assert_eq!(Correction::read(parse("<replace xmlns='urn:xmpp:message-correct:0'/>").root()), None);
}
