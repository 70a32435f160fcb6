//! `serve --listen-http`: the page for browsers, and the WebSocket beside it. `cargo xtask web --test` opens it in a browser.

use core::time::Duration;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use crate::world::{Server, World};

/// Where the page is.
fn place(server: &Server) -> &str {
    let end = " (browsers, and WebSocket at /xmpp-websocket)";
    let find = |line: &String| Some(line.trim().strip_prefix("listening on ")?.strip_suffix(end)?.len());
    let line = server.greeting.iter().find(|line| find(line).is_some());
    let line = line.unwrap_or_else(|| panic!("{:#?}", server.greeting)).trim();
    &line["listening on ".len()..line.len() - end.len()]
}

fn connect(place: &str) -> TcpStream {
    let stream = TcpStream::connect(place).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// All that comes for a request, up to the end of the connection.
fn ask(place: &str, request: &str) -> String {
    let mut stream = connect(place);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn websocket(place: &str, origin: &str) -> String {
    format!(
        "GET /xmpp-websocket HTTP/1.1\r\nHost: {place}\r\nOrigin: {origin}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n"
    )
}

#[test]
fn a_demo_has_a_page_whose_address_it_prints() {
    let world = World::new();
    let server = world.serve(&["--demo", "--listen-http", "127.0.0.1:0"]);
    let place = place(&server);
    let link = server.greeting.iter().find_map(|line| line.trim().strip_prefix("http://")).unwrap();
    let (address, secrets) = link.split_once("/#").unwrap();
    assert_eq!(address, place);
    for account in ["romeo@localhost", "juliet@localhost"] {
        let demo = format!("demo account {account} with password ");
        let password = server.greeting.iter().find_map(|line| line.trim().strip_prefix(&demo)).unwrap();
        assert!(secrets.contains(account) && secrets.contains(password), "{secrets}");
    }
    let page = ask(place, &format!("GET / HTTP/1.1\r\nHost: {place}\r\n\r\n"));
    assert!(
        page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("<h1>Where does a message go?</h1>"),
        "{page}"
    );
    let module = ask(place, &format!("GET /balcony/balcony.wasm HTTP/1.1\r\nHost: {place}\r\n\r\n"));
    assert!(module.contains("\r\nContent-Type: application/wasm\r\n") && module.contains("\r\n\r\n\0asm"));
    // The same accounts, later: nobody knows their passwords any more.
    server.stop();
    let server = world.serve(&["--demo", "--listen-http", "127.0.0.1:0"]);
    let link = server.greeting.iter().find_map(|line| line.trim().strip_prefix("http://")).unwrap();
    assert_eq!(link.split_once("/#").unwrap().1, "account=juliet@localhost&writer=romeo@localhost");
}

// RFC 7395 §3.1, RFC 6455 §10.2
#[test]
fn its_websocket_is_for_its_own_page() {
    let world = World::new();
    let server = world.serve(&["--listen-http", "127.0.0.1:0"]);
    let place = place(&server);
    let mut stream = connect(place);
    // In two pieces: what was read with the first must not be lost.
    let request = websocket(place, &format!("http://{place}"));
    let (first, second) = request.split_at(40);
    stream.write_all(first.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    stream.write_all(second.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    let refused = ask(place, &websocket(place, "http://rebound.example"));
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
}

/// Those who connect and say nothing, or do not end what they say, keep nobody else out for long.
#[test]
fn whoever_says_nothing_is_not_waited_for() {
    let world = World::new();
    let server = world.serve(&["--listen-http", "127.0.0.1:0"]);
    let place = place(&server);
    let mut idle: Vec<TcpStream> = (0..70).map(|_| connect(place)).collect();
    // More than are served at once; the others' time ends.
    let page = ask(place, &format!("GET / HTTP/1.1\r\nHost: {place}\r\n\r\n"));
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    let mut rest = [0; 1];
    match idle[0].read(&mut rest) {
        Ok(count) => assert_eq!(count, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}
