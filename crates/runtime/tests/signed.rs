//! What a DNS server with a signed root says about the servers of domains (RFC 7673 section 3), on real sockets: what is signed, what is
//! not, and what somebody has forged; and a server that talks to another one for no other reason.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests, with sockets and clocks of their own"
)]

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use balcony_jid::BareJid;
use balcony_machine::{Secret, Tlsa};
use balcony_router::Memory;
use balcony_runtime::{Options, Record, Runtime as _, Service, Signed, Transport};
use balcony_server::federation::{FederationConfig, FederationTls};
use balcony_server::{Answer, Ask, Reply, ServerConfig};
use balcony_stanza::{MessageType, Stanza};
use balcony_tls::{Authority, CertificateDetails, TlsIdentity, TlsTrust};
use balcony_tokio::{Server, Tokio};
use hickory_server::Server as DnsServer;
use hickory_server::dnssec::NxProofKind;
use hickory_server::net::runtime::TokioRuntimeProvider;
use hickory_server::proto::dnssec::crypto::Ed25519SigningKey;
use hickory_server::proto::dnssec::rdata::DNSKEY;
use hickory_server::proto::dnssec::{DnssecSigner, SigningKey as _};
use hickory_server::proto::rr::{LowerName, Name, RData, RecordSet, RrKey};
use hickory_server::proto::serialize::txt::Parser;
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};

const PORT: u16 = 5269;

/// The root, with all names that are signed.
fn root(port: u16, tlsa: &Tlsa) -> String {
    format!(
        ". 3600 IN SOA ns. admin. 1 3600 600 86400 60
. 3600 IN NS ns.
ns. 3600 IN A 127.0.0.1
_xmpp-server._tcp.signed.example. 60 IN SRV 0 0 {port} host.example.
host.example. 60 IN A 127.0.0.1
_{port}._tcp.host.example. 60 IN TLSA {tlsa}
_xmpp-server._tcp.bare.example. 60 IN SRV 0 0 {port} bare-host.example.
bare-host.example. 60 IN A 127.0.0.1
_xmpp-server._tcp.alias.example. 60 IN SRV 0 0 {port} alias-host.example.
alias-host.example. 60 IN A 127.0.0.1
_{port}._tcp.alias-host.example. 60 IN CNAME dane.example.
dane.example. 60 IN TLSA {tlsa}
itself.example. 60 IN A 127.0.0.1
_5269._tcp.itself.example. 60 IN TLSA {tlsa}
nothing.example. 60 IN A 127.0.0.1
_xmpp-server._tcp.halfway.example. 60 IN SRV 0 0 {port} host.unsigned.
_xmpp-server._tcp.forged.example. 60 IN SRV 0 0 {port} host.example.
_xmpps-server._tcp.direct.example. 60 IN SRV 0 0 {port} host.example.
_xmpps-server._tcp.kept-away.example. 60 IN SRV 0 0 {port} host.example.
_xmpp-server._tcp.fallen.example. 60 IN SRV 0 0 {port} fallen-host.example.
fallen-host.example. 60 IN A 127.0.0.1
_{port}._tcp.fallen-host.example. 60 IN TLSA {tlsa}
unsigned. 3600 IN NS ns.
"
    )
}

/// What is below a name of which the root says that it is not signed. That name itself is the root's, as that is asked for its DS records.
fn unsigned(port: u16, tlsa: &Tlsa) -> [(&'static str, String); 2] {
    let soa = "3600 IN SOA ns. admin. 1 3600 600 86400 60";
    [
        (
            "_tcp.unsigned.",
            format!(
                "_tcp.unsigned. {soa}
_xmpp-server._tcp.unsigned. 60 IN SRV 0 0 {port} host.unsigned.
"
            ),
        ),
        (
            "host.unsigned.",
            format!(
                "host.unsigned. {soa}
host.unsigned. 60 IN A 127.0.0.1
_{port}._tcp.host.unsigned. 60 IN TLSA {tlsa}
"
            ),
        ),
    ]
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn zone(origin: &str, text: &str) -> InMemoryZoneHandler<TokioRuntimeProvider> {
    let (_, records) = Parser::new(text, None, Some(name(origin))).parse().unwrap();
    let proof = Some(NxProofKind::Nsec);
    InMemoryZoneHandler::new(name(origin), records, ZoneType::Primary, AxfrPolicy::Deny, proof).unwrap()
}

/// What somebody else says in the place of signed records, with the signatures of these.
fn forge(zone: &mut InMemoryZoneHandler<TokioRuntimeProvider>, owner: &str, data: RData) {
    let kind = data.record_type();
    let records: &mut BTreeMap<RrKey, Arc<RecordSet>> = zone.records_get_mut();
    let set = records.get_mut(&RrKey::new(LowerName::new(&name(owner)), kind)).unwrap();
    let mut record = set.records_without_rrsigs().next().unwrap().clone();
    record.data = data;
    let mut forged = RecordSet::new(name(owner), kind, 1);
    forged.set_records(vec![record]);
    forged.set_rrsigs(set.rrsigs().to_vec());
    *set = Arc::new(forged);
}

/// A DNS server: where it is, and the key of its root.
struct Dns {
    address: SocketAddr,
    anchor: &'static str,
    task: tokio::task::JoinHandle<Result<(), hickory_server::net::NetError>>,
}

impl Dns {
    async fn new(port: u16, tlsa: &Tlsa, is_signed: bool) -> Dns {
        Dns::at("127.0.0.1:0".parse().unwrap(), port, tlsa, is_signed).await
    }

    async fn at(place: SocketAddr, port: u16, tlsa: &Tlsa, is_signed: bool) -> Dns {
        let key = Ed25519SigningKey::from_pkcs8(&Ed25519SigningKey::generate_pkcs8().unwrap()).unwrap();
        let dnskey = DNSKEY::from_key(&key.to_public_key().unwrap());
        let anchor = format!(". 3600 IN DNSKEY {dnskey}\n");
        let mut root = zone(".", &root(port, tlsa));
        if is_signed {
            let signer =
                DnssecSigner::new(dnskey, Box::new(key), Name::root(), Duration::from_secs(86_400 * 7));
            root.add_zone_signing_key_mut(signer).unwrap();
            root.secure_zone_mut().unwrap();
            let elsewhere = hickory_server::proto::rr::rdata::SRV::new(0, 0, port, name("evil.example."));
            for forged in ["_xmpp-server._tcp.forged.example.", "_xmpps-server._tcp.kept-away.example."] {
                forge(&mut root, forged, RData::SRV(elsewhere.clone()));
            }
            let other = Tlsa { data: vec![9; tlsa.data.len()], ..tlsa.clone() };
            let text = format!("x. 60 IN TLSA {other}\n");
            let (_, parsed) = Parser::new(&text, None, Some(Name::root())).parse().unwrap();
            let data = parsed.values().next().unwrap().records_without_rrsigs().next().unwrap().data.clone();
            forge(&mut root, &format!("_{port}._tcp.fallen-host.example."), data);
        }
        let mut catalog = Catalog::new();
        catalog.upsert(LowerName::new(&Name::root()), vec![Arc::new(root)]);
        for (origin, text) in unsigned(port, tlsa) {
            catalog.upsert(LowerName::new(&name(origin)), vec![Arc::new(zone(origin, &text))]);
        }
        let mut server = DnsServer::new(catalog);
        let (udp, tcp) = loop {
            let udp = tokio::net::UdpSocket::bind(place).await.unwrap();
            // The same port of both, which somebody else may have of one.
            if let Ok(tcp) = tokio::net::TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        server.register_socket(udp);
        server.register_listener(tcp, Duration::from_secs(5), 1024);
        let task = tokio::spawn(async move { server.block_until_done().await });
        Dns { address, anchor: anchor.leak(), task }
    }

    /// Another server takes its place, which gives no signatures.
    async fn unsigned(self, port: u16, tlsa: &Tlsa) -> Dns {
        self.task.abort();
        let _ = self.task.await;
        Dns { anchor: self.anchor, ..Dns::at(self.address, port, tlsa, false).await }
    }

    fn runtime(&self) -> Tokio {
        let mut options = Options::default();
        (options.name_server, options.trust_anchor) = (Some(self.address), Some(self.anchor));
        Tokio::new(options)
    }

    async fn look(&self, domain: &str) -> Result<Vec<(String, Signed)>, String> {
        let found = self.runtime().signed_records(Service::Server, domain.into()).await?;
        Ok(found.into_iter().map(|Record { target, signed, .. }| (target, signed)).collect())
    }
}

fn tlsa() -> Tlsa {
    Tlsa { usage: 3, selector: 1, matching: 1, data: vec![0xab; 32] }
}

fn run(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(120), test).await.expect("too slow") });
}

// RFC 7673 §3: the whole way has to be signed for a TLSA record to count, and what is forged is no answer
#[test]
fn what_is_signed_all_the_way_counts() {
    run(async {
        let dns = Dns::new(PORT, &tlsa(), true).await;
        let with = |host: &str| Ok(vec![(host.to_owned(), Signed::Yes(vec![tlsa()]))]);
        let without = |host: &str| Ok(vec![(host.to_owned(), Signed::Yes(Vec::new()))]);
        assert_eq!(dns.look("signed.example").await, with("host.example"));
        assert_eq!(dns.look("bare.example").await, without("bare-host.example"));
        // RFC 7671 §7: an alias of the record itself
        assert_eq!(dns.look("alias.example").await, with("alias-host.example"));
        // Without SRV records the domain is the place (RFC 6120 section 3.2.2).
        assert_eq!(dns.look("itself.example").await, with("itself.example"));
        assert_eq!(dns.look("nothing.example").await, Ok(Vec::new()));
        // What is not signed is as it always was, whatever it says.
        assert_eq!(dns.look("unsigned").await, Ok(vec![("host.unsigned".into(), Signed::No)]));
        assert_eq!(dns.look("halfway.example").await, without("host.unsigned"));
        let forged = dns.look("forged.example").await;
        assert!(forged.is_err(), "{forged:?}");
        // Nor is it the same as none: the domain itself would be the place then.
        assert_eq!(dns.look("direct.example").await, with("host.example"));
        let kept_away = dns.look("kept-away.example").await;
        assert!(kept_away.is_err(), "{kept_away:?}");
        let fallen = dns.look("fallen.example").await.unwrap();
        assert!(
            matches!(&*fallen, [(host, Signed::Unknown(_))] if host == "fallen-host.example"),
            "{fallen:?}"
        );
    });
}

// A DNS server that gives no signatures, or others than those of the root, turns DANE off, and the domains are found all the same.
#[test]
fn without_signatures_there_is_no_dane() {
    run(async {
        let dns = Dns::new(PORT, &tlsa(), false).await;
        let other = Dns::new(PORT, &tlsa(), true).await;
        for dns in [Dns { anchor: other.anchor, ..dns }, Dns { anchor: dns.anchor, ..other }] {
            let plain = |host: &str| Ok(vec![(host.to_owned(), Signed::No)]);
            assert_eq!(dns.look("signed.example").await, plain("host.example"));
            assert_eq!(dns.look("unsigned").await, plain("host.unsigned"));
            assert_eq!(dns.look("nothing.example").await, Ok(Vec::new()));
        }
    });
}

// RFC 7673 §3.1: signatures that stay away are no sign that there are none, where they have been there before
#[test]
fn signatures_that_were_there_have_to_be_there() {
    run(async {
        let dns = Dns::new(PORT, &tlsa(), true).await;
        assert!(
            matches!(&dns.look("signed.example").await.unwrap()[..], [(_, Signed::Yes(tlsa))] if tlsa.len() == 1)
        );
        let dns = dns.unsigned(PORT, &tlsa()).await;
        for domain in ["signed.example", "unsigned", "nothing.example"] {
            let error = dns.look(domain).await.unwrap_err();
            assert!(error.contains("no signatures any more"), "{error}");
        }
    });
}

fn jid(text: &str) -> BareJid {
    text.parse().unwrap()
}

/// A server that trusts one authority, and believes certificates only.
fn config(domain: &str, issuer: &Authority, trusted: &Authority) -> (ServerConfig, Tlsa) {
    let (certificate, key) = issuer.issue(&[domain], None, SystemTime::now()).unwrap();
    let fits = CertificateDetails::read_pem(certificate.as_bytes()).unwrap().tlsa;
    let (certificate, key) = (certificate.as_bytes(), key.expose().as_bytes());
    let connects = TlsTrust::builder().roots_pem(trusted.certificate_pem().as_bytes()).unwrap();
    let connects = connects.federation(certificate, key).unwrap().build().unwrap();
    let identity = TlsIdentity::from_pem(certificate, key).unwrap();
    let accepts = identity.clone().federation(&connects).unwrap();
    let mut federation = FederationConfig::new(vec![jid(domain)]);
    federation.certificate = Some(FederationTls { accepts, connects });
    (federation.private_addresses, federation.dane) = (true, true);
    let mut config = ServerConfig::new(vec![jid(domain)], Secret::new([7; 32]));
    (config.certificate, config.federation) = (Some(identity), Some(federation));
    (config, fits)
}

/// Answers for one account, and notes when something comes for it.
fn ask(account: &str, has_come: Arc<AtomicBool>) -> impl Fn(Ask, Reply) + Send + Sync + 'static {
    let account = jid(account);
    let mut memory = Memory::default();
    memory.create(account.clone());
    let memory = Mutex::new(memory);
    move |ask, reply| {
        reply(match ask {
            Ask::Router(ask) => {
                if *ask.account() == account {
                    has_come.store(true, Ordering::SeqCst);
                }
                Answer::Router(memory.lock().unwrap().answer(0, ask))
            }
            Ask::Stream(_) => Answer::Stream(balcony_stream::server::ServerAnswer::Unavailable),
            Ask::Sessions { .. } => Answer::Sessions(false),
            Ask::Holders { .. } => Answer::Holders(Some(Vec::new())),
        });
    }
}

// RFC 7673 §4, RFC 7712 §5.1: a certificate of an authority that nobody knows is as good as any if the DNS says so, and no good if it says
// something else
#[test]
fn a_server_is_talked_to_since_the_dns_vouches_for_it() {
    run(async {
        for is_right in [true, false] {
            let (trusted, stranger) =
                (Authority::new(SystemTime::now()).unwrap(), Authority::new(SystemTime::now()).unwrap());
            let has_come = Arc::new(AtomicBool::new(false));
            let (theirs, fits) = config("signed.example", &stranger, &trusted);
            let theirs = Server::builder(theirs, ask("juliet@signed.example", Arc::clone(&has_come)))
                .listen("127.0.0.1:0".parse().unwrap(), Transport::Server)
                .unwrap()
                .start()
                .unwrap();
            let port = theirs.local_addrs()[0].port();
            let record = if is_right { fits } else { tlsa() };
            let dns = Dns::new(port, &record, true).await;
            let (ours, _) = config("ours.example", &trusted, &trusted);
            let ask = ask("romeo@ours.example", Arc::default());
            let ours = Server::builder_on(dns.runtime(), ours, ask).start().unwrap();
            let hello = Stanza::message(MessageType::Chat).with_to("juliet@signed.example".parse().unwrap());
            ours.send(hello.with_from("ours.example".parse().unwrap())).await.unwrap();
            let patience = if is_right { 400 } else { 30 };
            for _ in 0..patience {
                if has_come.load(Ordering::SeqCst) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert_eq!(has_come.load(Ordering::SeqCst), is_right);
            ours.shutdown().await;
            theirs.shutdown().await;
        }
    });
}
