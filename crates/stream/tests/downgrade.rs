//! Somebody in between who changes what a server offers (XEP-0474, XEP-0515).
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use balcony_machine::{Instant, Progress, Secret, Seed};
use balcony_sasl::Mechanism;
use balcony_sim::Accounts;
use balcony_stream::client::{ClientEvent, ClientStreamConfig};
use balcony_stream::server::{ServerEvent, ServerStreamConfig};
use balcony_stream::{ClientStream, Error, Security, ServerStream, TlsPolicy};
use proptest::prelude::*;

/// A client and a server, each on a connection to somebody in between.
struct Legs {
    client: ClientStream,
    server: ServerStream,
    accounts: Accounts,
}

impl Legs {
    /// Without a certificate of the server's name nobody gets so far.
    fn new(
        exporter: bool,
        sasl2: bool,
        versions: [Option<u16>; 2],
        configure: impl FnOnce(&mut ClientStreamConfig),
    ) -> Legs {
        // The same channel, as if nobody were there, so that it is not the binding that fails.
        let security = |version| Security::new(exporter.then_some([5; 32])).with_version(version);
        Legs::with(versions.map(security), sasl2, configure)
    }

    fn with(
        [ours, theirs]: [Security; 2],
        sasl2: bool,
        configure: impl FnOnce(&mut ClientStreamConfig),
    ) -> Legs {
        let mut client =
            ClientStreamConfig::new("juliet@example.com".parse().unwrap(), Secret::new("pencil".into()));
        (client.tls, client.sasl2) = (TlsPolicy::Direct, sasl2);
        configure(&mut client);
        let mut server = ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([7; 32]));
        (server.tls, server.mechanisms) = (TlsPolicy::Direct, Mechanism::all().to_vec());
        let mut client = ClientStream::new(Arc::new(client), Seed::from_u64(1), Instant::ZERO);
        let mut server = ServerStream::new(Arc::new(server), Seed::from_u64(2), Instant::ZERO);
        client.secured(ours).unwrap();
        server.secured(theirs).unwrap();
        Legs { client, server, accounts: Accounts::new().with("juliet@example.com", "pencil") }
    }

    /// Runs both until the client is bound or fails; `alter` gets what the server sends.
    fn run(mut self, mut alter: impl FnMut(String) -> String) -> Result<(), Error> {
        let (mut up, mut down) = (Vec::new(), Vec::new());
        for _ in 0..50 {
            let bytes = alter(String::from_utf8(core::mem::take(&mut down)).unwrap());
            let mut input = bytes.as_bytes();
            while let Progress::Event(event) = self.client.advance(Instant::ZERO, &mut input, &mut up)? {
                if let ClientEvent::Ask(ticket, ask) = event {
                    self.client.answer(ticket, self.accounts.answer(ask)).unwrap();
                }
            }
            if self.client.is_open() {
                return Ok(());
            }
            let bytes = core::mem::take(&mut up);
            let mut input = bytes.as_slice();
            while let Ok(Progress::Event(event)) = self.server.advance(Instant::ZERO, &mut input, &mut down) {
                if let ServerEvent::Ask(ticket, ask) = event {
                    self.server.answer(ticket, self.accounts.answer(*ask)).unwrap();
                }
            }
        }
        panic!("they came to no end");
    }
}

/// Takes elements with these contents out of the features.
fn without(features: &str, taken: &[String]) -> String {
    taken.iter().fold(features.to_owned(), |features, element| features.replace(element, ""))
}

fn mechanism() -> impl Strategy<Value = String> {
    proptest::sample::select(Mechanism::all())
        .prop_filter("the last resort", |mechanism| *mechanism != Mechanism::ScramSha1)
        .prop_map(|mechanism| format!("<mechanism>{mechanism}</mechanism>"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // XEP-0474 §6 [SD2] [SD3]: whichever of them is gone, and by whichever profile
    #[test]
    fn mechanisms_are_not_taken_out(
        exporter in any::<bool>(), sasl2 in any::<bool>(), taken in proptest::collection::vec(mechanism(), 0..3),
    ) {
        let legs = Legs::new(exporter, sasl2, [Some(0x0304); 2], |config| {
            config.mechanisms.retain(|mechanism| *mechanism != Mechanism::Plain);
        });
        let mut has_changed = false;
        let end = legs.run(|sent| {
            // An early abort for other reasons is no login either.
            let altered = without(&sent, &taken);
            has_changed |= altered != sent;
            altered
        });
        match has_changed {
            false => prop_assert_eq!(end, Ok(())),
            true => {
                let is_refused = matches!(
                    end,
                    Err(Error::Downgraded | Error::ChannelBinding | Error::Authentication(..))
                );
                prop_assert!(is_refused, "{end:?}");
            }
        }
    }
}

// XEP-0474 §6.1 [SD5], XEP-0440: nor types of channel binding, nor may some be made up
#[test]
fn bindings_are_not_changed() {
    let list = "<channel-binding type='tls-exporter'/>";
    for other in ["<channel-binding type='tls-exporter'/><channel-binding type='tls-unique'/>"] {
        for sasl2 in [false, true] {
            let legs = Legs::new(true, sasl2, [None; 2], |_| {});
            assert_eq!(legs.run(|sent| sent.replace(list, other)), Err(Error::Downgraded));
            assert_eq!(Legs::new(true, sasl2, [None; 2], |_| {}).run(|sent| sent), Ok(()));
        }
    }
}

// XEP-0474 §7 [SD8]: both can bind, but to nothing that both have. The login goes on if that is what the server has offered.
#[test]
fn bindings_without_one_in_common_are_the_servers_word() {
    for sasl2 in [false, true] {
        let legs = || {
            let (ours, theirs) =
                (Security::new(Some([5; 32])), Security::new(None).with_end_point(Some(vec![6; 32])));
            Legs::with([ours, theirs], sasl2, |_| {})
        };
        assert_eq!(legs().run(|sent| sent), Ok(()));
        let (list, other) = ("type='tls-server-end-point'", "type='tls-unique'");
        assert_eq!(legs().run(|sent| sent.replace(list, other)), Err(Error::Downgraded));
    }
}

// XEP-0474 §6.2 [SD3]: a mechanism that is not known here, and that the server has not, is a change as well
#[test]
fn mechanisms_are_not_made_up() {
    let legs = Legs::new(false, false, [None; 2], |_| {});
    let end =
        legs.run(|sent| sent.replace("<mechanism>PLAIN", "<mechanism>X-NEW</mechanism><mechanism>PLAIN"));
    assert_eq!(end, Err(Error::Downgraded));
}

// XEP-0515 §4, §5 [TD1] [TD2] [TD3] [TD4] [TD5]: beside the hash of the offer, which stands in the same message
#[test]
fn versions_of_tls_are_compared_where_both_know_theirs() {
    let (new, old) = (Some(0x0304), Some(0x0303));
    for (versions, is_right) in [
        ([new, new], true),
        ([old, old], true),
        ([new, old], false),
        ([old, new], false),
        ([None, new], true),
        ([new, None], true),
    ] {
        for sasl2 in [false, true] {
            let end = Legs::new(false, sasl2, versions, |_| {}).run(|sent| sent);
            let expected = if is_right { Ok(()) } else { Err(Error::Downgraded) };
            assert_eq!(end, expected, "{versions:?}");
        }
    }
}
