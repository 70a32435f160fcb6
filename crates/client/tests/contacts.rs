//! What a client knows of the people around its user, in front of a server, and of others who pretend to be one.

#![allow(clippy::unwrap_used)]

use balcony_client::{Carbon, Contacts, News, Presence, ReceivedPresence, Show, held_back};
use balcony_jid::{BareJid, FullJid, Jid};
use balcony_roster::{Change, Decision, Item, Roster, RosterConfig, Set, Subscription, Version};
use balcony_stanza::{IqType, PresenceType, Stanza};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const OWN: &str = "juliet@example.com";

fn bare(text: &str) -> BareJid {
    text.parse().unwrap()
}

fn jid(text: &str) -> Jid {
    text.parse().unwrap()
}

fn stanza(xml: &str) -> Stanza {
    Stanza::parse(xml.as_bytes()).unwrap()
}

fn roster(attrs: &str, items: &str) -> Stanza {
    stanza(&format!(
        "<iq {attrs} id='1' to='{OWN}/balcony'><query xmlns='jabber:iq:roster'{items}</query></iq>"
    ))
}

fn push(item: &str) -> Stanza {
    roster("type='set'", &format!(" ver='8'><item {item}/>"))
}

/// A client that knows romeo and the nurse.
fn contacts() -> Contacts {
    let mut contacts = Contacts::new(bare(OWN));
    let items = "<item jid='romeo@example.net' subscription='both' name='R.'/><item jid='nurse@example.com' subscription='to'/>";
    contacts.load(&roster("type='result'", &format!(" ver='7'>{items}")));
    contacts
}

fn presence(contacts: &mut Contacts, from: &str, content: &str) -> Option<News> {
    contacts.take(&stanza(&format!("<presence from='{from}'>{content}</presence>")))
}

fn gone(contacts: &mut Contacts, from: &str) -> Option<News> {
    contacts.take(&Stanza::presence(PresenceType::Unavailable).with_from(jid(from)))
}

fn bytes(contacts: &Contacts, versions: bool) -> String {
    let mut features = balcony_stream::client::ServerFeatures::default();
    features.roster_versions = versions;
    String::from_utf8(contacts.get(features).as_bytes().into()).unwrap()
}

// RFC 6121 §2.1.3 [R11] roster-get, §2.6.2 [RV2, RV3, R2] roster-version
#[test]
fn the_version_is_sent_as_it_came_and_only_to_servers_that_want_it() {
    let new = Contacts::new(bare(OWN));
    assert_eq!(bytes(&new, false), "<query xmlns='jabber:iq:roster'/>");
    assert_eq!(bytes(&new, true), "<query xmlns='jabber:iq:roster' ver=''/>");
    assert_eq!(bytes(&contacts(), true), "<query xmlns='jabber:iq:roster' ver='7'/>");
    assert_eq!(bytes(&contacts(), false), "<query xmlns='jabber:iq:roster'/>");
    let kept = Contacts::cached(bare(OWN), " a'b ", contacts().items().cloned());
    assert_eq!(kept.version(), " a'b ");
    assert_eq!(kept.items().len(), 2);
}

// RFC 6121 §2.6.3 [RV9, RV10]
#[test]
fn a_result_without_a_query_leaves_what_is_known_and_pushes_follow() {
    let mut contacts = contacts();
    contacts.load(&stanza("<iq type='result' id='1'/>"));
    assert_eq!((contacts.items().len(), contacts.version()), (2, "7"));
    contacts.take(&push("jid='nurse@example.com' subscription='remove'")).unwrap();
    assert_eq!((contacts.items().len(), contacts.version()), (1, "8"));
    contacts.load(&roster("type='result'", " ver='9'>"));
    assert_eq!((contacts.items().len(), contacts.version()), (0, "9"));
}

// RFC 6121 §2.1.2.5 [R7]
#[test]
fn pushes_without_the_roster_before_them_do_not_make_it_newer() {
    let mut kept = contacts();
    kept.offline();
    let items = kept.items().cloned().collect::<Vec<_>>();
    for mut contacts in [Contacts::new(bare(OWN)), Contacts::cached(bare(OWN), "7", items), kept] {
        let before = bytes(&contacts, true);
        let paris = push("jid='paris@example.com' subscription='from'");
        assert!(contacts.take(&paris).is_some());
        // The result has not come, or too late: what has changed before the push is still to be asked for.
        assert_eq!(bytes(&contacts, true), before);
        contacts.offline();
        contacts.load(&stanza("<iq type='result' id='1'/>"));
        assert!(contacts.take(&paris).is_some());
        assert!(bytes(&contacts, true).contains("ver='8'"));
    }
}

#[test]
fn a_result_shows_only_what_a_result_may() {
    let mut contacts = contacts();
    let items = "<item jid='a@b' subscription='remove'/><item jid='c@d' subscription='x'/><item jid='e@f'/><x xmlns='other'/>";
    contacts.load(&roster("type='result'", &format!(">{items}")));
    assert_eq!(contacts.items().cloned().collect::<Vec<_>>(), [Item::new(bare("e@f"))]);
    assert_eq!(contacts.version(), "");
}

// RFC 6121 §2.1.6 [R19]: whoever else could change the roster could put a name that the user trusts on any address
#[test]
fn only_the_own_server_pushes() {
    for from in ["", "from='juliet@example.com'"] {
        let stanza = roster(&format!("type='set' {from}"), "><item jid='a@b'/>");
        assert!(matches!(contacts().take(&stanza), Some(News::Roster(Change::Item(_)))), "{from}");
    }
    for from in [
        "romeo@example.net",
        "example.com",
        "juliet@example.com/other",
        "juliet@example.com/balcony",
        "juliet@example.org",
    ] {
        let mut contacts = contacts();
        let stanza =
            roster(&format!("type='set' from='{from}'"), " ver='99'><item jid='a@b' subscription='both'/>");
        assert_eq!(contacts.take(&stanza), None, "{from}");
        assert_eq!((contacts.items().len(), contacts.version()), (2, "7"), "{from}");
    }
}

// RFC 6121 §2.1.6 [R18]
#[test]
fn a_push_has_one_item() {
    for items in
        ["><item jid='a@b'/><item jid='c@d'/>", ">", "><item/>", "><item jid='a@b' subscription='x'/>"]
    {
        let mut contacts = contacts();
        assert_eq!(contacts.take(&roster("type='set'", items)), None, "{items}");
        assert_eq!((contacts.items().len(), contacts.version()), (2, "7"), "{items}");
    }
    assert_eq!(contacts().take(&roster("type='get'", "><item jid='a@b'/>")), None);
}

// RFC 6121 §4.7.1, §4.7.2 [PR28, PR29, PR30] presence-notype
#[test]
fn presence_is_shown_for_each_resource() {
    let mut contacts = contacts();
    let available = |resource| Some(News::Available(jid(resource)));
    assert_eq!(presence(&mut contacts, "romeo@example.net/a", ""), available("romeo@example.net/a"));
    let away = "<show>away</show><status>at lunch</status><status xml:lang='it'>a pranzo</status><priority>-3</priority>";
    assert_eq!(presence(&mut contacts, "romeo@example.net/b", away), available("romeo@example.net/b"));
    let expected =
        Presence::available().show(Show::Away).status("at lunch").status_in("it", "a pranzo").priority(-3);
    assert_eq!(contacts.presence_of(&jid("romeo@example.net/b")), Some(&expected));
    // The same again is no news.
    assert_eq!(presence(&mut contacts, "romeo@example.net/b", away), None);
    let wrong = "<show>asleep</show><status/><priority>300</priority>";
    assert_eq!(presence(&mut contacts, "romeo@example.net/b", wrong), available("romeo@example.net/b"));
    assert_eq!(contacts.presence_of(&jid("romeo@example.net/b")), Some(&Presence::default()));
    assert_eq!(contacts.resources(&bare("romeo@example.net")).count(), 2);
    // The own account's other resources count, strangers do not.
    assert_eq!(presence(&mut contacts, "juliet@example.com/desk", ""), available("juliet@example.com/desk"));
    assert_eq!(presence(&mut contacts, "tybalt@example.net/x", ""), None);
    assert_eq!(contacts.presence_of(&jid("tybalt@example.net/x")), None);
}

// RFC 6121 §4.5.4 [PR21] presence-unavailable
#[test]
fn the_end_of_a_bare_address_is_the_end_of_all_its_resources() {
    let mut contacts = contacts();
    for resource in ["a", "b", "c"] {
        presence(&mut contacts, &format!("romeo@example.net/{resource}"), "").unwrap();
    }
    let unavailable = |from| Some(News::Unavailable(jid(from)));
    assert_eq!(gone(&mut contacts, "romeo@example.net/a"), unavailable("romeo@example.net/a"));
    assert_eq!(gone(&mut contacts, "romeo@example.net/a"), None);
    assert_eq!(gone(&mut contacts, "romeo@example.net"), unavailable("romeo@example.net"));
    assert_eq!(contacts.resources(&bare("romeo@example.net")).count(), 0);
    // RFC 6121 §3.1.3 [SB9]: a receipt for a request looks like this, and says nothing about presence.
    assert_eq!(gone(&mut contacts, "nurse@example.com"), None);
}

// RFC 6121 §3.1.3, §3.1.6 presence-sub-request, presence-sub-approval
// RFC 6121 §3.2.3, §3.3.3 presence-sub-cancel, presence-sub-unsubscribe
#[test]
fn requests_wait_until_they_are_answered() {
    let send = |contacts: &mut Contacts, kind, from: &str| {
        contacts.take(&Stanza::presence(kind).with_from(jid(from)))
    };
    let mut contacts = contacts();
    let paris = bare("paris@example.com");
    let request = Some(News::Request(paris.clone()));
    assert_eq!(send(&mut contacts, PresenceType::Subscribe, "paris@example.com"), request);
    // The server repeats it with each presence.
    assert_eq!(send(&mut contacts, PresenceType::Subscribe, "paris@example.com"), None);
    assert_eq!(contacts.requests().collect::<Vec<_>>(), [&paris]);
    // Another resource of the user approves it.
    contacts.take(&push("jid='paris@example.com' subscription='from'")).unwrap();
    assert_eq!(contacts.requests().len(), 0);

    for (answer, resulting) in [
        (PresenceType::Subscribed, News::Approved(bare("nurse@example.com"))),
        (PresenceType::Unsubscribed, News::Refused(bare("nurse@example.com"))),
        (PresenceType::Unsubscribe, News::Left(bare("nurse@example.com"))),
    ] {
        send(&mut contacts, PresenceType::Subscribe, "nurse@example.com");
        assert_eq!(send(&mut contacts, answer, "nurse@example.com"), Some(resulting));
    }
    assert_eq!(contacts.requests().len(), 0);
    send(&mut contacts, PresenceType::Subscribe, "paris@example.com");
    contacts.answered(&paris);
    assert_eq!(contacts.requests().len(), 0);

    // Whose subscription has ended is not known to be there.
    presence(&mut contacts, "romeo@example.net/a", "").unwrap();
    send(&mut contacts, PresenceType::Unsubscribed, "romeo@example.net");
    assert_eq!(contacts.resources(&bare("romeo@example.net")).count(), 0);
}

#[test]
fn without_a_connection_nobody_is_there_but_the_roster_stays() {
    let mut contacts = contacts();
    presence(&mut contacts, "romeo@example.net/a", "").unwrap();
    contacts.take(&Stanza::presence(PresenceType::Subscribe).with_from(jid("paris@example.com"))).unwrap();
    contacts.offline();
    assert_eq!(contacts.resources(&bare("romeo@example.net")).count(), 0);
    assert_eq!((contacts.requests().len(), contacts.items().len(), contacts.version()), (0, 2, "7"));
}

// RFC 6121 §4.2.1, §4.7.2 [PR1, PR28, PR30]
#[test]
fn presence_is_read_as_it_was_written() {
    for show in [Show::Online, Show::Chat, Show::Away, Show::Xa, Show::Dnd] {
        let statuses: [&[(&str, &str)]; 4] =
            [&[], &[("", "<at> 'lunch'")], &[("de", "x")], &[("", "x"), ("cs", "y")]];
        for (statuses, priority) in statuses.into_iter().zip([0, 127, -128, 1]) {
            let presence = statuses
                .iter()
                .fold(Presence::available().show(show).priority(priority), |presence, (lang, status)| {
                    presence.status_in(lang, status)
                });
            let stanza = presence.to_stanza();
            assert!(stanza.head.to.is_none() && stanza.head.kind.type_name().is_none());
            assert_eq!(Presence::read(&stanza), presence);
        }
    }
}

// RFC 6121 §4.7.2.2: a status in several languages, each once; the element's language is the stanza's unless it says another.
#[test]
fn a_status_has_languages() {
    let read = |content: &str| {
        let presence =
            ReceivedPresence::read(stanza(&format!("<presence xml:lang='de'>{content}</presence>"))).unwrap();
        let all =
            presence.statuses().iter().map(|(lang, text)| format!("{lang}: {text}")).collect::<Vec<_>>();
        (presence.status().map(str::to_owned), all)
    };
    assert_eq!(read(""), (None, vec![]));
    assert_eq!(read("<status/>"), (None, vec![]));
    assert_eq!(read("<status>zu Tisch</status>"), (Some("zu Tisch".into()), vec!["de: zu Tisch".into()]));
    let several = "<status>zu Tisch</status><status xml:lang='cs'>na obědě</status><status xml:lang='DE'>weg</status>\
                   <status xml:lang='en'/><status xmlns='urn:example'>x</status>";
    assert_eq!(read(several), (Some("zu Tisch".into()), vec!["de: zu Tisch".into(), "cs: na obědě".into()]));
}

fn carbon(from: &str, way: &str, message: &str) -> Stanza {
    stanza(&format!(
        "<message from='{from}' to='{OWN}/balcony' type='chat'><{way} xmlns='urn:xmpp:carbons:2'>\
         <forwarded xmlns='urn:xmpp:forward:0'>{message}</forwarded></{way}></message>"
    ))
}

// XEP-0280 1.0.1 §7, §8, §11 [CR5] [CR9]: forged copies put words into other people's mouths (CVE-2017-5589 and its siblings)
#[test]
fn only_the_own_account_makes_copies() {
    let own = FullJid::parse("juliet@example.com/balcony").unwrap();
    let message = "<message xmlns='jabber:client' from='juliet@example.com/desk' to='romeo@example.net' type='chat'><body>hi</body></message>";
    let copy = Carbon::read(&carbon(OWN, "sent", message), &own).unwrap();
    assert!(copy.is_sent);
    assert_eq!(copy.message.head.from, Some(jid("juliet@example.com/desk")));
    assert_eq!(copy.message.payload.as_bytes(), b"<body>hi</body>");
    assert!(!Carbon::read(&carbon(OWN, "received", message), &own).unwrap().is_sent);
    for from in ["romeo@example.net", "romeo@example.net/a", "example.com", "juliet@example.com/desk"] {
        assert_eq!(Carbon::read(&carbon(from, "sent", message), &own), None, "{from}");
    }
    for wrong in ["", "<message xmlns='jabber:client' to='@'/>", "<presence xmlns='jabber:client'/>"] {
        assert_eq!(Carbon::read(&carbon(OWN, "sent", wrong), &own), None, "{wrong}");
    }
}

// XEP-0203 2.0 §2, §5 [DL4]
#[test]
fn only_the_own_server_says_when_a_message_was_held_back() {
    let own = FullJid::parse("juliet@example.com/balcony").unwrap();
    let delay = |from: &str| {
        let delay = format!("<delay xmlns='urn:xmpp:delay' {from} stamp='1970-01-01T00:00:01Z'/>");
        let elsewhere = "<delay xmlns='urn:xmpp:delay' from='a.example' stamp='1999-01-01T00:00:00Z'/>";
        held_back(&stanza(&format!("<message>{elsewhere}{delay}</message>")), &own)
    };
    assert_eq!(delay("from='example.com'"), Some(1000));
    assert_eq!(delay("from='juliet@example.com'"), Some(1000));
    assert_eq!(delay("from='romeo@example.net'"), None);
    assert_eq!(delay(""), None);
    // XEP-0091: servers take away what claims to be theirs only in the form that they know.
    let legacy = "<x xmlns='jabber:x:delay' from='example.com' stamp='19700101T00:00:01'/>";
    assert_eq!(held_back(&stanza(&format!("<message>{legacy}</message>")), &own), None);
}

fn step() -> impl Strategy<Value = (u8, u8, u8)> {
    (0..3_u8, 0..3_u8, 0..3_u8)
}

proptest! {
    // RFC 6121 §2.1.4, §2.1.6: whoever reads along has the roster that the server has, whenever they came
    #[test]
    fn pushes_lead_to_the_servers_roster(steps in prop::collection::vec((0..4_u8, 0..3_u8), 0..30), late in 0..30_usize) {
        let mut server = Roster::new(bare(OWN), Version(1), RosterConfig::default());
        let mut contacts = Contacts::new(bare(OWN));
        for (at, (what, who)) in steps.into_iter().enumerate() {
            if at == late {
                contacts.load(&Stanza::iq(IqType::Result).with_child(server.to_element()));
            }
            let contact = bare(&format!("{who}@example.net"));
            let mut decisions = Vec::new();
            let presence = |kind| Stanza::presence(kind).with_to(contact.to_jid());
            let done = match what {
                0 => server.set(Set { jid: contact, name: Some("x".into()), groups: vec!["g".into()] }, &mut decisions),
                1 => server.remove(&contact, &mut decisions),
                2 => server.outbound(presence(PresenceType::Subscribe), &mut decisions),
                _ => {
                    server.inbound(Stanza::presence(PresenceType::Subscribed).with_from(contact.to_jid()), &mut decisions);
                    Ok(())
                }
            };
            prop_assert!(done.is_ok() || what == 1);
            for decision in decisions {
                if let Decision::Push(push) = decision && at >= late {
                    prop_assert!(contacts.take(&Stanza::iq(IqType::Set).with_child(push.to_element())).is_some());
                    prop_assert_eq!(contacts.version(), server.version().to_string());
                }
            }
            if at >= late {
                prop_assert!(contacts.items().eq(server.items()));
            }
        }
    }

    // RFC 6121 §4.5.4 [PR21]: who is there is who has come and not gone, and each change of that is news once
    #[test]
    fn who_is_there(steps in prop::collection::vec(step(), 0..60)) {
        let mut contacts = Contacts::cached(bare(OWN), "", ["0@x", "1@x"].map(|text| Item {
            subscription: Subscription::Both,
            ..Item::new(bare(text))
        }));
        let mut model: BTreeMap<u8, BTreeSet<u8>> = BTreeMap::new();
        for (what, who, resource) in steps {
            let there = model.entry(who).or_default();
            let full = format!("{who}@x/{resource}");
            let (news, is_news) = match what {
                0 => (presence(&mut contacts, &full, ""), who != 2 && there.insert(resource)),
                1 => (gone(&mut contacts, &full), there.remove(&resource)),
                _ => (gone(&mut contacts, &format!("{who}@x")), !core::mem::take(there).is_empty()),
            };
            prop_assert_eq!(news.is_some(), is_news);
            let resources: Vec<String> = contacts.resources(&bare(&format!("{who}@x"))).map(|(name, _)| name.into()).collect();
            prop_assert_eq!(resources, there.iter().map(u8::to_string).collect::<Vec<_>>());
        }
    }
}

// RFC 6121 §11 [SC4]: what strangers put into their requests is shown to nobody.
#[test]
fn requests_carry_no_text_to_the_user() {
    let request = |content: &str| {
        let mut contacts = contacts();
        let xml = format!("<presence type='subscribe' from='paris@example.com'>{content}</presence>");
        let news = contacts.take(&stanza(&xml));
        assert_eq!(contacts.presence_of(&jid("paris@example.com")), None);
        format!("{news:?} {contacts:?}")
    };
    assert_eq!(request("<status>cheap watches</status>"), request(""));
}

// RFC 6121 §4.5.1 [PR17]
#[test]
fn whoever_goes_says_no_more_than_why() {
    for (status, content) in [(None, ""), (Some("asleep"), "<status>asleep</status>")] {
        let gone = Presence::unavailable(status);
        assert_eq!(gone.head, Stanza::presence(PresenceType::Unavailable).head);
        assert_eq!(gone.payload.as_bytes(), content.as_bytes());
    }
}
