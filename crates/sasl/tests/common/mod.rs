//! A client and a server brought together, with somebody in between who may alter messages.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use balcony_machine::Secret;
use balcony_sasl::{
    Binding, BindingState, ClientExchange, ClientStep, Credentials, Failure, Mechanism, SaslError,
    ServerExchange, ServerStep, fake_keys, salt_password,
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
