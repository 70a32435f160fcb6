//! Networks between a client and its server that lie.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::spawn;

use crate::world::{Server, World};

/// What a network does to a connection.
#[derive(Clone, Debug)]
pub enum Way {
    /// Brings it to this address, and cuts it when the other end does.
    To(String),
    /// Takes STARTTLS out of what the server offers.
    WithoutTls(String),
    /// Says this in the server's place, in the clear.
    Says(String),
}

/// Where a client connects to. Its connections go these ways, one after the other, and the last one from then on.
pub fn network(ways: Vec<Way>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let last = ways.last().cloned();
    let ways = ways.into_iter().chain(std::iter::repeat_with(move || last.clone().unwrap()));
    spawn(move || ways.for_each(|way| go(listener.accept().unwrap().0, way)));
    address
}

fn go(mut client: TcpStream, way: Way) {
    let (server, strip) = match way {
        Way::To(server) => (server, false),
        Way::WithoutTls(server) => (server, true),
        Way::Says(text) => {
            let _ = client.read(&mut [0; 4096]);
            return client.write_all(text.as_bytes()).unwrap();
        }
    };
    let Ok(mut server) = TcpStream::connect(server) else { return };
    let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    if strip {
        let mut features = Vec::new();
        while !features.ends_with(b"</stream:features>") {
            let mut byte = [0];
            server.read_exact(&mut byte).unwrap();
            features.push(byte[0]);
        }
        let features = String::from_utf8(features).unwrap();
        let (before, rest) = features.split_once("<starttls").unwrap();
        let (_, after) = rest.split_once("</starttls>").unwrap();
        client.write_all(format!("{before}{after}").as_bytes()).unwrap();
    }
    let _ = std::io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
}

/// A way to a server that can be cut.
pub struct Cable {
    /// Where clients connect to.
    pub address: String,
    state: Arc<Mutex<Ends>>,
}

/// What is connected by a cable; nothing, and nothing can be, while it is cut.
#[derive(Default)]
struct Ends {
    streams: Vec<TcpStream>,
    is_cut: bool,
    /// Connections come about while it is cut, and nothing comes of them.
    is_silent: bool,
    silent: Vec<TcpStream>,
}

impl Cable {
    pub fn to(server: &str) -> Cable {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let cable = Cable { address: listener.local_addr().unwrap().to_string(), state: Arc::default() };
        let (state, server) = (Arc::clone(&cable.state), server.to_owned());
        spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let mut state = state.lock().unwrap();
                if state.is_cut && state.is_silent {
                    state.silent.push(client);
                    continue;
                }
                let Some(server) = TcpStream::connect(&server).ok().filter(|_| !state.is_cut) else {
                    continue;
                };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    spawn(move || {
                        // However it ends, both do.
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                state.streams.extend([client, server]);
            }
        });
        cable
    }

    pub fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        state.is_cut = true;
        for stream in state.streams.drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Cuts it, and has clients wait that come back.
    pub fn cut_silently(&self) {
        self.state.lock().unwrap().is_silent = true;
        self.cut();
    }

    /// Waits until a client has come back and waits.
    pub fn client_waits(&self) {
        while self.state.lock().unwrap().silent.is_empty() {
            std::thread::yield_now();
        }
    }

    pub fn mend(&self) {
        self.state.lock().unwrap().is_cut = false;
    }
}

/// What a server without TLS says.
fn without_tls() -> String {
    "<stream:stream from='localhost' id='1' version='1.0' xmlns='jabber:client' \
     xmlns:stream='http://etherx.jabber.org/streams'><stream:features><mechanisms \
     xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>"
        .into()
}

/// What a server that ends the stream with this error says.
pub fn stream_error(condition: &str, text: &str) -> String {
    const NS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
    format!(
        "<stream:stream from='localhost' id='1' version='1.0' xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams'><stream:error><{condition} xmlns='{NS}'/>\
         <text xmlns='{NS}'>{text}</text></stream:error></stream:stream>"
    )
}

// RFC 6120 §3.3 [C7], §13.7.2, RFC 7590 §3.1 [U2]: a captive portal, and an attacker who has but a minute
#[test]
fn a_listener_outlasts_networks_that_lie() {
    let world = World::new();
    let server = world.serve(&[]);
    world.account("romeo");
    // It has a certificate of its own.
    let elsewhere = World::new();
    let portal = elsewhere.serve(&[]);
    let address = network(vec![
        Way::To(server.address.clone()),
        Way::To(portal.address.clone()),
        Way::Says(without_tls()),
        Way::Says(stream_error("host-unknown", "")),
        // Whoever takes the feature out keeps nobody from TLS (RFC 7590 section 3.1).
        Way::WithoutTls(server.address.clone()),
    ]);
    let listener = world.listen_at(&address, "romeo@localhost/garden", &["--retry", "1"]);
    let address = server.address.clone();
    server.stop();
    let _server = Server::start(world.start(&["serve", "--listen", &address]));
    for reason in ["system-shutdown", "certificate of localhost", "does not offer TLS", "host-unknown"] {
        let line = listener.stderr_with("connecting again in ");
        assert!(line.contains(reason), "{reason}: {line}");
    }
    listener.stderr_with("listening as");
}

// [SM4] [SM19]: how long a session waits for its client is the administrator's choice, while the server runs, too.
#[test]
fn how_long_sessions_wait_is_configured() {
    const FIXED: &str = "listen = '127.0.0.1:0'\nlisten-tls = '127.0.0.1:0'\n";
    let world = World::new();
    world.write("balcony.toml", &format!("{FIXED}resumption-timeout = 1\n"));
    let server = Server::start(world.start(&["serve", "--config", "balcony.toml"]));
    world.account("romeo");
    let cut = |way_back: &str| {
        let cable = Cable::to(&server.address);
        let listener = world.listen_at(&cable.address, "romeo@localhost/garden", &["--retry", "1"]);
        cable.cut();
        listener.stderr_with("connecting again in ");
        let ended = server.process.stderr_with("romeo@localhost/garden");
        let ended = if ended.contains(" is online") {
            server.process.stderr_with("romeo@localhost/garden")
        } else {
            ended
        };
        let later =
            (ended.contains("may come back")).then(|| server.process.stderr_with("romeo@localhost/garden"));
        cable.mend();
        listener.stderr_with(way_back);
        listener.signal("TERM");
        listener.wait().succeeded();
        server.process.stderr_with("is offline");
        (ended, later)
    };
    let again = "listening as romeo@localhost/garden with priority";
    let (lost, later) = cut(again);
    assert!(lost.contains("has lost its connection"), "{lost}");
    assert!(later.unwrap().ends_with("is offline: it has not come back"));
    for config in ["resumption-timeout = 0\n", "no-stream-management = true\n"] {
        world.write("balcony.toml", &format!("{FIXED}{config}"));
        server.process.signal("HUP");
        server.process.stderr_with("read balcony.toml");
        let (lost, later) = cut(again);
        assert!(lost.contains(" is offline: ") && later.is_none(), "{lost}");
    }
}
