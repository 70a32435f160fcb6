//! What a server prints when it has started: where it listens, and what to type next.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use balcony_jid::BareJid;

use crate::certificate::{AUTHORITY, CERTIFICATE, Certificate, Made};
use crate::config::{DATA, Settings};
use crate::demo::Account;
use crate::values::Address;

/// What a person is told when the server has started.
pub(super) struct Started<'a> {
    pub(super) settings: &'a Settings,
    pub(super) domains: &'a [BareJid],
    pub(super) certificate: &'a Certificate,
    /// Where other servers connect to: for STARTTLS, and for direct TLS.
    pub(super) of_servers: [&'a Vec<Address>; 2],
    /// Where components attach.
    pub(super) of_components: &'a Vec<Address>,
    pub(super) addresses: &'a [SocketAddr],
    /// Where browsers find the page.
    pub(super) pages: &'a [SocketAddr],
}

impl Started<'_> {
    pub(super) fn lines(&self, accounts: &[Account]) -> Vec<String> {
        let names = self.domains.iter().map(BareJid::as_str).collect::<Vec<_>>().join(", ");
        let mut lines = vec![format!("balcony {} serves {names}", env!("CARGO_PKG_VERSION"))];
        let starttls = match self.settings.allow_plaintext {
            false => "STARTTLS",
            true => "STARTTLS, or no TLS at all",
        };
        // In the order in which the server was told to listen.
        let Settings { listen, listen_tls, listen_wss, listen_ws, .. } = self.settings;
        let lists = [
            (listen, starttls),
            (listen_tls, "direct TLS"),
            (listen_wss, "WebSocket on TLS, at /xmpp-websocket"),
            (listen_ws, "WebSocket without TLS, at /xmpp-websocket"),
            (self.of_servers[0], "other servers, STARTTLS"),
            (self.of_servers[1], "other servers, direct TLS"),
            (self.of_components, "components"),
        ];
        let how = lists.iter().flat_map(|(list, how)| core::iter::repeat_n(how, list.len()));
        for (address, how) in self.addresses.iter().zip(how) {
            lines.push(format!("  listening on {address} ({how})"));
        }
        for address in self.pages {
            lines.push(format!("  listening on {address} (browsers, and WebSocket at /xmpp-websocket)"));
        }
        lines.push(format!("  accounts in {}", self.settings.folder().display()));
        if let Some(trust) = &self.certificate.trust {
            let (certificate, trust) = (self.certificate.path.display(), trust.display());
            lines.push(match self.certificate.made {
                _ if self.certificate.is_self_signed() => format!("  development certificate {certificate}"),
                Made::Nothing => format!("  development certificate {certificate}, signed by {trust}"),
                Made::Certificate => {
                    format!("  development certificate {certificate}, signed by {trust} just now")
                }
                Made::Renewed(_) => {
                    format!(
                        "  development certificate {certificate}, signed by {trust}, both renewed just now"
                    )
                }
                Made::Authority => {
                    format!("  development certificate {certificate}, signed by {trust}, both made just now")
                }
            });
        }
        lines.extend(self.certificate.lines().into_iter().map(|line| format!("  {line}")));
        for Account { address, password } in accounts {
            lines.push(match password {
                Some(password) => format!("  demo account {address} with password {}", password.expose()),
                None => format!(
                    "  demo account {address} exists already, and keeps its password (`{} user passwd {address}{}` gives it \
                     another)",
                    program(),
                    self.data_option()
                ),
            });
        }
        self.next(accounts, &mut lines);
        lines
    }

    /// What to type next.
    fn next(&self, accounts: &[Account], lines: &mut Vec<String>) {
        let client = self.client_options();
        let balcony = program();
        if let [romeo, juliet] = accounts {
            if let Some(page) = self.pages.first() {
                lines.push("Next, in a browser, where a message goes and why:".into());
                lines.push(format!("  {}", link(*page, romeo, juliet)));
            }
            // Without it the command asks.
            let password = |account: &Account| match &account.password {
                Some(password) => format!("BALCONY_PASSWORD={} ", password.expose()),
                None => String::new(),
            };
            lines.push(
                if self.pages.is_empty() {
                    "Next, in two other terminals:"
                } else {
                    "Or in two other terminals:"
                }
                .into(),
            );
            lines.push(format!("  {}{balcony} listen --as {}{client}", password(juliet), juliet.address));
            lines.push(format!(
                "  {}{balcony} send --as {}{client} {} 'Art thou not Juliet?'",
                password(romeo),
                romeo.address,
                juliet.address
            ));
        } else {
            lines.push("Next, in another terminal:".into());
            lines.push(format!("  {balcony} user add romeo{}", self.data_option()));
            if let Some(domain) = self.domains.first() {
                lines.push(format!("  {balcony} listen --as romeo@{domain}{client}"));
            }
        }
    }

    /// What `balcony user` needs to get here.
    fn data_option(&self) -> String {
        match self.settings.folder() {
            folder if folder == Path::new(DATA) => String::new(),
            folder => format!(" --data {}", folder.display()),
        }
    }

    /// What a client on this machine needs to get here.
    fn client_options(&self) -> String {
        let mut options = String::new();
        let is_localhost = self.domains.first().is_some_and(|domain| domain.domainpart() == "localhost");
        let streams = self.settings.listen.len() + self.settings.listen_tls.len();
        if let Some(&address) = self.addresses.first().filter(|_| streams > 0) {
            let direct = self.settings.listen.is_empty();
            let reached = match address.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
                ip => ip,
            };
            if !is_localhost || !reached.is_loopback() || direct || address.port() != 5222 {
                options.push_str(&format!(" --connect {}", SocketAddr::new(reached, address.port())));
            }
            if direct {
                options.push_str(" --direct-tls");
            }
        }
        let root = self.settings.federation.ca().map(|path| &**path);
        let first = self.domains.first();
        if let Some(trust) = first.and_then(|domain| self.certificate.to_trust(domain, root)) {
            let is_found = [AUTHORITY, CERTIFICATE].iter().any(|file| trust == Path::new(DATA).join(file));
            if !is_localhost || !is_found {
                options.push_str(&format!(" --ca {}", trust.display()));
            }
        }
        options
    }
}

/// The page, with what it has to know behind a `#`, which a browser sends to nobody. A password that is not known is typed there.
fn link(page: SocketAddr, romeo: &Account, juliet: &Account) -> String {
    let mut link = format!("http://{page}/#account={}&writer={}", juliet.address, romeo.address);
    for (name, account) in [("password", juliet), ("writer-password", romeo)] {
        if let Some(password) = &account.password {
            link.push_str(&format!("&{name}={}", password.expose()));
        }
    }
    link
}

/// This program, as it was typed: it need not be on the search path.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "balcony".into())
}
