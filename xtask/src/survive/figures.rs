//! What the clients have written down, counted.

use std::collections::BTreeSet;

/// What one client has written down: what it sent and got, by number, and what has happened to it, each with the time.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) sent: Vec<u64>,
    pub(crate) got: Vec<(u64, f64)>,
    /// Sessions that have begun, the first among them.
    pub(crate) begun: usize,
    pub(crate) resumed: usize,
}

impl Log {
    /// Lines such as `got 17 1700000000.123` and `resumed 1700000000.123`.
    pub(crate) fn parse(text: &str) -> Log {
        let mut log = Log::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["sent", number, _] => log.sent.extend(number.parse::<u64>()),
                ["got", number, at] => log.got.extend(number.parse().ok().zip(at.parse().ok())),
                ["online", _] => log.begun += 1,
                ["resumed", _] => log.resumed += 1,
                _ => {}
            }
        }
        log
    }
}

/// What has become of the messages in one direction.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Messages {
    pub(crate) sent: usize,
    pub(crate) lost: usize,
    pub(crate) twice: usize,
    /// Those that came after one that was sent later.
    pub(crate) disordered: usize,
}

impl Messages {
    pub(crate) fn count(from: &Log, to: &Log) -> Messages {
        let mut messages = Messages { sent: from.sent.len(), ..Messages::default() };
        let (mut seen, mut highest) = (BTreeSet::new(), None);
        for (number, _) in &to.got {
            if !seen.insert(*number) {
                messages.twice += 1;
            } else if highest.is_some_and(|highest| *number < highest) {
                messages.disordered += 1;
            }
            highest = highest.max(Some(*number));
        }
        messages.lost = from.sent.iter().filter(|number| !seen.contains(number)).count();
        messages
    }

    pub(crate) fn add(&mut self, other: &Messages) {
        self.sent += other.sent;
        self.lost += other.lost;
        self.twice += other.twice;
        self.disordered += other.disordered;
    }
}

/// When the network of somebody came back, or changed its address: whose, and when.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Events {
    pub(crate) up: Vec<(String, f64)>,
    pub(crate) address: Vec<(String, f64)>,
}

impl Events {
    /// What `link.py` prints: the time, that of the script, the role, what happened.
    pub(crate) fn parse(text: &str) -> Events {
        let mut events = Events::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [at, _, role, what, ..] = words[..] else { continue };
            let Ok(at) = at.parse() else { continue };
            match what {
                "up" => events.up.push((role.to_owned(), at)),
                "address" => events.address.push((role.to_owned(), at)),
                _ => {}
            }
        }
        events
    }
}

/// How long it took from each of these moments until a message came in; of a client that got none any more, nothing.
pub(crate) fn back(log: &Log, moments: impl Iterator<Item = f64>) -> Vec<f64> {
    moments
        .filter_map(|moment| log.got.iter().map(|(_, at)| *at).find(|at| *at > moment).map(|at| at - moment))
        .collect()
}

/// The one in the middle, and the longest.
pub(crate) fn median_and_worst(mut times: Vec<f64>) -> Option<(f64, f64)> {
    times.sort_by(f64::total_cmp);
    Some((*times.get(times.len() / 2)?, *times.last()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_twice_and_late_are_counted() {
        let from = Log::parse("online 0.0\nsent 0 1.0\nsent 1 2.0\nsent 2 3.0\nsent 3 4.0\n");
        let to = Log::parse("online 0.1\ngot 0 1.5\ngot 2 2.5\ngot 1 2.6\ngot 1 2.7\nresumed 3.0\n");
        assert_eq!((to.begun, to.resumed), (1, 1));
        let messages = Messages::count(&from, &to);
        assert_eq!(messages, Messages { sent: 4, lost: 1, twice: 1, disordered: 1 });
    }

    #[test]
    fn back_is_when_something_comes() {
        let log = Log::parse("got 0 1.0\ngot 1 12.5\ngot 2 13.0\n");
        assert_eq!(back(&log, [10.0, 12.75, 14.0].into_iter()), [2.5, 0.25]);
        assert_eq!(median_and_worst(vec![3.0, 1.0, 2.0]), Some((2.0, 3.0)));
        assert_eq!(median_and_worst(Vec::new()), None);
    }

    #[test]
    fn the_link_tells_when_it_is_up() {
        let events = Events::parse("ready\n5.0 1.0 phone down\n7.5 3.5 phone up\n9.0 5.0 desk address 3\n");
        assert_eq!(events.up, [("phone".to_owned(), 7.5)]);
        assert_eq!(events.address, [("desk".to_owned(), 9.0)]);
    }
}
