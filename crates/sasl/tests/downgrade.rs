//! What was offered, compared by both ends (XEP-0474, XEP-0515).
#![allow(clippy::unwrap_used)]

mod common;

use balcony_sasl::{Mechanism, Offered, SaslCondition, SaslError};
use common::{Account, Failed, client, run, server};
use proptest::prelude::*;

fn names() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::btree_set("[A-Z0-9-]{1,4}", 0..4).prop_map(|names| names.into_iter().collect())
}

type Offer = (Vec<String>, Option<Vec<String>>, Option<u16>);

fn offer() -> impl Strategy<Value = Offer> {
    (names(), proptest::option::of(names()), proptest::option::of(0x0303..=0x0304_u16))
}

fn offered((mechanisms, bindings, version): &Offer) -> Offered {
    Offered::new(mechanisms, bindings.clone()).with_tls_version(*version)
}

fn scram() -> impl Strategy<Value = Mechanism> {
    proptest::sample::select(Mechanism::all()).prop_filter("PLAIN", |mechanism| mechanism.hash().is_some())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    // XEP-0474 §6, XEP-0515 §4 [SD1] [SD3] [TD2] [TD4]: a login succeeds if, and only if, both have seen the same
    #[test]
    fn both_ends_have_seen_the_same(
        mechanism in scram(), sent in offer(), other in proptest::option::of(offer()), shuffle in any::<bool>(),
    ) {
        let account = Account::new("user", "pencil");
        let mut got = other.clone().unwrap_or_else(|| sent.clone());
        if shuffle {
            got.0.reverse();
        }
        let same_lists = other.is_none_or(|other| (&other.0, &other.1) == (&sent.0, &sent.1));
        let same_version = got.2.is_none() || sent.2.is_none() || got.2 == sent.2;
        let mut client = client(mechanism, "user", "pencil").with_offer(offered(&got));
        let mut server = server(mechanism).with_offer(offered(&sent));
        let end = run(&mut client, &mut server, &account, |_, message| message);
        if same_lists && same_version {
            prop_assert!(end.is_ok(), "{end:?}");
        } else {
            prop_assert_eq!(end, Err(Failed::Client(SaslError::Downgraded)));
        }
    }

    // XEP-0474 §6.2 [SD4]: whoever changes the offer and then the server's word on it breaks the proof
    #[test]
    fn a_changed_word_breaks_the_proof(mechanism in scram(), sent in offer(), got in offer(), cut in any::<bool>()) {
        prop_assume!((&sent.0, &sent.1) != (&got.0, &got.1) || cut);
        let account = Account::new("user", "pencil");
        let hash = |offer: &Offer| {
            let mut told = None;
            let mut client = client(mechanism, "user", "pencil");
            let mut server = server(mechanism).with_offer(offered(offer));
            let _ = run(&mut client, &mut server, &account, |number, message| {
                if number == 1 {
                    told = Some(String::from_utf8(message.clone()).unwrap());
                }
                message
            });
            told.unwrap().split_once(",h=").unwrap().1.to_owned()
        };
        let (right, wrong) = (hash(&sent), hash(&got));
        let mut client = client(mechanism, "user", "pencil").with_offer(offered(&got));
        let mut server = server(mechanism).with_offer(offered(&sent));
        let end = run(&mut client, &mut server, &account, |number, message| {
            let text = String::from_utf8(message).unwrap();
            match (number, cut) {
                (1, true) => text.replace(&format!(",h={right}"), ""),
                (1, false) => text.replace(&right, &wrong),
                _ => text,
            }
            .into_bytes()
        });
        let Err(Failed::Server(failure)) = end else { panic!("{end:?}") };
        prop_assert_eq!(failure.condition, SaslCondition::NotAuthorized);
    }
}

// [K25] [SD4]: a server that says nothing of it is taken at its word
#[test]
fn who_does_not_know_it_logs_in_all_the_same() {
    let account = Account::new("user", "pencil");
    let some = (vec!["SCRAM-SHA-1".to_owned()], None, Some(0x0304));
    for (ours, theirs) in [(true, false), (false, true)] {
        let (mut client, mut server) =
            (client(Mechanism::ScramSha1, "user", "pencil"), server(Mechanism::ScramSha1));
        if ours {
            client = client.with_offer(offered(&some));
        }
        if theirs {
            server = server.with_offer(offered(&some));
        }
        assert!(run(&mut client, &mut server, &account, |_, message| message).is_ok());
    }
}
