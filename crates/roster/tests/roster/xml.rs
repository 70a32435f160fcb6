//! The `<query/>` element, read and written (RFC 6121 section 2.1).

use balcony_machine::XmlLimits;
use balcony_roster::{Answer, Change, Error, Item, Push, Request, RosterConfig, Set, Subscription, Version};
use balcony_stanza::{IqType, Stanza, ns};
use balcony_xml::Element;
use proptest::prelude::*;

use crate::world::{USER, bare, contact, empty};

fn read(kind: IqType, to: Option<&str>, query: &str) -> Result<Request, Error> {
    let mut iq = Stanza::iq(kind).with_from(format!("{USER}/balcony").parse().unwrap());
    iq.head.to = to.map(|to| to.parse().unwrap());
    let query = Element::parse(query.as_bytes(), XmlLimits::STANZA).unwrap();
    Request::read(&iq.head, query.root())
}

fn read_set(items: &str) -> Result<Request, Error> {
    read(IqType::Set, None, &format!("<query xmlns='jabber:iq:roster'>{items}</query>"))
}

fn text(element: &Element) -> String {
    let mut out = Vec::new();
    element.root().write(&mut out, ns::CLIENT);
    String::from_utf8(out).unwrap()
}

// RFC 6121 §2.1.3 [R11], §2.6.2 [RV2, RV3]
#[test]
fn gets() {
    let get = |query| read(IqType::Get, None, query).unwrap();
    assert_eq!(get("<query xmlns='jabber:iq:roster'/>"), Request::Get { ver: None });
    assert_eq!(get("<query xmlns='jabber:iq:roster' ver=''/>"), Request::Get { ver: Some("".into()) });
    assert_eq!(get("<query xmlns='jabber:iq:roster' ver='7'/>"), Request::Get { ver: Some("7".into()) });
}

// RFC 6121 §2.1.2.1 to §2.1.2.5 [R3, R4, R8]: what a client has no say in is ignored; so are other people's extensions
#[test]
fn sets() {
    let expected = Request::Set(Set {
        jid: contact(),
        name: Some("R & J".into()),
        groups: vec!["Friends".into(), "".into()],
    });
    for subscription in ["none", "to", "from", "both", "", "REMOVE"] {
        let set = format!(
            "<item jid='Romeo@Example.net' name='R &amp; J' subscription='{subscription}' ask='subscribe' approved='true'>\
             <group>Friends</group><x xmlns='urn:x'/><group xmlns='urn:x'>no</group><group/></item>\
             <item xmlns='urn:x'/>"
        );
        assert_eq!(read_set(&set), Ok(expected.clone()));
    }
}

// RFC 6121 §2.5.1 [R22]: only the address counts
#[test]
fn removals() {
    let set = "<item jid='romeo@example.net' subscription='remove' name=''><group/><group/></item>";
    assert_eq!(read_set(set), Ok(Request::Remove(contact())));
}

// RFC 6121 §2.3.3 [RE2], §2.1.2.3 [R6], RFC 7622 §4 [RE11]
#[test]
fn sets_that_cannot_be_read() {
    assert_eq!(read_set(""), Err(Error::NotOneItem));
    assert_eq!(read_set("<item jid='a@example.net'/><item jid='b@example.net'/>"), Err(Error::NotOneItem));
    assert_eq!(read_set("<item name='Romeo'/>"), Err(Error::NoJid));
    for jid in ["", "a@", "ro meo@example.net", "romeo@example.net/orchard"] {
        let error = read_set(&format!("<item jid='{jid}'/>"));
        assert!(matches!(error, Err(Error::Jid(_))), "{jid}: {error:?}");
    }
}

// RFC 6121 §2 [R1], §2.3.3 [RE1]
#[test]
fn a_roster_is_its_owners() {
    let query = "<query xmlns='jabber:iq:roster'><item jid='a@example.net'/></query>";
    for kind in [IqType::Get, IqType::Set] {
        for (to, own) in [
            (None, true),
            (Some(USER), true),
            (Some("romeo@example.net"), false),
            (Some("example.com"), false),
            (Some("nobody@example.com"), false),
        ] {
            let result = read(kind, to, query);
            assert_eq!(result.is_ok(), own, "{to:?}");
            assert!(own || result == Err(Error::Forbidden));
        }
    }
    // Nobody in particular is not the owner of a roster that is named.
    let head = Stanza::iq(IqType::Get).with_to(USER.parse().unwrap()).head;
    let query = Element::parse(query.as_bytes(), XmlLimits::STANZA).unwrap();
    assert_eq!(Request::read(&head, query.root()), Err(Error::Forbidden));
}

// RFC 6121 §2.1.4 [R12, RV10]: an empty roster is a query without items; §2.6.3 [RV8]: every result has a version
#[test]
fn an_empty_roster() {
    let Answer::Whole(query) = empty(RosterConfig::default()).get(None) else { panic!("not whole") };
    assert_eq!(text(&query), "<query xmlns='jabber:iq:roster' ver='1'/>");
}

// RFC 6121 §2.1.2 [R5, R6], §2.1.6 [R18], §2.6.3 [RV8]
#[test]
fn pushes() {
    let mut item = Item::new(contact());
    let push = |change| text(&Push { version: Version(5), change }.to_element());
    assert_eq!(
        push(Change::Item(item.clone())),
        "<query xmlns='jabber:iq:roster' ver='5'><item jid='romeo@example.net' subscription='none'/></query>"
    );
    item.name = Some("R & J".into());
    item.groups = vec!["a".into(), "<b>".into()];
    (item.subscription, item.ask) = (Subscription::From, true);
    assert_eq!(
        push(Change::Item(item.clone())),
        "<query xmlns='jabber:iq:roster' ver='5'>\
         <item jid='romeo@example.net' subscription='from' name='R &amp; J' ask='subscribe'>\
         <group>a</group><group>&lt;b&gt;</group></item></query>"
    );
    (item.subscription, item.ask, item.approved) = (Subscription::To, false, true);
    item.groups.clear();
    assert_eq!(
        push(Change::Item(item)),
        "<query xmlns='jabber:iq:roster' ver='5'>\
         <item jid='romeo@example.net' subscription='to' name='R &amp; J' approved='true'/></query>"
    );
    assert_eq!(
        push(Change::Removed(contact())),
        "<query xmlns='jabber:iq:roster' ver='5'><item jid='romeo@example.net' subscription='remove'/></query>"
    );
}

// RFC 6121 §2.6.1 [RV1], §3.4.1 [PA1]
#[test]
fn features() {
    let names = |pre_approval| {
        let config = RosterConfig { pre_approval, ..RosterConfig::default() };
        config.features().iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(
        names(true),
        ["<ver xmlns='urn:xmpp:features:rosterver'/>", "<sub xmlns='urn:xmpp:features:pre-approval'/>"]
    );
    assert_eq!(names(false), ["<ver xmlns='urn:xmpp:features:rosterver'/>"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // RFC 6121 §2.1.2: what is pushed, sent back as a set, says the same
    #[test]
    fn written_and_read(name in prop::option::of("[ -~é漢]{1,20}"), groups in prop::collection::vec("[ -~é漢]{0,20}", 0..4)) {
        let mut item = Item::new(bare("a@example.net"));
        item.name = name.map(Box::from);
        item.groups = groups.into_iter().map(Box::from).collect();
        let query = text(&Push { version: Version(1), change: Change::Item(item.clone()) }.to_element());
        let set = Set { jid: item.jid, name: item.name, groups: item.groups };
        prop_assert_eq!(read(IqType::Set, None, &query), Ok(Request::Set(set)));
    }
}

fn item(xml: &str) -> Option<Change> {
    let item = format!("<item xmlns='jabber:iq:roster' {xml}");
    Change::read(Element::parse(item.as_bytes(), XmlLimits::STANZA).unwrap().root())
}

// RFC 6121 §2.1.2.5 [R7]: a client takes five subscriptions in a push, four in a result, and nothing else in neither
#[test]
fn a_client_reads_items() {
    let subscription = |attr: &str| match item(&format!("jid='a@b' {attr}/>")) {
        Some(Change::Item(item)) => Some(item.subscription),
        _ => None,
    };
    assert_eq!(subscription(""), Some(Subscription::None));
    for expected in [Subscription::None, Subscription::To, Subscription::From, Subscription::Both] {
        assert_eq!(subscription(&format!("subscription='{}'", expected.name())), Some(expected));
    }
    for wrong in ["", "NONE", "pending"] {
        assert_eq!(item(&format!("jid='a@b' subscription='{wrong}'/>")), None);
    }
    assert_eq!(item("jid='a@b' subscription='remove'/>"), Some(Change::Removed(bare("a@b"))));
    let removal = Element::parse(
        b"<item xmlns='jabber:iq:roster' jid='a@b' subscription='remove'/>",
        XmlLimits::STANZA,
    );
    assert_eq!(Item::read(removal.unwrap().root()), None);
    // RFC 6121 §2.1.2.3 [R6]
    for wrong in ["/>", "jid='a@b/c'/>", "jid='@'/>"] {
        assert_eq!(item(wrong), None, "{wrong}");
    }
}

proptest! {
    // RFC 6121 §2.1.6: what a server pushes is what its clients read
    #[test]
    fn pushes_are_read_as_they_were_written(
        name in prop::option::of("[^\u{0}-\u{1f}\u{7f}-\u{9f}\u{fffe}\u{ffff}]{1,8}"),
        groups in prop::collection::vec("[a-z&<' ]{1,8}", 0..3),
        subscription in prop::sample::select(&[Subscription::None, Subscription::To, Subscription::From, Subscription::Both]),
        ask: bool,
        approved: bool,
    ) {
        let item = Item {
            name: name.map(String::into_boxed_str),
            groups: groups.into_iter().map(String::into_boxed_str).collect(),
            subscription, ask, approved,
            ..Item::new(bare("romeo@example.net"))
        };
        for change in [Change::Item(item), Change::Removed(bare("romeo@example.net"))] {
            let query = Push { version: Version(7), change: change.clone() }.to_element();
            prop_assert_eq!(query.root().children().next().and_then(Change::read), Some(change));
        }
    }

    // RFC 6121 §2.1.3, §2.3.1, §2.5.1 [R3, R4, R11] roster-get, roster-set: what a client asks for is what its server reads
    #[test]
    fn requests_are_read_as_they_were_written(
        ver in prop::option::of("[a-z0-9']{0,8}"),
        name in prop::option::of("[a-z&<' ]{0,8}"),
        groups in prop::collection::vec("[a-z&<' ]{0,8}", 0..3),
    ) {
        let set = Set {
            jid: bare("romeo@example.net"),
            name: name.map(String::into_boxed_str),
            groups: groups.into_iter().map(String::into_boxed_str).collect(),
        };
        let get = Request::Get { ver: ver.map(String::into_boxed_str) };
        for request in [get, Request::Set(set), Request::Remove(bare("romeo@example.net"))] {
            let kind = if matches!(request, Request::Get { .. }) { IqType::Get } else { IqType::Set };
            prop_assert_eq!(read(kind, None, &text(&request.to_element())), Ok(request));
        }
    }
}
