//! What holds for every element and for every value.
#![allow(clippy::unwrap_used)]

mod every;

use balcony_sim::strategies::{jid, some_text, text};
use balcony_stanza::{ErrorCondition, IqType, MessageType, Payload, Stanza, StanzaError};
use balcony_xep::blocking::{self, BlockList};
use balcony_xep::carbons::{self, Carbon, Direction};
use balcony_xep::chat_markers::Marker;
use balcony_xep::chat_states::ChatState;
use balcony_xep::conference::Invitation;
use balcony_xep::correction::{self, Correction};
use balcony_xep::data_form::{self, DataForm, Field as FormField, FieldKind, FormKind};
use balcony_xep::datetime;
use balcony_xep::delay::{self, Delay};
use balcony_xep::disco::{self, About, Identity, Info, Item, Items};
use balcony_xep::forward::{self, Forwarded};
use balcony_xep::hints::{self, Hints};
use balcony_xep::last::{self, Last};
use balcony_xep::push::{self, Notification, Publish, Summary};
use balcony_xep::receipts::{self, Receipt};
use balcony_xep::register::{self, Field, Fields, Form};
use balcony_xep::sm::{self, Ack, Enable, Enabled, Failed, Resumable, Resume, Resumed, TooHigh};
use balcony_xep::validation::{self, Validation};
use balcony_xep::version::{self, Software};
use balcony_xep::{
    attention, chat_markers, chat_states, commands, conference, encryption, muc, ping, private, vcard,
};
use balcony_xml::{Element, ElementRef, Name};
use every::every;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

/// Names and the namespaces in which they mean something.
const KNOWN: &[(&str, &str)] = &[
    ("replace", correction::NS),
    ("x", data_form::NS),
    ("field", data_form::NS),
    ("value", data_form::NS),
    ("option", data_form::NS),
    ("required", data_form::NS),
    ("reported", data_form::NS),
    ("item", data_form::NS),
    ("validate", validation::NS),
    ("range", validation::NS),
    ("regex", validation::NS),
    ("list-range", validation::NS),
    ("command", commands::NS),
    ("actions", commands::NS),
    ("note", commands::NS),
    ("next", commands::NS),
    ("ping", ping::NS),
    ("query", version::NS),
    ("name", version::NS),
    ("version", version::NS),
    ("os", version::NS),
    ("query", disco::INFO),
    ("identity", disco::INFO),
    ("feature", disco::INFO),
    ("attention", attention::NS),
    ("encryption", encryption::NS),
    ("encrypted", encryption::LEGACY),
    ("query", disco::ITEMS),
    ("item", disco::ITEMS),
    ("query", last::NS),
    ("delay", delay::NS),
    ("x", delay::LEGACY),
    ("forwarded", forward::NS),
    ("message", "jabber:client"),
    ("iq", "jabber:client"),
    ("body", "jabber:client"),
    ("thread", "jabber:client"),
    ("sent", carbons::NS),
    ("received", carbons::NS),
    ("enable", carbons::NS),
    ("private", carbons::NS),
    ("store", hints::NS),
    ("no-store", hints::NS),
    ("no-copy", hints::NS),
    ("active", chat_states::NS),
    ("composing", chat_states::NS),
    ("received", receipts::NS),
    ("displayed", chat_markers::NS),
    ("x", conference::NS),
    ("x", muc::USER),
    ("invite", muc::USER),
    ("query", register::NS),
    ("username", register::NS),
    ("password", register::NS),
    ("remove", register::NS),
    ("registered", register::NS),
    ("instructions", register::NS),
    ("blocklist", blocking::NS),
    ("block", blocking::NS),
    ("unblock", blocking::NS),
    ("item", blocking::NS),
    ("query", private::NS),
    ("storage", "storage:bookmarks"),
    ("vCard", vcard::NS),
    ("FN", vcard::NS),
    ("PHOTO", vcard::NS),
    ("BINVAL", vcard::NS),
    ("sm", sm::NS),
    ("enable", sm::NS),
    ("enabled", sm::NS),
    ("resume", sm::NS),
    ("resumed", sm::NS),
    ("failed", sm::NS),
    ("item-not-found", "urn:ietf:params:xml:ns:xmpp-stanzas"),
    ("r", sm::NS),
    ("a", sm::NS),
    ("handled-count-too-high", sm::NS),
    ("enable", push::NS),
    ("disable", push::NS),
    ("notification", push::NS),
    ("pubsub", push::PUBSUB),
    ("publish", push::PUBSUB),
    ("item", push::PUBSUB),
    ("publish-options", push::PUBSUB),
    ("x", ""),
    ("x", "urn:x"),
];

/// Names of attributes and values that mean something.
const ATTRIBUTES: &[(&str, &[&str])] = &[
    ("node", &["", "x"]),
    ("name", &["a", "<&'\">"]),
    ("var", &["urn:x", "", "FORM_TYPE", "message-count", "last-message-body"]),
    ("category", &["client"]),
    (
        "type",
        &[
            "chat",
            "pc",
            "get",
            "set",
            "image/png",
            "form",
            "submit",
            "result",
            "hidden",
            "text-single",
            "warn",
        ],
    ),
    ("action", &["execute", "next", "cancel", "stop"]),
    ("status", &["executing", "completed", "canceled", "x"]),
    ("sessionid", &["1", ""]),
    ("label", &["a", "<&'\">"]),
    ("jid", &["juliet@example.com", "Juliet@EXAMPLE.com/\u{e9}", "@", ""]),
    ("from", &["example.com", "juliet@example.com", ""]),
    ("to", &["romeo@example.net", "@"]),
    ("id", &["1", ""]),
    ("h", &["0", "4294967295", "4294967296", "+1", ""]),
    ("send-count", &["0", "7"]),
    ("previd", &["1", ""]),
    ("resume", &["true", "1", "false", "yes"]),
    ("max", &["0", "600", "-1"]),
    ("location", &["[2001:db8::1]:5222", "example.com", ""]),
    ("seconds", &["0", "903", "+1", "-1", "18446744073709551616", ""]),
    (
        "stamp",
        &[
            "2002-09-10T23:08:25Z",
            "2002-09-10T23:08:25.123+01:00",
            "20020910T23:08:25",
            "2001-02-29T00:00:00Z",
            "",
        ],
    ),
    ("continue", &["true", "1", "no"]),
    ("password", &["pencil"]),
    ("reason", &["\n\t\r "]),
];

fn attribute() -> impl Strategy<Value = (&'static str, String)> {
    let text = text();
    select(ATTRIBUTES).prop_flat_map(move |(name, values)| {
        (Just(name), prop_oneof![4 => select(values).prop_map(String::from), 1 => text.clone()])
    })
}

/// Elements that are close to those that mean something.
fn element() -> impl Strategy<Value = Element> {
    let name = prop_oneof![
        8 => select(KNOWN),
        1 => (select(KNOWN), select(KNOWN)).prop_map(|((name, _), (_, namespace))| (name, namespace)),
    ];
    let new = |((name, namespace), attributes): ((&str, &str), Vec<(&str, String)>)| {
        let element = Element::new(Name::new(name).unwrap(), namespace);
        attributes
            .iter()
            .fold(element, |element, (name, value)| element.attr(Name::new(name).unwrap(), value))
    };
    let empty = (name, prop::collection::vec(attribute(), 0..4)).prop_map(new).boxed();
    let leaf = (empty.clone(), of(text()))
        .prop_map(|(element, text)| text.iter().fold(element, |element, text| element.text(text)));
    leaf.prop_recursive(4, 24, 4, move |inner| {
        (empty.clone(), prop::collection::vec(inner, 1..4))
            .prop_map(|(element, children)| children.into_iter().fold(element, Element::child))
    })
}

fn form_field() -> impl Strategy<Value = FormField<'static>> {
    use FieldKind as K;
    let kinds =
        [K::Boolean, K::Hidden, K::ListMulti, K::TextMulti, K::TextPrivate, K::TextSingle, K::JidSingle];
    let texts = || prop::collection::vec(text(), 0..3);
    let kind = of(select(kinds.to_vec()));
    let flags = (any::<bool>(), of(validation()));
    (of(some_text()), kind, of(text()), of(text()), flags, texts(), texts()).prop_map(
        |(var, kind, label, description, (is_required, validation), values, options)| FormField {
            validation,
            var: var.map(Into::into),
            kind,
            label: label.map(Into::into),
            description: description.map(Into::into),
            is_required,
            values: values.into_iter().map(Into::into).collect(),
            options: options
                .into_iter()
                .map(|value| data_form::Choice { label: None, value: value.into() })
                .collect(),
        },
    )
}

fn validation() -> impl Strategy<Value = Validation<'static>> {
    use balcony_xep::validation::{Count, Method};
    let owned = |text: Option<String>| text.map(Into::into);
    let method = prop_oneof![
        Just(Method::Basic),
        Just(Method::Open),
        (of(text()), of(text()))
            .prop_map(move |(min, max)| Method::Range { min: owned(min), max: owned(max) }),
        text().prop_map(|pattern| Method::Regex(pattern.into())),
    ];
    let count = (of(any::<u32>()), of(any::<u32>())).prop_map(|(min, max)| Count { min, max });
    (text(), method, of(count)).prop_map(|(datatype, method, count)| Validation {
        datatype: datatype.into(),
        method,
        count,
    })
}

fn message() -> impl Strategy<Value = Stanza> {
    (of(jid()), text(), of(text())).prop_map(|(to, body, id)| {
        let body = Element::new(Name::from_static("body"), "jabber:client").text(&body);
        let mut stanza = Stanza::message(MessageType::Chat).with_child(body);
        stanza.head.to = to;
        match id {
            Some(id) => stanza.with_id(&id),
            None => stanza,
        }
    })
}

/// The element as it arrives in a stanza on another stream.
fn delivered(element: Element) -> Element {
    let mut wire = Vec::new();
    Stanza::iq(IqType::Result).with_id("1").with_child(element).write(&mut wire);
    let content = Stanza::parse(&wire).unwrap().payload.parse().unwrap();
    only(&content).into()
}

/// Why there is no stream management, or no resumption.
fn sm_conditions() -> [ErrorCondition; 4] {
    use ErrorCondition as C;
    [C::ItemNotFound, C::UnexpectedRequest, C::FeatureNotImplemented, C::UndefinedCondition]
}

fn only(content: &Element) -> ElementRef<'_> {
    let mut children = content.root().children();
    let only = children.next().unwrap();
    assert!(children.next().is_none());
    only
}

macro_rules! same {
    ($form:ident, $value:expr) => {{
        let value: $form<'_> = $value;
        let arrived = delivered(value.to_element());
        prop_assert_eq!($form::read(arrived.root()), Some(value));
    }};
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_element_is_read_or_not(element in element()) {
        every(element.root());
    }

    #[test]
    fn any_xml_is_read_or_not(xml in "<query xmlns='(jabber:iq:private|jabber:iq:register)'>\\PC{0,20}(<[a-z]{1,3}/>){0,3}</query>") {
        if let Ok(element) = Element::parse(xml.as_bytes(), balcony_machine::XmlLimits::STANZA) {
            every(element.root());
        }
    }

    // XEP-0092 §2, XEP-0012 §2
    #[test]
    fn version_and_last(name in text(), version in text(), os in of(text()), seconds: u64, status in of(some_text())) {
        let os = os.map(Into::into);
        same!(Software, Software { name: name.into(), version: version.into(), os });
        same!(Last, Last { seconds, status: status.map(Into::into) });
    }

    // XEP-0030 §3, §4
    #[test]
    fn disco(
        node in of(text()),
        identities in prop::collection::vec((text(), text(), of(text()), of("[a-z]{2}")), 0..3),
        features in prop::collection::vec(text(), 0..4),
        items in prop::collection::vec((text(), of(text()), of(text())), 0..3),
    ) {
        let node: Option<std::borrow::Cow<'_, str>> = node.map(Into::into);
        for about in [About::Info, About::Items] {
            let query = disco::Query { about, node: node.clone() };
            let arrived = delivered(query.to_element());
            prop_assert_eq!(disco::Query::read(arrived.root()), Some(query));
        }
        let identities = identities.iter().map(|(category, kind, name, lang)| Identity {
            name: name.as_deref().map(Into::into),
            lang: lang.as_deref().map(Into::into),
            ..Identity::new(category, kind)
        });
        let features = features.iter().map(|feature| feature.into()).collect();
        same!(Info, Info { node: node.clone(), identities: identities.collect(), features });
        let items = items.iter().map(|(jid, node, name)| Item {
            jid: jid.into(),
            node: node.as_deref().map(Into::into),
            name: name.as_deref().map(Into::into),
        });
        same!(Items, Items { node, items: items.collect() });
    }

    // XEP-0004 2.13.2 §3 [DF13] [DF14] [DF20] [DF30]: whatever is in a form arrives, and goes back
    #[test]
    fn data_forms(
        (kind, title, instructions) in (select(&[FormKind::Form, FormKind::Submit, FormKind::Cancel, FormKind::Result][..]), of(text()), prop::collection::vec(text(), 0..2)),
        fields in prop::collection::vec(form_field(), 0..4),
        (reported, items) in (prop::collection::vec(form_field(), 0..3), prop::collection::vec(prop::collection::vec(form_field(), 0..3), 0..3)),
    ) {
        let instructions = instructions.into_iter().map(Into::into).collect();
        let title = title.map(Into::into);
        let form = DataForm { kind, title, instructions, fields, reported, items };
        let element = form.to_element();
        prop_assert_eq!(DataForm::read(element.root()).map(DataForm::into_owned), Some(form.clone()));
        let answer = form.answer();
        // [DF16] [DF22]: what is hidden goes back as it is, words do not
        for field in &form.fields {
            if let (Some(var), Some(FieldKind::Hidden)) = (&field.var, field.kind) {
                let first = form.field(var).unwrap();
                prop_assert!(first.values.is_empty() || answer.values(var).eq(first.values.iter().map(|value| &**value)));
            }
        }
        prop_assert!(answer.fields.iter().all(|field| field.kind.is_none_or(|kind| kind == FieldKind::Hidden)));
        let missing: Vec<String> = form.refusals(&answer).into_iter().filter(|refusal| refusal.is_missing).map(|refusal| refusal.var).collect();
        let filled = missing.iter().fold(answer, |answer, var| answer.set(var, ["x"]));
        prop_assert!(form.refusals(&filled).iter().all(|refusal| !refusal.is_missing || refusal.var.is_empty()));
        prop_assert_eq!(form.refusals(&form.filled(&filled)), form.refusals(&filled));
        same!(DataForm, form);
    }

    // XEP-0050 1.3.0 §2.4, §3.4 [AH8] [AH17] [AH21]
    #[test]
    fn ad_hoc_commands(node in text(), session in of(some_text()), action in 0..5_usize, note in of(text()), language in of(some_text()), field in form_field(), flags: (bool, bool, bool, bool)) {
        use commands::{Action, Actions, Fault, Level, Note, Request, Response, Status};
        for fault in [Fault::BadAction, Fault::MalformedAction, Fault::BadLocale, Fault::BadPayload, Fault::BadSessionId, Fault::SessionExpired] {
            let error = fault.error(node.clone());
            let stanza = Stanza::iq(IqType::Error).with_child(error.to_element());
            let read = StanzaError::from_payload(stanza.payload.parse().unwrap().root()).unwrap();
            prop_assert_eq!((Fault::read(&read), &read), (Some(fault), &error));
        }
        let actions = [Action::Execute, Action::Prev, Action::Next, Action::Complete, Action::Cancel];
        let form = DataForm::new(FormKind::Submit).with(field);
        let session: Option<std::borrow::Cow<'_, str>> = session.map(Into::into);
        let request_language = language.clone();
        let request = Request { node: node.clone().into(), session: session.clone(), action: actions[action], language: language.map(Into::into), form: Some(form.clone()) };
        let arrived = delivered(request.to_element());
        prop_assert_eq!(Request::read(arrived.root()), Ok(request));
        let (prev, next, complete, has_execute) = flags;
        let execute = has_execute.then_some(actions[action]);
        let actions = Some(Actions { execute, prev, next, complete });
        let notes = note.into_iter().map(|text| Note { level: Level::Warn, text: text.into() }).collect();
        let response = Response { session, language: request_language.map(Into::into), actions, notes, form: Some(form), ..Response::new(node, Status::Executing) };
        prop_assert_eq!(response.reply(Action::Next, None).session, response.session.clone());
        prop_assert!(response.allows(response.execute_means()) || !(next || complete));
        same!(Response, response);
    }

    // XEP-0203 §4
    #[test]
    fn delays(at in 0..=datetime::END, from in of(text()), reason in of(some_text())) {
        same!(Delay, Delay { at, from: from.map(Into::into), reason: reason.map(Into::into) });
    }

    // XEP-0184 §5, XEP-0333 §4, XEP-0249 §2
    #[test]
    fn about_messages(
        id in text(), room in jid(), texts in prop::array::uniform3(of(text())), continues: bool,
    ) {
        same!(Receipt, Receipt::Request);
        same!(Correction, Correction { id: (&id).into() });
        same!(Receipt, Receipt::Received { id: (&id).into() });
        same!(Marker, Marker::Markable);
        same!(Marker, Marker::Displayed { id: (&id).into() });
        let [password, reason, thread] = texts.map(|text| text.map(Into::into));
        same!(Invitation, Invitation { room: room.to_bare(), password, reason, continues, thread });
        for state in ChatState::ALL {
            prop_assert_eq!(ChatState::read(delivered(state.to_element()).root()), Some(state));
        }
    }

    // XEP-0198 §3 [SM1] [SM4], §4 [SM7] [SM10], §5 [SM12] [SM13] [SM14] [SM15] [SM22]
    #[test]
    fn stream_management(
        numbers: [u32; 2], max in of(any::<u32>()), resume: bool,
        id in some_text(), location in of(some_text()), condition in select(sm_conditions().to_vec()),
    ) {
        let [h, sent] = numbers;
        let resumable = Resumable { id: (&id).into(), max, location: location.as_deref().map(Into::into) };
        same!(Enabled, Enabled { resumable: resume.then_some(resumable) });
        same!(Resume, Resume { previd: (&id).into(), h });
        same!(Resumed, Resumed { previd: (&id).into(), h });
        macro_rules! copied {
            ($form:ident, $value:expr) => {{
                let value: $form = $value;
                prop_assert_eq!($form::read(delivered(value.to_element()).root()), Some(value));
            }};
        }
        copied!(Enable, Enable { resume, max });
        copied!(Failed, Failed { condition, h: max });
        copied!(Ack, Ack { h });
        copied!(TooHigh, TooHigh { h, sent });
    }

    // XEP-0357 0.4.1 §5 [PN2] [PN3], §6 [PN5], §7 [PN8] [PN9] [PN10]
    #[test]
    fn push_notifications(
        (service, sender) in (jid(), of(jid())), node in of(text()), counts: [Option<u32>; 2], body in of(text()), secret in of(text()),
    ) {
        let options = secret.map(|secret| {
            let form = DataForm::new(FormKind::Submit).with(FormField::hidden("FORM_TYPE", push::PUBLISH_OPTIONS));
            form.with(FormField::new(FieldKind::TextPrivate, "secret").valued(secret))
        });
        let node: Option<std::borrow::Cow<'_, str>> = node.map(Into::into);
        let enable = push::Enable { jid: service.clone(), node: node.clone(), options: options.clone() };
        let disable = push::Disable { jid: service, node: node.clone() };
        for request in [push::Request::Enable(enable), push::Request::Disable(disable)] {
            let arrived = delivered(request.to_element());
            prop_assert_eq!(push::Request::read(arrived.root()), Ok(request));
        }
        let [messages, subscriptions] = counts;
        let summary = Summary { messages, subscriptions, sender, body: body.map(Into::into) };
        same!(Summary, summary.clone());
        let notification = Notification { summary: Some(summary) };
        same!(Notification, notification.clone());
        same!(Publish, Publish { node, notification, options });
    }

    // XEP-0334 §4
    #[test]
    fn hint(no_permanent_store: bool, no_store: bool, no_copy: bool, store: bool) {
        let hints = Hints { no_permanent_store, no_store, no_copy, store };
        let payload: Payload = hints.to_elements().iter().collect();
        prop_assert_eq!(Hints::read(payload.parse().unwrap().root()), hints);
    }

    // XEP-0077 §3
    #[test]
    fn registration(
        is_registered: bool, instructions in of(text()),
        values in prop::collection::vec((select(&Field::ALL[..]), text()), 0..6),
    ) {
        let fields = values.iter().fold(Fields::new(), |fields, (field, value)| fields.with(*field, value));
        let form = Form { is_registered, instructions: instructions.map(Into::into), fields: fields.clone() };
        same!(Form, form);
        for request in [register::Request::Register(fields), register::Request::Remove] {
            let arrived = delivered(request.to_element());
            prop_assert_eq!(register::Request::read(arrived.root()), Ok(request));
        }
    }

    // XEP-0191 §3
    #[test]
    fn blocks(jids in prop::collection::vec(jid(), 1..4)) {
        use blocking::Request::{Block, List, Unblock, UnblockAll};
        for request in [List, Block(jids.clone()), Unblock(jids.clone()), UnblockAll] {
            let arrived = delivered(request.to_element());
            prop_assert_eq!(blocking::Request::read(request.kind(), arrived.root()), Ok(request));
        }
        for jids in [jids, Vec::new()] {
            let list = BlockList { jids };
            prop_assert_eq!(BlockList::read(delivered(list.to_element()).root()), Some(list));
        }
    }

    // XEP-0297 §3, XEP-0280 §8
    #[test]
    fn stanzas_within_stanzas(stanza in message(), at in of(0..=datetime::END), sent: bool) {
        let delay = at.map(|at| Delay::new("example.com", at));
        let forwarded = Forwarded { delay, stanza: stanza.clone() };
        let content = forwarded.to_payload().parse().unwrap();
        prop_assert_eq!(Forwarded::read(only(&content)), Some(forwarded));

        let direction = if sent { Direction::Sent } else { Direction::Received };
        let carbon = Carbon { direction, message: stanza };
        prop_assert_eq!(Carbon::read(carbon.to_payload().parse().unwrap().root()), Some(carbon));
    }

    // XEP-0049 §2, XEP-0054 §3: what is set is what is got, byte for byte once it is written.
    #[test]
    fn documents_and_cards(element in element()) {
        const ROOM: usize = 1 << 20;
        if let Some(document) = private::Document::new(element.root(), ROOM) {
            prop_assert_eq!(document.element(), Some(element.clone()));
            prop_assert_eq!((document.key().name(), document.key().namespace()), (element.root().name(), element.root().namespace()));
            let set = private::Request::Set(vec![document.clone()]);
            let content = set.to_payload().parse().unwrap();
            prop_assert_eq!(private::Request::read(IqType::Set, only(&content), ROOM), Ok(set));
            prop_assert_eq!(private::Document::read(document.payload().clone()), Some(document));
        } else {
            prop_assert!(["", private::NS].contains(&element.root().namespace()));
        }
        let card = Element::new(Name::from_static("vCard"), vcard::NS).child(element);
        let Ok(set) = vcard::Request::read(IqType::Set, card.root(), ROOM) else { panic!("a card") };
        let content = set.to_payload().parse().unwrap();
        prop_assert_eq!(only(&content), card.root());
    }

    #[test]
    fn a_card_changes_where_it_is_changed(other in element(), text in text(), data in "[A-Za-z0-9+/\n]{0,20}") {
        let card = Element::new(Name::from_static("vCard"), vcard::NS).child(other);
        let card = vcard::Card::read(card.root()).unwrap();
        let photo = vcard::Photo { media_type: Some("image/png".into()), base64: (&data).into() };
        let changed = card.clone().with_text(vcard::Field::FullName, Some(&text));
        let changed = changed.with_photo(Some(&photo));
        prop_assert_eq!(changed.text(vcard::Field::FullName), Some(text.into()));
        prop_assert_eq!(changed.photo(), Some(photo));
        for field in vcard::Field::ALL.into_iter().filter(|field| *field != vcard::Field::FullName) {
            prop_assert_eq!(changed.text(field), card.text(field));
        }
        let none = changed.with_text(vcard::Field::FullName, None).with_photo(None);
        prop_assert_eq!((none.text(vcard::Field::FullName), none.photo()), (None, None));
    }
}
