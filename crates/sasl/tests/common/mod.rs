//! A client and a server brought together, with somebody in between who may alter messages.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use balcony_machine::Secret;
use balcony_sasl::{
    Binding, BindingState, ClientExchange, ClientStep, Credentials, Failure, Hash, Mechanism, SaslError,
    ScramKeys, ServerExchange, ServerStep, fake_keys, salt_password,
};

pub const SALT: &[u8; 16] = b"0123456789abcdef";

/// One account, as the server knows it.
pub struct Account {
    pub username: String,
    pub credentials: Credentials,
}

impl Account {
    pub fn new(username: &str, password: &str) -> Account {
        let credentials = Credentials::derive(password, SALT, 4096).unwrap();
        Account { username: username.to_owned(), credentials }
    }
}

/// The keys of `m²` as it is, which SASLprep makes `m2`; computed by another program.
pub fn unprepared() -> Credentials {
    let keys = |hash, stored: &str, server: &str| {
        let bytes = |hex: &str| -> Vec<u8> {
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
        };
        ScramKeys::from_parts(hash, 4096, SALT[..].into(), &bytes(stored), &bytes(server)).unwrap()
    };
    let mut credentials = Credentials::default();
    credentials.set(keys(
        Hash::Sha1,
        "cf1df2a78a8e4660fb1d8fde5b584414eb370266",
        "edae5842bc2a49bbd72f1587e6097844afb74719",
    ));
    credentials.set(keys(
        Hash::Sha256,
        "8ce9b2ff9ff20f7cb01e27aa446d4c70b4f17d1a39169f51f84362231f175bd8",
        "bd00d66f25b1f6e9df88a825a27a0d2c5fc04025e8dab318f95f5089a5f26bea",
    ));
    #[cfg(feature = "sha512")]
    credentials.set(keys(
        Hash::Sha512,
        "dac9bc5d3f5a71cd6595e0469c2e5ada63ea8140ff336a5fbf1960520e858780\
         0ce6d528fb6ce2f852e24c24139f3d6e2d9b33d58257c1a0ca7260531743f623",
        "556add07d4e6d7fb38f2aca22ab603d8b0368752313653003f7d0927ba2f9f7b\
         0627198e57a21adb28f2a8771a8879efb6779084f587179997cac79693f46b6f",
    ));
    credentials
}

/// Which side failed, and how.
#[derive(Debug, PartialEq)]
pub enum Failed {
    Client(SaslError),
    Server(Failure),
}

impl From<SaslError> for Failed {
    fn from(error: SaslError) -> Failed {
        Failed::Client(error)
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Failed {
        Failed::Server(failure)
    }
}

pub fn client(mechanism: Mechanism, username: &str, password: &str) -> ClientExchange {
    let binding = match mechanism.is_plus() {
        true => BindingState::Use(channel()),
        false => BindingState::Unsupported,
    };
    ClientExchange::new(mechanism, username, Secret::new(password.to_owned()), None, binding, "client-nonce")
        .unwrap()
}

pub fn server(mechanism: Mechanism) -> ServerExchange {
    ServerExchange::new(mechanism, Some(channel()), true, "server-nonce")
}

pub fn channel() -> Binding {
    Binding::TlsExporter([7; 32])
}

/// Runs both to the end. `alter` gets each message with its number, and returns what arrives. The result is what the
/// server believes: user and authzid.
pub fn run(
    client: &mut ClientExchange,
    server: &mut ServerExchange,
    account: &Account,
    mut alter: impl FnMut(usize, Vec<u8>) -> Vec<u8>,
) -> Result<(String, Option<String>), Failed> {
    let mut number = 0;
    let mut pass = |message| {
        number += 1;
        alter(number - 1, message)
    };
    let message = pass(client.initial().expect("a fresh client"));
    let mut server_step = server.initial(Some(&message))?;
    loop {
        server_step = match server_step {
            ServerStep::AskCredentials { username, .. } => {
                let hash = server.mechanism().hash().unwrap();
                let keys = account.credentials.get(hash).filter(|_| username == account.username).cloned();
                server.credentials(keys.unwrap_or_else(|| fake_keys(&[1; 32], &username, hash, 4096)))?
            }
            ServerStep::AskVerify { username, password, .. } => server.verified(
                username == account.username && account.credentials.verify_password(password.expose()),
            )?,
            ServerStep::Challenge(data) => {
                let mut step = client.challenge(&pass(data))?;
                while let ClientStep::AskSalted { hash, password, salt, iterations } = step {
                    step =
                        client.salted(salt_password(hash, password.expose(), &salt, iterations).unwrap())?;
                }
                let ClientStep::Send(data) = step else { unreachable!() };
                server.response(&pass(data))?
            }
            ServerStep::Success { username, authzid, data } => {
                client.success(data.map(&mut pass).as_deref())?;
                return Ok((username, authzid));
            }
        };
    }
}
