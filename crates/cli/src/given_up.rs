//! What a server that has shut down has given up: what the exit status says.

use balcony_tokio::GivenUp;

use crate::counted::counted;
use crate::failure::Failure;

/// Why there is nothing to judge.
pub(crate) fn has_failed() -> Failure {
    Failure::new("the server has ended by a fault of this program, see above; start it again")
}

/// Fails if it is anything.
pub(crate) fn judge(given_up: GivenUp) -> Result<(), Failure> {
    if given_up.is_nothing() {
        return Ok(());
    }
    let GivenUp { requests, sessions, messages, clients, .. } = given_up;
    let of_requests = || {
        let requests = counted(requests, "request to it was", "requests to it were");
        format!(
            "the database has not answered in time, so {requests} given up: of the last changes, messages that wait for somebody among \
             them, any may be in it or not"
        )
    };
    let of_sessions = || {
        let waited =
            counted(sessions, "session that waited for its client", "sessions that waited for their clients");
        let messages = counted(messages, "message", "messages");
        match sessions {
            0 => format!("{messages} that waited in memory only could not be kept"),
            _ => format!("{waited} could not be kept, with {messages} that waited in memory only"),
        }
    };
    let of_clients = || {
        let clients = counted(clients, "client had", "clients had");
        format!("there was no time to take all that {clients} sent")
    };
    let all: Vec<String> = [
        (requests > 0).then(of_requests),
        (sessions + messages > 0).then(of_sessions),
        (clients > 0).then(of_clients),
    ]
    .into_iter()
    .flatten()
    .collect();
    // A disk that takes nothing refuses sessions at once; what has no time has waited for it.
    let how = if requests > 0 || clients > 0 { "slow" } else { "full" };
    Err(Failure::new(format!("{}, see above: is the disk {how}?", all.join(", and "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    // docs/guarantees.md: what the log says that is lost or given up, the exit status says, and the line behind it names all of it.
    #[test]
    fn whatever_was_given_up_is_a_failure() {
        for bits in 0..3_usize.pow(4) {
            let [requests, sessions, messages, clients] = [1, 3, 9, 27].map(|unit| bits / unit % 3);
            let mut given_up = GivenUp::default();
            (given_up.requests, given_up.sessions) = (requests, sessions);
            (given_up.messages, given_up.clients) = (messages, clients);
            let judged = judge(given_up).map_err(|failure| failure.to_string());
            let Err(line) = judged else {
                assert_eq!(bits, 0);
                continue;
            };
            assert!(bits > 0 && line.ends_with('?'), "{bits}: {line}");
            for (count, of) in [
                (requests, ["so 1 request to it was given up", "so 2 requests to it were given up"]),
                (
                    sessions,
                    ["1 session that waited for its client", "2 sessions that waited for their clients"],
                ),
                (messages, ["1 message that waited", "2 messages that waited"]),
                (clients, ["that 1 client had sent", "that 2 clients had sent"]),
            ] {
                for (number, text) in (1..).zip(of) {
                    assert_eq!(line.contains(text), count == number, "{text}: {line}");
                }
            }
        }
    }
}
