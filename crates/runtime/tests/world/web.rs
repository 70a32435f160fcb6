//! WebSockets that are found by host-meta: from the server itself, and from web servers of all kinds.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use balcony_stanza::{StreamCondition, StreamError};
use balcony_tls::{Session, TlsIdentity};

use super::*;

const XRD: &str = "/.well-known/host-meta";
const JRD: &str = "/.well-known/host-meta.json";

fn host_meta(port: u16) -> Endpoint {
    Endpoint::HostMeta { server: Some(("127.0.0.1".into(), port)) }
}

/// A web server for `localhost` that answers requests for these paths, and where it is.
fn serve(certificate: TlsIdentity, answers: impl Fn(&str) -> String + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let (mut socket, config): (_, TlsIdentity) = (socket.unwrap(), certificate.web());
            let mut session = Session::server(&config).unwrap();
            let (mut plain, mut buffer) = (Vec::new(), [0; 4096]);
            while !plain.ends_with(b"\r\n\r\n") {
                let count = socket.read(&mut buffer).unwrap_or_default();
                let mut out = Vec::new();
                if count == 0 || session.read(&mut &buffer[..count], &mut plain, &mut out).is_err() {
                    break;
                }
                socket.write_all(&out).unwrap();
            }
            let request = String::from_utf8(plain).unwrap();
            let Some(path) = request.strip_prefix("GET ").and_then(|rest| rest.split(' ').next()) else {
                continue;
            };
            let mut out = Vec::new();
            session.write(answers(path).as_bytes(), &mut out).unwrap();
            session.close(&mut out);
            socket.write_all(&out).unwrap();
        }
    });
    port
}

fn file(text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())
}

const LOST: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

fn found_at(place: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n")
}

// RFC 7395 §4 [V16], XEP-0156 1.4.0 §3: a server tells it beside its WebSocket, and a client comes back by it
pub(crate) async fn the_web_server_says_where() {
    let world = World::new().await;
    let mut romeo =
        soon(runtime::connect(world.account("romeo@localhost/orchard"), host_meta(world.ports[3])))
            .await
            .unwrap();
    assert!(romeo.machine().tls().is_some());
    soon(romeo.send(&chat("romeo@localhost/orchard", "alone"))).await.unwrap();
    assert_eq!(body(&message(&mut romeo).await), "alone");
    assert!(!soon(world.server.sessions()).await.is_empty());
    let error = StreamError::from(StreamCondition::Reset);
    assert!(soon(world.server.disconnect(romeo.jid().clone(), error)).await);
    while let Ok(Some(_)) = soon(romeo.next()).await {}
    soon(romeo.reconnect()).await.unwrap();
    assert_eq!(romeo.jid().as_str(), "romeo@localhost/orchard");
    // Without TLS it tells the same, to the proxy before it.
    let mut raw = std::net::TcpStream::connect(("127.0.0.1", world.ports[2])).unwrap();
    raw.write_all(format!("GET {JRD} HTTP/1.1\r\nHost: chat.example\r\n\r\n").as_bytes()).unwrap();
    raw.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = String::new();
    raw.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\r\nAccess-Control-Allow-Origin: *\r\n"), "{answer}");
    assert!(answer.contains("wss://chat.example/xmpp-websocket"), "{answer}");
}

// XEP-0156 1.4.0 §3: XML or JSON, somewhere else over HTTPS, and nothing that is not proven
pub(crate) async fn a_web_server_is_not_believed_everything() {
    let (certificate, trust) = certificate();
    let (server, ports) =
        runtime::serve(Options::default(), config(certificate.clone()), accounts::ask(), 100).await;
    let world = World { server, trust, ports };
    let (wss, https) = (world.ports[3], format!("https://localhost:{}", world.ports[3]));
    let connect = |port: u16| soon(runtime::connect(world.account("romeo@localhost"), host_meta(port)));

    let here = format!("wss://localhost:{wss}/xmpp-websocket");
    let json = file(&format!(
        "{{\"links\":[{{\"rel\":\"urn:xmpp:alt-connections:websocket\",\"href\":\"{here}\"}}]}}"
    ));
    let only_json =
        serve(certificate.clone(), move |path| if path == JRD { json.clone() } else { LOST.into() });
    soon(connect(only_json).await.unwrap().close()).await.unwrap();
    // The first of these is not there; the second is.
    let link = |to: &str| format!("<Link rel='urn:xmpp:alt-connections:websocket' href='{to}'/>");
    let (gone, here) = (link("wss://localhost:9/xmpp-websocket"), link(&here));
    let two = file(&format!("<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>{gone}{here}</XRD>"));
    let two = serve(certificate.clone(), move |_| two.clone());
    soon(connect(two).await.unwrap().close()).await.unwrap();
    let elsewhere = serve(certificate.clone(), move |path| match path {
        XRD => found_at("/moved"),
        "/moved" => found_at(&format!("{https}{XRD}")),
        _ => LOST.into(),
    });
    soon(connect(elsewhere).await.unwrap().close()).await.unwrap();

    let clear = serve(certificate.clone(), |_| found_at("http://localhost/host-meta"));
    let round = serve(certificate.clone(), found_at);
    let large = serve(certificate.clone(), |_| "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n".into());
    let nothing = serve(certificate, |_| file("<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'/>"));
    let (foreign, _) = super::certificate();
    let foreign = serve(foreign, |_| LOST.into());
    for (port, words) in [
        (clear, "which is no HTTPS"),
        (round, "always said to be somewhere else"),
        (large, "more than 65536 bytes"),
        (nothing, "host-meta "),
        (foreign, "certificate"),
        (9, "connection refused"),
    ] {
        let error = connect(port).await.unwrap_err();
        assert!(matches!(error, ConnectError::HostMeta { .. }) && !error.is_permanent(), "{error}");
        let text = error.to_string();
        let begin = "the web server of localhost does not tell where its WebSocket is: ";
        assert!(text.starts_with(begin) && text.contains(words), "{words}: {text}");
    }
}
