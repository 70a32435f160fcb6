//! How a client comes online, and comes back: the places that are tried, one after the other, and what its connections have in common.

use std::collections::VecDeque;

use balcony_client::{ClientConfig, ConnectError, Endpoint, MachineEvent, Pump, REDIRECTS};

use super::ConnectedClient;
use super::wire::Wire;
use crate::clock::{Clock, seed};
use crate::{Runtime, Socket, connect, discover};

impl<R: Runtime + Default> ConnectedClient<R> {
    /// Connects, and returns when the client is online: authenticated, with a resource bound. Send initial presence next
    /// (RFC 6121 section 4.2) to receive messages.
    ///
    /// # Errors
    ///
    /// [`ConnectError`], in words for a person; see [`ConnectError::is_permanent`] on whether to try again.
    pub async fn connect(config: ClientConfig, endpoint: Endpoint) -> Result<Self, ConnectError> {
        ConnectedClient::connect_on(R::default(), config, endpoint).await
    }
}

impl<R: Runtime> ConnectedClient<R> {
    /// As `connect`, on a runtime that is given.
    ///
    /// # Errors
    ///
    /// As `connect`.
    pub async fn connect_on(
        runtime: R,
        config: ClientConfig,
        endpoint: Endpoint,
    ) -> Result<Self, ConnectError> {
        let (mut endpoint, mut config) = (endpoint, config);
        // Before anybody is asked for anything.
        check(&config)?;
        name_installation(&mut config);
        for _ in 0..REDIRECTS {
            match ConnectedClient::try_connect(&runtime, &config, &endpoint).await {
                Err(error) if let Some(other) = error.redirect(&config) => endpoint = other,
                result => return result,
            }
        }
        ConnectedClient::try_connect(&runtime, &config, &endpoint).await
    }

    async fn try_connect(
        runtime: &R,
        config: &ClientConfig,
        endpoint: &Endpoint,
    ) -> Result<Self, ConnectError> {
        let mut places = discover::places(runtime, config, endpoint).await?.into_iter().peekable();
        loop {
            let Some(place) = places.next() else { return Err(ConnectError::Unreachable(Vec::new())) };
            match ConnectedClient::try_connect_at(runtime, config, &place).await {
                Err(error) if goes_on(&error, config) && places.peek().is_some() => {}
                result => {
                    return result.map(|client| ConnectedClient { endpoint: endpoint.clone(), ..client });
                }
            }
        }
    }

    async fn try_connect_at(
        runtime: &R,
        config: &ClientConfig,
        place: &Endpoint,
    ) -> Result<Self, ConnectError> {
        let (socket, target) = connect::connect(runtime, place, &config.stream.account).await?;
        let there = config.clone().for_endpoint(place, &target);
        let client = ConnectedClient::over(runtime.clone(), socket, there).await?;
        Ok(ConnectedClient { config: config.clone(), ..client })
    }

    /// Begins a stream on a socket that has just been connected, or on anything else that carries bytes both ways, and returns
    /// when the client is online.
    ///
    /// # Errors
    ///
    /// As [`connect`](ConnectedClient::connect).
    pub async fn over(runtime: R, socket: impl Socket, config: ClientConfig) -> Result<Self, ConnectError> {
        check(&config)?;
        let (clock, mut config) = (Clock::start(&runtime), config);
        name_installation(&mut config);
        config.clock_start = config.clock_start.or_else(since_1970);
        let machine = balcony_client::ClientMachine::new(config.clone(), &seed(), clock.now(&runtime));
        let (pump, timer) = (Pump::new(machine), runtime.timer());
        let mut wire = Wire { pump, socket: Box::new(socket), runtime, clock, timer, early: VecDeque::new() };
        let online = wire.negotiate().await;
        wire.early.drain(..).for_each(|event| wire.pump.keep(event));
        online.map_err(|error| wire.pump.connect_error(error))?;
        let Some(jid) = wire.pump.client().jid().cloned() else { return Err(wire.nobody()) };
        Ok(ConnectedClient { wire, jid, config, endpoint: Endpoint::Domain, has_untold_session: false })
    }

    /// Connects again after the connection has ended, and goes on with the session where the server lets it (XEP-0198): what it had not got
    /// is sent again, and what it has sent meanwhile comes from [`next`](ConnectedClient::next). Whether the session goes on; if not, it is a new one,
    /// as after [`connect`](ConnectedClient::connect), in which messages that may not have arrived were sent again. What had come in the old one
    /// and was not taken by then still comes from `next`, but for its presence and its requests
    /// ([`MachineEvent::outlives_session`]).
    ///
    /// It is tried once, at the place that the server has named for this, and where it was before. After an error it can be tried
    /// again, best after a [`Backoff`](balcony_client::Backoff). If it is cancelled, that is as if it had failed.
    ///
    /// # Errors
    ///
    /// As [`connect`](ConnectedClient::connect).
    pub async fn reconnect(&mut self) -> Result<bool, ConnectError> {
        let place = self.wire.pump.client().location(&self.config);
        if let Some(place) = place
            && let Ok(resumed) = self.reconnect_at(&place).await
        {
            return Ok(resumed);
        }
        let mut endpoint = self.endpoint.clone();
        for _ in 0..REDIRECTS {
            match self.reconnect_at(&endpoint).await {
                Err(error) if let Some(other) = error.redirect(&self.config) => endpoint = other,
                result => return result,
            }
        }
        self.reconnect_at(&endpoint).await
    }

    async fn reconnect_at(&mut self, endpoint: &Endpoint) -> Result<bool, ConnectError> {
        let config = self.config.clone();
        let places = discover::places(&self.wire.runtime, &config, endpoint).await?;
        let mut places = places.into_iter().peekable();
        loop {
            let Some(place) = places.next() else { return Err(ConnectError::Unreachable(Vec::new())) };
            match self.reconnect_to(&place).await {
                Err(error) if goes_on(&error, &config) && places.peek().is_some() => {}
                result => return result,
            }
        }
    }

    async fn reconnect_to(&mut self, place: &Endpoint) -> Result<bool, ConnectError> {
        let (socket, target) =
            connect::connect(&self.wire.runtime, place, &self.config.stream.account).await?;
        let config = self.config.clone().for_endpoint(place, &target);
        self.go_on(socket, config).await
    }

    /// As [`reconnect`](ConnectedClient::reconnect), on a socket that has just been connected.
    ///
    /// # Errors
    ///
    /// As [`connect`](ConnectedClient::connect).
    pub async fn reconnect_over(&mut self, socket: impl Socket) -> Result<bool, ConnectError> {
        self.go_on(socket, self.config.clone()).await
    }

    async fn go_on(&mut self, socket: impl Socket, config: ClientConfig) -> Result<bool, ConnectError> {
        let wire = &mut self.wire;
        wire.socket = Box::new(socket);
        // An attempt that was cancelled has left them here.
        let later: Vec<MachineEvent> = core::iter::from_fn(|| wire.pump.next_kept()).collect();
        wire.early.drain(..).chain(later).for_each(|event| wire.pump.keep(event));
        let now = wire.now();
        wire.pump.resume(config, &seed(), now).map_err(|error| ConnectError::Broken(error.to_string()))?;
        let online = wire.negotiate().await;
        // What had happened before is told before all that happens now, as far as it is of any concern in a new session.
        let is_new = matches!(online, Ok(false));
        let told = |event: &MachineEvent| !is_new || event.outlives_session();
        wire.early.drain(..).filter(told).for_each(|event| wire.pump.keep(event));
        let resumed = online.map_err(|error| wire.pump.connect_error(error))?;
        // If this fails from here on, or is cancelled, nobody hears of the new session, and the next attempt may go on with it.
        self.has_untold_session |= !resumed;
        let Some(jid) = wire.pump.client().jid() else { return Err(wire.nobody()) };
        self.jid = jid.clone();
        // What is sent again leaves now: who knows what is awaited next.
        wire.flush().await.map_err(|error| wire.pump.connect_error(error))?;
        Ok(!core::mem::take(&mut self.has_untold_session))
    }
}

/// Whether another place may do better.
fn goes_on(error: &ConnectError, config: &ClientConfig) -> bool {
    !error.is_permanent() && error.redirect(config).is_none()
}

/// Nobody else runs TLS here. (A WebSocket in the clear is refused, or not, by the stream on it.)
fn check(config: &ClientConfig) -> Result<(), ConnectError> {
    let needs = config.stream.tls != balcony_stream::TlsPolicy::None && config.websocket.is_none();
    if needs && config.tls.is_none() { Err(ConnectError::NoTrust) } else { Ok(()) }
}

/// Gives this installation of a client a name, without which it gets no tokens (XEP-0388, XEP-0484): a UUID of version 4, as long as the
/// client lives, unless its owner has one that it keeps.
fn name_installation(config: &mut ClientConfig) {
    let stream = &mut config.stream;
    if !stream.request_token || stream.agent.is_some() {
        return;
    }
    // A token knows whose it is.
    stream.agent = stream.token.as_ref().map(|token| token.agent().into());
    stream.agent.get_or_insert_with(|| {
        let mut bytes = [0; 16];
        seed().random().fill(&mut bytes);
        uuid(bytes)
    });
}

/// A UUID of version 4 of these random bytes (RFC 9562 section 5.4).
fn uuid(random: [u8; 16]) -> String {
    let number = u128::from_be_bytes(random);
    let number = number & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
    let digits = format!("{number:032x}");
    let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    parts.map(|(from, to)| &digits[from..to]).join("-")
}

/// Milliseconds since the start of 1970, by the clock on the wall.
fn since_1970() -> Option<u64> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // XEP-0388 §2.3 [SL12], RFC 9562 §5.4
    #[test]
    fn an_installation_is_named_by_a_uuid_of_version_4() {
        assert_eq!(uuid([0; 16]), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
