//! What TLS holds for a connection that is idle, of a server and of a client.

use balcony_tls::{Session, Status, TlsIdentity, TlsTrust, self_signed};

use crate::heap;

/// TLS sessions of a server with clients that come for the first time, with nothing under way. The bytes that each holds, beside the session of XMPP.
pub(crate) fn sessions(count: usize) -> usize {
    let (certificate, key) = self_signed(&["example.com"]).expect("a certificate");
    let identity =
        TlsIdentity::from_pem(certificate.as_bytes(), key.expose().as_bytes()).expect("an identity");
    let roots = TlsTrust::builder().roots_pem(certificate.as_bytes()).expect("a root");
    // One of its own for each client, so that none goes on with a session of another one; it is gone with the client.
    let trust = || roots.clone().build().expect("a trust");
    held(count, || connected(&identity, &trust()).0)
}

/// TLS sessions of clients, each with what it trusts (one authority) and what it needs to come back with a ticket. The bytes that each holds.
pub(crate) fn clients(count: usize) -> usize {
    let (certificate, key) = self_signed(&["example.com"]).expect("a certificate");
    let identity =
        TlsIdentity::from_pem(certificate.as_bytes(), key.expose().as_bytes()).expect("an identity");
    let roots = TlsTrust::builder().roots_pem(certificate.as_bytes()).expect("a root");
    held(count, || {
        let trust = roots.clone().build().expect("a trust");
        (connected(&identity, &trust).1, trust)
    })
}

/// The bytes that each of so many holds.
fn held<T>(count: usize, one: impl Fn() -> T) -> usize {
    let mut all = Vec::with_capacity(count);
    // What is made for the first of all is nobody's.
    drop(one());
    let before = heap::used();
    for _ in 0..count {
        all.push(one());
    }
    (heap::used() - before) / count
}

/// Both ends of a session that is established, on which something was said both ways: the server's and the client's. They lie in boxes, as where
/// connections are kept.
fn connected(identity: &TlsIdentity, trust: &TlsTrust) -> (Box<Session>, Box<Session>) {
    let mut server = Box::new(Session::server(identity).expect("a session"));
    let mut client = Box::new(Session::client(trust, "example.com").expect("a session"));
    let (mut plain, mut to_server, mut to_client) = (Vec::new(), Vec::new(), Vec::new());
    client.read(&mut &[][..], &mut plain, &mut to_server).expect("a start");
    let mut said = false;
    while !to_server.is_empty() {
        server.read(&mut &*to_server, &mut plain, &mut to_client).expect("a good client");
        to_server.clear();
        if plain.starts_with(b"<presence/>") {
            server.write(b"<presence/>", &mut to_client).expect("a session");
        }
        plain.clear();
        let status = client.read(&mut &*to_client, &mut plain, &mut to_server).expect("a good server");
        to_client.clear();
        if status == Status::Established && !core::mem::replace(&mut said, true) {
            client.write(b"<presence/>", &mut to_server).expect("a session");
        }
    }
    assert!(server.established().is_some() && plain == b"<presence/>", "they have talked");
    // As a server does when a client has logged in.
    server.forget();
    (server, client)
}
