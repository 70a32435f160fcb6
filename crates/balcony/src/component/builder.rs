//! What a component is made of.

use core::fmt;

use balcony_client::Endpoint;
use balcony_client::component::Component as Machine;
use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_runtime::{Clock, Runtime, seed};
use balcony_stream::component::ComponentInitiatingConfig;

use super::task::{Over, Task};
use super::{Component, Shared};
use crate::Error;
use crate::environment::{Environment, PROCESS};
use crate::rt::DefaultRuntime;

/// The port that servers have for components.
const PORT: u16 = 5347;

#[cfg(any(feature = "tokio", feature = "smol", feature = "async-std"))]
impl Component {
    /// Begins a component of this domain.
    ///
    /// What is wrong with this or with anything else that the builder is told comes out when it is started.
    pub fn builder(domain: impl fmt::Display) -> ComponentBuilder {
        ComponentBuilder::on(crate::rt::usual(), domain)
    }

    /// The same from the environment: its domain in `BALCONY_COMPONENT`, its secret in `BALCONY_SECRET`, and where the server is in
    /// `BALCONY_CONNECT`, if that is set. One that is empty counts as one that is not set.
    pub fn from_env() -> ComponentBuilder {
        ComponentBuilder::from_env_on(crate::rt::usual())
    }
}

/// Collects what a [`Component`] is made of: a domain, and the secret that it shares with its server. The server is at port 5347 of this
/// machine unless it is said otherwise.
#[must_use = "nothing is started yet"]
pub struct ComponentBuilder<R = DefaultRuntime> {
    runtime: R,
    domain: Result<BareJid, Error>,
    secret: Option<Secret<String>>,
    place: (String, u16),
    /// The first thing that is wrong.
    wrong: Option<Error>,
}

impl<R: Runtime> ComponentBuilder<R> {
    /// As [`Component::builder`], on a runtime that is named.
    pub fn on(runtime: R, domain: impl fmt::Display) -> Self {
        let domain = domain.to_string();
        let domain = match BareJid::parse(&domain) {
            Ok(domain) if domain.localpart().is_none() => Ok(domain),
            Ok(_) => Err(Error::Config(format!("`{domain}`: a domain is wanted, such as echo.example.com"))),
            Err(error) => Err(Error::Address(domain, error)),
        };
        ComponentBuilder { runtime, domain, secret: None, place: ("127.0.0.1".into(), PORT), wrong: None }
    }

    /// As [`Component::from_env`], on a runtime that is named.
    pub fn from_env_on(runtime: R) -> Self {
        ComponentBuilder::from_environment(runtime, PROCESS)
    }

    fn from_environment(runtime: R, environment: Environment) -> Self {
        let (domain, secret) =
            (environment.wanted("BALCONY_COMPONENT"), environment.wanted("BALCONY_SECRET"));
        let mut builder = ComponentBuilder::on(runtime, domain.as_deref().unwrap_or_default());
        builder.wrong = domain.err();
        if let Err(error) = &builder.domain {
            builder.wrong.get_or_insert(Environment::blame("BALCONY_COMPONENT", error));
        }
        match secret {
            Ok(secret) => builder = builder.secret(secret),
            Err(error) => {
                builder.wrong.get_or_insert(error);
            }
        }
        match environment.text("BALCONY_CONNECT") {
            Ok(Some(place)) => {
                let before = builder.wrong.take();
                let mut builder = builder.connect(&place);
                let wrong = builder.wrong.map(|error| Environment::blame("BALCONY_CONNECT", error));
                builder.wrong = before.or(wrong);
                builder
            }
            Ok(None) => builder,
            Err(error) => {
                builder.wrong.get_or_insert(error);
                builder
            }
        }
    }

    /// The secret that it shares with the server.
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secret = Some(Secret::new(secret.into()));
        self
    }

    /// Where the server listens for components: `host:port`. The connection is not encrypted: it should be on this machine.
    pub fn connect(mut self, place: impl AsRef<str>) -> Self {
        let place = place.as_ref();
        // Where no port is said it is that of clients, and there are two of them.
        match (Endpoint::parse(place, false), Endpoint::parse(place, true)) {
            (Some(Endpoint::Address { host, port, .. }), Some(Endpoint::Address { port: other, .. })) => {
                self.place = (host, if port == other { port } else { PORT })
            }
            _ => {
                let error = format!("`{place}` is no place to connect to: `host:port` is wanted");
                self.wrong.get_or_insert(Error::Config(error));
            }
        }
        self
    }

    /// Starts it, and waits until it is attached.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] and [`Error::Address`]: what is wrong with the above. [`Error::Detached`]: the server does not take it. A server
    /// that is not there is waited for.
    ///
    /// # Panics
    ///
    /// With some runtimes, such as tokio, if it is called outside of them; or if the operating system has no randomness.
    pub async fn start(self) -> Result<Component, Error> {
        if let Some(error) = self.wrong {
            return Err(error);
        }
        let secret = self.secret.ok_or_else(|| Error::Config("the component has no secret".into()))?;
        let machine = Machine::new(ComponentInitiatingConfig::new(self.domain?, secret), seed());
        let (runtime, clock) = (self.runtime.clone(), Clock::start(&self.runtime));
        let shared = Shared::new(machine, move || clock.now(&runtime));
        let task = Task {
            shared: shared.clone(),
            runtime: self.runtime.clone(),
            clock,
            place: self.place,
            over: Over(shared.clone()),
        };
        self.runtime.spawn(Box::pin(task.run()));
        // Dropped here, it ends.
        let component = Component { shared };
        let started = component.shared.until(|state| match state.ended() {
            Some(why) => Some(Err(Error::Detached(why))),
            None => state.machine.is_online().then_some(Ok(())),
        });
        started.await?;
        Ok(component)
    }
}

impl<R> fmt::Debug for ComponentBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComponentBuilder")
            .field("domain", &self.domain)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "tokio"))]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn an_empty_variable_is_none() {
        let built =
            |environment| ComponentBuilder::from_environment(crate::rt::usual(), Environment(environment));
        let given: fn(&str) -> Option<OsString> = |name| match name {
            "BALCONY_COMPONENT" => Some("echo.localhost".into()),
            "BALCONY_SECRET" => Some("pencil".into()),
            _ => Some("".into()),
        };
        let builder = built(given);
        assert!(builder.wrong.is_none(), "{:?}", builder.wrong);
        assert_eq!(builder.place, ("127.0.0.1".into(), PORT));
        let wrong = built(|_| Some("".into())).wrong.map(|error| error.to_string());
        assert_eq!(
            wrong.as_deref(),
            Some("the environment variable BALCONY_COMPONENT is not set, or is empty")
        );
        let place =
            built(
                |name| {
                    if name == "BALCONY_CONNECT" { Some("a b".into()) } else { Some("x.localhost".into()) }
                },
            );
        let wrong = place.wrong.map(|error| error.to_string()).unwrap();
        assert!(wrong.starts_with("the environment variable BALCONY_CONNECT: `a b` is no place"), "{wrong}");
        let domain = built(|_| Some("romeo@localhost".into())).wrong.map(|error| error.to_string()).unwrap();
        assert!(
            domain.starts_with("the environment variable BALCONY_COMPONENT: `romeo@localhost`: "),
            "{domain}"
        );
    }
}
