//! Finding a WebSocket by host-meta.
#![allow(clippy::unwrap_used)]

use balcony_xep::host_meta::Format::{self, Jrd, Xrd};
use balcony_xep::host_meta::HostMetaError;
use proptest::prelude::*;

const FROM: &str = "https://example.com/.well-known/host-meta";

fn xrd(links: &[(&str, &str)]) -> String {
    let links: String =
        links.iter().map(|(rel, href)| format!("<Link rel='{rel}' href='{href}'/>\n")).collect();
    format!(
        "<?xml version='1.0' encoding='utf-8'?>\n<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>\n{links}</XRD>\n"
    )
}

fn jrd(links: &[(&str, &str)]) -> String {
    let links: Vec<_> =
        links.iter().map(|(rel, href)| format!("{{\"rel\":\"{rel}\",\"href\":\"{href}\"}}")).collect();
    format!("{{\"subject\":\"example.com\",\"links\":[{}]}}", links.join(","))
}

// RFC 7395 §4 [V16], XEP-0156 1.4.0 §3: the links of that relation, in either format
#[test]
fn websockets_are_found() {
    const WEBSOCKET: &str = "urn:xmpp:alt-connections:websocket";
    let links = [
        ("urn:xmpp:alt-connections:xbosh", "https://web.example.com/bosh"),
        (WEBSOCKET, "wss://web.example.com:443/ws"),
        (WEBSOCKET, "WSS://example.net/xmpp-websocket"),
        // Those that protect nothing, or are nothing.
        (WEBSOCKET, "ws://web.example.com/ws"),
        (WEBSOCKET, "https://web.example.com/ws"),
        (WEBSOCKET, "wss:"),
        (WEBSOCKET, "wss://"),
        ("lrdd", "wss://web.example.com/lrdd"),
    ];
    let found = ["wss://web.example.com:443/ws", "WSS://example.net/xmpp-websocket"];
    assert_eq!(Xrd.websockets(FROM, xrd(&links).as_bytes()).unwrap(), found);
    assert_eq!(Jrd.websockets(FROM, jrd(&links).as_bytes()).unwrap(), found);
    assert_eq!(Xrd.websockets(FROM, xrd(&[]).as_bytes()).unwrap(), [""; 0]);
    assert_eq!(Jrd.websockets(FROM, b"{}").unwrap(), [""; 0]);
    let many = vec![(WEBSOCKET, "wss://example.com/"); 100];
    assert_eq!(Jrd.websockets(FROM, jrd(&many).as_bytes()).unwrap().len(), 16);

    assert_eq!(Xrd.url("example.com"), FROM);
    assert_eq!(Jrd.url("example.com"), "https://example.com/.well-known/host-meta.json");
}

// RFC 7395 §4 §6 [V17]: what did not come over HTTPS sends nobody anywhere
#[test]
fn only_https_is_believed() {
    let link = [("urn:xmpp:alt-connections:websocket", "wss://evil.example/")];
    for from in
        ["http://example.com/.well-known/host-meta", "", "example.com", "https:example.com", "httpss://a"]
    {
        assert_eq!(Xrd.websockets(from, xrd(&link).as_bytes()), Err(HostMetaError::NotSecure), "{from}");
        assert_eq!(Jrd.websockets(from, jrd(&link).as_bytes()), Err(HostMetaError::NotSecure), "{from}");
    }
}

#[test]
fn what_is_no_host_meta() {
    for (format, file) in [
        (Xrd, ""),
        (Xrd, "<XRD/>"),
        (Xrd, "<html><body>404</body></html>"),
        (Xrd, "<?xml version='1.0'"),
        (Xrd, "<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>"),
        (Xrd, "<!DOCTYPE XRD [<!ENTITY a 'b'>]><XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'/>"),
        (Jrd, ""),
        (Jrd, "7"),
        (Jrd, "{\"links\":7}"),
    ] {
        let refused = format.websockets(FROM, file.as_bytes());
        assert!(matches!(refused, Err(HostMetaError::Malformed(_))), "{format:?} {refused:?}");
        let text = refused.unwrap_err().to_string();
        assert!(text.starts_with("host-meta cannot be read: ") && !text.contains('\n'), "{text}");
    }
    // Depth costs nothing, whatever comes of it.
    let deep = format!("{{\"links\":[],\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let _ = Jrd.websockets(FROM, deep.as_bytes());
    assert!(matches!(Xrd.websockets(FROM, b"\xff"), Err(HostMetaError::Malformed(_))));
}

proptest! {
    #[test]
    fn any_bytes_at_all(file in proptest::collection::vec(any::<u8>(), 0..200), json in any::<bool>()) {
        let format: Format = if json { Jrd } else { Xrd };
        let _ = format.websockets(FROM, &file);
    }
}

proptest! {
    // XEP-0156 1.4.0 §3, RFC 6415: what a domain writes is what a client reads, in either format
    #[test]
    fn what_is_written_is_read(hosts in prop::collection::vec("[a-z<&'\"\u{e9}]{1,12}", 0..16)) {
        let links: Vec<String> = hosts.iter().map(|host| format!("wss://{host}/ws")).collect();
        for format in [Xrd, Jrd] {
            let file = format.write(&links.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert_eq!(format.websockets(FROM, file.as_bytes()), Ok(links.clone()));
        }
    }
}
