//! A client follows a server that sends it elsewhere a few times, and no more (RFC 6120 section 4.9.3.19).
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test with sockets"
)]

use core::sync::atomic::{AtomicUsize, Ordering};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

use balcony_client::{ClientConfig, ConnectError, Endpoint, REDIRECTS};
use balcony_machine::Secret;
use balcony_stream::TlsPolicy;
use balcony_tokio::ConnectedClient;

/// A server that says `see-other-host` to everybody, before TLS even, and counts them.
fn elsewhere(host: &str) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let host = if host.is_empty() { format!("127.0.0.1:{port}") } else { host.to_owned() };
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            counter.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4096]);
            let answer = format!(
                "<stream:stream from='localhost' id='1' version='1.0' xmlns='jabber:client' \
                 xmlns:stream='http://etherx.jabber.org/streams'><stream:error><see-other-host \
                 xmlns='urn:ietf:params:xml:ns:xmpp-streams'>{host}</see-other-host></stream:error></stream:stream>"
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (port, asked)
}

fn connect(port: u16, tls: TlsPolicy) -> Option<ConnectError> {
    let (certificate, _) = balcony_tls::self_signed(&["localhost"]).unwrap();
    let trust = balcony_tls::TlsTrust::builder().roots_pem(certificate.as_bytes()).unwrap().build().unwrap();
    let account = "juliet@localhost".parse().unwrap();
    let mut config = ClientConfig::new(account, Secret::new(String::from("pencil"))).with_tls(trust);
    config.stream.tls = tls;
    let endpoint = Endpoint::Address { host: "127.0.0.1".into(), port, direct_tls: false };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(ConnectedClient::connect(config, endpoint)).err()
}

// RFC 6120 §4.9.3.19 [N20]: followed to the new host, a few times, and not at all without TLS.
#[test]
fn clients_go_where_they_are_sent_a_few_times() {
    let (last, reached) = elsewhere("");
    let (first, asked) = elsewhere(&format!("127.0.0.1:{last}"));
    let error = connect(first, TlsPolicy::Required).unwrap().to_string();
    assert!(error.contains("see-other-host"), "{error}");
    assert_eq!((asked.load(Ordering::SeqCst), reached.load(Ordering::SeqCst)), (1, REDIRECTS));

    connect(first, TlsPolicy::Optional).unwrap();
    assert_eq!((asked.load(Ordering::SeqCst), reached.load(Ordering::SeqCst)), (2, REDIRECTS));
}
