//! A DNS server that knows one SRV record.

use core::net::SocketAddr;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::thread;

/// How it answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// In a datagram.
    Udp,
    /// Over TCP: a datagram says that the answer has no room in one (RFC 1035 section 4.2.1).
    Tcp,
}

/// Serves it for as long as the process runs: `name` is at this port of localhost. There is no other name.
pub(crate) fn serve(name: &str, port: u16, by: By) -> SocketAddr {
    // The same port of both, which somebody else may have of one.
    let (listener, socket) = loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()) {
            break (listener, socket);
        }
    };
    let address = socket.local_addr().unwrap();
    let name = labels(name);
    let same = name.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, name) = (stream.unwrap(), same.clone());
            thread::spawn(move || {
                let mut length = [0; 2];
                while stream.read_exact(&mut length).is_ok() {
                    let mut query = vec![0; u16::from_be_bytes(length).into()];
                    stream.read_exact(&mut query).unwrap();
                    let answer = answer(&query, &name, port);
                    let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
                    stream.write_all(&[&length, answer.as_slice()].concat()).unwrap();
                }
            });
        }
    });
    thread::spawn(move || {
        let mut query = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            let query = &query[..length];
            let answer = match by {
                By::Udp => answer(query, &name, port),
                By::Tcp => truncated(query),
            };
            // Whoever asked may have gone.
            let _ = socket.send_to(&answer, from);
        }
    });
    address
}

/// There is more than has room here.
fn truncated(query: &[u8]) -> Vec<u8> {
    let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    [&query[..2], &[0x83, 0x80], &[0, 1, 0, 0, 0, 0, 0, 0], &query[12..end + 4]].concat()
}

/// RFC 1035 section 4.
fn answer(query: &[u8], name: &[u8], port: u16) -> Vec<u8> {
    let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let is_known = query[12..end].eq_ignore_ascii_case(name);
    // A response with recursion; no error, or no such name.
    let flags = if is_known { [0x81, 0x80] } else { [0x81, 0x83] };
    let mut out =
        [&query[..2], &flags, &[0, 1, 0, u8::from(is_known), 0, 0, 0, 0], &query[12..end + 4]].concat();
    if is_known {
        let target = labels("localhost");
        let length = u8::try_from(6 + target.len()).unwrap();
        // The name of the question, SRV, IN, a minute; priority, weight, port, target (RFC 2782).
        out.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, length, 0, 1, 0, 1]);
        out.extend(port.to_be_bytes());
        out.extend(target);
    }
    out
}

fn labels(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.') {
        out.push(u8::try_from(label.len()).unwrap());
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}
