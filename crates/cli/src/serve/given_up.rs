//! What a server that has shut down has given up: what the exit status says.

use balcony_tokio::GivenUp;

use crate::failure::Failure;

/// Fails if it is anything.
pub(super) fn judge(given_up: GivenUp) -> Result<(), Failure> {
    let GivenUp { requests, sessions, clients, .. } = given_up;
    let of_sessions = || {
        let whose = match sessions {
            1 => "1 session that waited for its client".to_owned(),
            _ => format!("{sessions} sessions that waited for their clients"),
        };
        format!("{whose} could not be kept, and may have ended with messages")
    };
    let line = match (requests, sessions) {
        _ if given_up.is_nothing() => return Ok(()),
        (0, 0) => {
            format!(
                "there was no time to take all that {clients} of the clients had sent, see above: is the disk slow?"
            )
        }
        (0, _) => format!("{}, see above: is the disk full?", of_sessions()),
        (_, 0) => format!("{}, see above: is the disk slow?", of_requests(requests)),
        (_, _) => format!("{}, and {}, see above: is the disk slow?", of_requests(requests), of_sessions()),
    };
    Err(Failure::new(line))
}

fn of_requests(requests: usize) -> String {
    format!(
        "the database has not answered in time, so {requests} requests to it were given up: of the last changes, messages that wait for \
         somebody among them, any may be in it or not"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    // docs/guarantees.md: what the log says that is lost or given up, the exit status says.
    #[test]
    fn whatever_was_given_up_is_a_failure() {
        let judged = |requests, sessions, messages| {
            let mut given_up = GivenUp::default();
            (given_up.requests, given_up.sessions, given_up.messages) = (requests, sessions, messages);
            judge(given_up).map_err(|failure| failure.to_string())
        };
        assert_eq!(judged(0, 0, 0), Ok(()));
        let mut cut = GivenUp::default();
        cut.clients = 2;
        assert!(judge(cut).unwrap_err().to_string().contains("that 2 of the clients had sent"));
        for (requests, sessions, messages) in [(3, 0, 0), (0, 2, 0), (0, 2, 1), (3, 2, 1)] {
            let line = judged(requests, sessions, messages).unwrap_err();
            assert_eq!(line.contains("so 3 requests to it were given up"), requests > 0, "{line}");
            assert_eq!(line.contains("2 sessions that waited for their clients"), sessions > 0, "{line}");
        }
    }
}
