//! Every parser on one element: what is read is written, and read again to the same, and is no larger than it may be. The
//! property tests and the fuzzer share it.
#![allow(unreachable_pub, reason = "a module of several programs")]

use balcony_stanza::{IqType, Kind, MessageType, Payload, Stanza};
use balcony_xep::attention::Attention;
use balcony_xep::blocking::{self, BlockList};
use balcony_xep::carbons::{self, Carbon, Direction, Private};
use balcony_xep::chat_markers::Marker;
use balcony_xep::chat_states::{self, ChatState};
use balcony_xep::conference::Invitation;
use balcony_xep::correction::Correction;
use balcony_xep::csi::{self, ClientState};
use balcony_xep::data_form::DataForm;
use balcony_xep::delay::{self, Delay};
use balcony_xep::disco::{self, Info, Items};
use balcony_xep::encryption::{self, Encryption};
use balcony_xep::forward::Forwarded;
use balcony_xep::hints::Hints;
use balcony_xep::last::{self, Last};
use balcony_xep::offline::Keep;
use balcony_xep::ping::Ping;
use balcony_xep::push::{self, Notification, Publish, Summary};
use balcony_xep::receipts::Receipt;
use balcony_xep::register::{self, Form};
use balcony_xep::validation::Validation;
use balcony_xep::version::{self, Software};
use balcony_xep::{commands, muc, private, sm, vcard};
use balcony_xml::{Element, ElementRef};

/// Documents and cards may be no larger than this here.
const BYTES: usize = 2_048;

/// Every parser on this element, as it stands in a stanza.
///
/// # Panics
///
/// If one of them does not keep to the rules.
pub fn every(element: ElementRef<'_>) {
    let size = size(element);
    macro_rules! form {
        ($form:path) => {{
            use $form as form;
            if let Some(value) = form::read(element) {
                let written = value.to_element();
                assert_eq!(form::read(written.root()).as_ref(), Some(&value));
                let content = Payload::from(written).parse().expect("what is written is content");
                let only = content.root().children().next().expect("an element");
                assert_eq!(form::read(only), Some(value));
                assert!(self::size(only) <= 3 * size + 256, "{only:?} of {size} bytes");
            }
        }};
    }
    form!(Attention);
    assert!(Encryption::read(element).is_none() || encryption::is_encrypted(element));
    assert!(!(encryption::is_encrypted(element) && muc::is_invitation(element)));
    form!(Encryption);
    form!(Ping);
    form!(version::Query);
    form!(Software);
    form!(disco::Query);
    form!(Info);
    form!(Items);
    form!(last::Query);
    form!(Last);
    form!(Delay);
    form!(carbons::Request);
    form!(Private);
    form!(ChatState);
    form!(ClientState);
    form!(csi::Feature);
    form!(Receipt);
    form!(Marker);
    form!(Invitation);
    form!(Correction);
    form!(DataForm);
    form!(commands::Response);
    form!(Validation);
    form!(Form);
    form!(BlockList);
    form!(Summary);
    form!(Notification);
    form!(Publish);
    form!(vcard::Card);
    form!(sm::Feature);
    form!(sm::Enable);
    form!(sm::Enabled);
    form!(sm::Resume);
    form!(sm::Resumed);
    form!(sm::Failed);
    form!(sm::Request);
    form!(sm::Ack);
    form!(sm::TooHigh);
    requests(element);
    if let Some(delay) = Delay::read_legacy(element) {
        // It is written in the newer form.
        assert_eq!(Delay::read(delay.to_element().root()), Some(delay));
    }
    if let Some(forwarded) = Forwarded::read(element) {
        let content = forwarded.to_payload().parse().expect("what is written is content");
        let only = content.root().children().next().expect("an element");
        assert_eq!(Forwarded::read(only), Some(forwarded));
    }
    if let Some(payload) = Payload::from_element(element, BYTES) {
        content(&payload);
    }
}

fn requests(element: ElementRef<'_>) {
    if let Ok(request) = commands::Request::read(element) {
        assert_eq!(commands::Request::read(request.to_element().root()), Ok(request));
    }
    if let Ok(request) = push::Request::read(element) {
        assert_eq!(push::Request::read(request.to_element().root()), Ok(request));
    }
    if let Ok(request) = register::Request::read(element) {
        assert_eq!(register::Request::read(request.to_element().root()), Ok(request));
    }
    for kind in [IqType::Get, IqType::Set, IqType::Result, IqType::Error] {
        if let Ok(request) = blocking::Request::read(kind, element) {
            assert_eq!(request.kind(), kind);
            assert_eq!(blocking::Request::read(kind, request.to_element().root()), Ok(request));
        }
        if let Ok(request) = private::Request::read(kind, element, BYTES) {
            assert_eq!(request.kind(), kind);
            let content = request.to_payload().parse().expect("what is written is content");
            let only = content.root().children().next().expect("an element");
            // Together they have no bound of their own.
            assert_eq!(private::Request::read(kind, only, BYTES), Ok(request.clone()));
            if let private::Request::Set(documents) = request {
                for document in documents {
                    assert!(document.payload().as_bytes().len() <= BYTES);
                    let kept = Payload::from_bytes(document.payload().as_bytes()).expect("content");
                    assert_eq!(private::Document::read(kept), Some(document));
                }
            }
        }
        if let Ok(request) = vcard::Request::read(kind, element, BYTES) {
            assert_eq!(request.kind(), kind);
            let payload = request.to_payload();
            assert!(payload.as_bytes().len() <= BYTES);
            let content = payload.parse().expect("what is written is content");
            let only = content.root().children().next().expect("an element");
            assert_eq!(vcard::Request::read(kind, only, BYTES), Ok(request));
        }
    }
}

/// The same as the content of a message.
fn content(payload: &Payload) {
    let parsed = payload.parse().expect("it is content");
    let root = parsed.root();
    if let Some(carbon) = Carbon::read(root) {
        let again = carbon.to_payload().parse().expect("what is written is content");
        assert_eq!(Carbon::read(again.root()), Some(carbon));
    }
    let hints = Hints::read(root);
    let again = hints.to_elements().iter().collect::<Payload>().parse().expect("hints");
    assert_eq!(Hints::read(again.root()), hints);
    if Keep::read(root) == Keep::Needless {
        assert!(chat_states::is_only_state(root));
    }
    for kind in [MessageType::Chat, MessageType::Normal, MessageType::Error, MessageType::Groupchat] {
        let message = Stanza::new(Kind::Message(kind)).with_payload(payload.clone());
        let [sent, received] = [Direction::Sent, Direction::Received]
            .map(|direction| carbons::is_eligible(&message.head, root, direction));
        assert!(!received || sent);
        assert!(!(received && muc::is_by_occupant(root)));
        // Without parsing it is the same.
        assert_eq!(carbons::is_copied(&message, Direction::Sent), sent);
        assert_eq!(carbons::is_copied(&message, Direction::Received), received);
        if received {
            let wrapped = carbons::wrap(&message, Direction::Received);
            let copy = wrapped.parse().expect("a copy is content");
            let copy = Carbon::read(copy.root()).expect("a copy");
            assert_eq!(copy.message.payload.parse().expect("content"), parsed);
            let outlined = carbons::outline(wrapped.outline()).expect("a copy");
            let names = outlined.map(|child| (child.name(), child.namespace())).collect::<Vec<_>>();
            let expected = payload.outline().map(|child| (child.name(), child.namespace()));
            assert_eq!(names, expected.collect::<Vec<_>>());
            assert_eq!(names.len(), root.children().count());
        }
    }
    // One stamp of ours, whatever there was before, and nothing else is touched.
    let stamped = delay::stamp(payload, "example.com", 1_000);
    let again = stamped.parse().expect("content");
    let ours = again.root().children().filter(|child| delay::claims(*child, "example.com"));
    assert_eq!(ours.filter_map(Delay::read).collect::<Vec<_>>(), [Delay::new("example.com", 1_000)]);
    let others = |content: &Element| {
        let others = content.root().children().filter(|child| !delay::claims(*child, "example.com"));
        others.map(Element::from).collect::<Vec<_>>()
    };
    assert_eq!(others(&again), others(&parsed));
    assert_eq!(delay::stamp(&stamped, "example.com", 1_000), stamped);
}

/// How many bytes it is when it is written.
fn size(element: ElementRef<'_>) -> usize {
    let mut out = Vec::new();
    element.write(&mut out, "");
    out.len()
}
