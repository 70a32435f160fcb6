//! Who a client is: what JavaScript hands in when it makes one.

use core::str::FromStr as _;

use balcony_client::{AgentConfig, ClientConfig, Presence};
use balcony_jid::Jid;
use balcony_machine::{Secret, Seed};
use balcony_stream::{Framing, TlsPolicy};

/// Bytes of randomness before the texts.
const SEED: usize = 32;

/// What a client is made of.
pub(crate) struct Config {
    pub(crate) client: ClientConfig,
    pub(crate) agent: AgentConfig,
    pub(crate) seed: Seed,
    /// Whether the browser runs TLS below the WebSocket (`wss`).
    pub(crate) is_secure: bool,
    /// Of the first presence.
    pub(crate) priority: i8,
}

/// Reads the seed, which are 32 bytes that nobody can guess, and then these texts: the address, with a resource if it is to be a certain one; the
/// password; `wss` or `ws`; the priority; milliseconds from the start of 1970 to the start of the clock; and `1` if it is to connect again whenever
/// that is needed, or `0`.
pub(crate) fn read(input: &[u8]) -> Result<Config, String> {
    let (seed, texts) = input.split_first_chunk::<SEED>().ok_or("there is no randomness")?;
    if *seed == [0; SEED] {
        return Err("there is no randomness".into());
    }
    let texts = core::str::from_utf8(texts).map_err(|_| "this is not UTF-8")?;
    let texts: Vec<&str> = texts.split('\0').collect();
    let [jid, password, scheme, priority, clock, again] = texts[..] else {
        return Err("these are not the texts of a configuration".into());
    };
    let jid = Jid::from_str(jid).map_err(|error| error.to_string())?;
    let is_secure = match scheme {
        "wss" => true,
        "ws" => false,
        _ => return Err("the address of a WebSocket begins with wss:// or ws://".into()),
    };
    let priority = priority.parse().map_err(|_| "a priority is a whole number from -128 to 127")?;

    let mut client = ClientConfig::new(jid.to_bare(), Secret::new(password.into()));
    client.stream.resource = jid.resourcepart().map(String::from);
    client.stream.framing = Framing::Messages;
    client.stream.tls = if is_secure { TlsPolicy::Direct } else { TlsPolicy::None };
    // The browser checks the certificate of a `wss`; and balcony.js lets `ws` only to this machine.
    client.proven_by_owner = true;
    client.clock_start = clock.parse().ok();
    let mut agent = AgentConfig::default();
    agent.presence = Some(Presence::available().priority(priority));
    (agent.is_patient, agent.reconnects) = (again == "1", again == "1");
    Ok(Config { client, agent, seed: Seed::new(*seed), is_secure, priority })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(texts: &[&str]) -> Option<String> {
        read(&[&[7; SEED][..], texts.join("\0").as_bytes()].concat()).err()
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        assert_eq!(refusal(&["romeo@example.net/orchard", "pw", "wss", "-128", "0", "1"]), None);
        let priority = refusal(&["romeo@example.net", "pw", "wss", "128", "0", "1"]);
        assert!(priority.is_some_and(|why| why.contains("priority")));
        let scheme = refusal(&["romeo@example.net", "pw", "http", "0", "0", "1"]);
        assert!(scheme.is_some_and(|why| why.contains("wss://")));
        assert!(refusal(&["@", "pw", "wss", "0", "0", "1"]).is_some());
        assert!(refusal(&["romeo@example.net", "pw"]).is_some());
        assert!(read(&[7; 31]).is_err());
        let texts = ["romeo@example.net", "pw", "wss", "0", "0", "1"].join("\0");
        assert!(read(&[&[0; SEED][..], texts.as_bytes()].concat()).is_err(), "no randomness");
    }

    #[test]
    fn a_refusal_does_not_hold_the_password() {
        for texts in [
            &["@", "s3cret", "wss", "0", "0", "1"][..],
            &["r@e", "s3cret", "x", "0", "0", "1"],
            &["r@e", "s3cret", "ws", "x", "0", "1"],
            &["r@e", "s3cret"],
        ] {
            assert!(!refusal(texts).unwrap_or_default().contains("s3cret"), "{texts:?}");
        }
    }
}
