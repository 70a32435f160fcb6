//! The end of a client's token, when its owner logs out for good (XEP-0484 section 3.6).

use balcony_client::ConnectError;
use balcony_machine::Secret;
use balcony_stream::client::Management;

use super::ConnectedClient;
use crate::Runtime;

impl<R: Runtime> ConnectedClient<R> {
    /// Logs out for good, after the connection has ended: logs in once more by the [token](balcony_client::ClientMachine::token) that the server has
    /// given, which ends with that login, and closes. Whether there was one. Without it a token is good until its time is over.
    ///
    /// That is another session with another resource. If the one before still waits for its client, the server ends it now or when its time is
    /// over, and gives what waits there to the account's other clients, or keeps it for the next one. Nor is anything sent again.
    ///
    /// The password is not used: a token that the server does not take any more has ended.
    ///
    /// # Errors
    ///
    /// As [`connect`](ConnectedClient::connect); the token may still be good then.
    pub async fn log_out(self) -> Result<bool, ConnectError> {
        let Some(token) = self.machine().token().cloned() else { return Ok(false) };
        let ConnectedClient { wire, mut config, endpoint, .. } = self;
        let stream = &mut config.stream;
        (stream.token, stream.end_token, stream.request_token) = (Some(token), true, false);
        stream.password = Secret::new(String::new());
        // What is addressed to the resource of before is not for this one.
        (stream.resource, stream.tag) = (None, String::from("log-out"));
        stream.management = Management::Off;
        let mut client = ConnectedClient::connect_on(wire.runtime.clone(), config, endpoint).await?;
        client.start_close();
        // The token has ended with the login.
        while let Ok(Some(_)) = client.next().await {}
        Ok(true)
    }
}
