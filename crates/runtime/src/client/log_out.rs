//! The end of a client's token, when its owner logs out for good (XEP-0484 section 3.6).

use balcony_client::ConnectError;
use balcony_machine::Secret;

use super::ConnectedClient;
use crate::Runtime;

impl<R: Runtime> ConnectedClient<R> {
    /// Logs out for good, after the connection has ended: logs in once more by the [token](balcony_client::ClientMachine::token) that the server has
    /// given, which ends with that login, and closes. Whether there was one. Without it a token is good until its time is over.
    ///
    /// The password is not used: a token that the server does not take any more has ended.
    ///
    /// # Errors
    ///
    /// As [`connect`](ConnectedClient::connect); the token may still be good then.
    pub async fn log_out(mut self) -> Result<bool, ConnectError> {
        if self.machine().token().is_none() {
            return Ok(false);
        }
        let stream = &mut self.config.stream;
        (stream.end_token, stream.request_token) = (true, false);
        stream.password = Secret::new(String::new());
        self.reconnect().await?;
        self.start_close();
        // The token has ended with the login.
        while let Ok(Some(_)) = self.next().await {}
        Ok(true)
    }
}
