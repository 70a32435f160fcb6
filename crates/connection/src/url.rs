//! Where a WebSocket is (RFC 6455 section 3).

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::net::Ipv6Addr;

/// A URL such as `wss://example.com:5281/xmpp-websocket`. What is in it can stand in a request as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocketUrl {
    is_secure: bool,
    host: String,
    port: u16,
    path: String,
}

impl WebSocketUrl {
    /// Reads `wss://` or `ws://`, a host, which may be an IPv6 address in brackets, a port after a colon, and a path with or without
    /// a query. Without a port it is 443, or 80. `None` if it is none, or has a user or a fragment, which RFC 6455 forbids there.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_secure = match scheme {
            _ if scheme.eq_ignore_ascii_case("wss") => true,
            _ if scheme.eq_ignore_ascii_case("ws") => false,
            _ => return None,
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        let (host, port) = match authority.rsplit_once(':') {
            // A sign would be read as well.
            Some((_, port)) if port.starts_with('+') => return None,
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, if is_secure { 443 } else { 80 }),
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = match address {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(is_name),
        };
        let is_path = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        let path = if path.starts_with('/') { path.into() } else { format!("/{path}") };
        let host = address.unwrap_or(host).into();
        (is_host && is_path).then_some(WebSocketUrl { is_secure, host, port, path })
    }

    /// Whether it is on TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// A host name, or an IP address in text.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path, with the query if there is one. It begins with `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Host and port as they stand in a request (RFC 9110 section 7.2).
    #[must_use]
    pub fn authority(&self) -> String {
        let WebSocketUrl { is_secure, host, port, .. } = self;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let is_usual = *port == if *is_secure { 443 } else { 80 };
        if is_usual { host } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for WebSocketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::WebSocketUrl;

    // RFC 6455 §3
    #[test]
    fn urls_are_read_and_written() {
        for (text, host, port, written) in [
            ("wss://example.com/xmpp-websocket", "example.com", 443, "wss://example.com/xmpp-websocket"),
            ("WS://localhost:5280/a?b=c", "localhost", 5280, "ws://localhost:5280/a?b=c"),
            ("wss://[::1]:5281/x", "::1", 5281, "wss://[::1]:5281/x"),
            ("ws://[::1]", "::1", 80, "ws://[::1]/"),
            ("wss://a:443?q", "a", 443, "wss://a/?q"),
        ] {
            let url = WebSocketUrl::parse(text).unwrap();
            assert_eq!((url.host(), url.port(), url.to_string().as_str()), (host, port, written));
            assert_eq!(url.is_secure(), written.starts_with("wss"));
        }
    }

    // Nothing can be smuggled into the request.
    #[test]
    fn what_is_no_url() {
        for text in [
            "",
            "example.com",
            "https://example.com/",
            "wss://",
            "wss:///x",
            "wss://a b/",
            "wss://a/b c",
            "wss://a/\r\nX: y",
            "wss://a\r\nX: y/",
            "wss://a:x/",
            "wss://a:65536/",
            "wss://a:+99/",
            "wss://user@a/",
            "wss://a/b#c",
            "wss://[a]/",
            "wss://::1/",
            "wss://é/",
            "wss://a/é",
        ] {
            assert_eq!(WebSocketUrl::parse(text), None, "{text}");
        }
    }
}
