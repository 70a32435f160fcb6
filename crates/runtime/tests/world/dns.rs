//! A DNS server that knows one SRV record.

use core::net::SocketAddr;
use std::net::UdpSocket;

/// Serves it for as long as the process runs: `name` is at this port of localhost. There is no other name.
pub(crate) fn serve(name: &str, port: u16) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let name = labels(name);
    std::thread::spawn(move || {
        let mut query = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            let answer = answer(&query[..length], &name, port);
            // Whoever asked may have gone.
            let _ = socket.send_to(&answer, from);
        }
    });
    address
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
