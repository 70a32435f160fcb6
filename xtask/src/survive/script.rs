//! The weather: what the networks of the two clients are like when, from a seed.

use core::fmt::Write as _;

use crate::dice::Dice;

/// The two who write to each other, each with a network of its own.
pub(crate) const ROLES: [&str; 2] = ["phone", "desk"];

/// This long before the end of the script all is well, so that everything can arrive.
const QUIET: f64 = 60.0;

/// Loss (of a hundred), delay and jitter (milliseconds), each way: a good network, a poor one, and one at the edge of what works.
const WEATHER: [(f64, u32, u32); 3] = [(0.5, 30, 10), (3.0, 150, 80), (10.0, 400, 250)];

/// Lines for `link.py`.
pub(crate) fn script(seed: u64, seconds: u64) -> String {
    let mut dice = Dice(seed);
    let mut text = String::new();
    let end = seconds as f64 - QUIET;
    let mut at = 0.0;
    let mut addresses = [2_u32; 2];
    let mut line = |at: f64, role: usize, what: &str| {
        let _ = writeln!(text, "{at:.3} {} {what}", ROLES[role]);
    };
    let mut rounds = 0;
    loop {
        for role in 0..ROLES.len() {
            let (loss, delay, jitter) = if at < end { *dice.one_of(&WEATHER) } else { WEATHER[0] };
            line(at, role, &format!("weather {loss} {delay} {jitter}"));
        }
        if at >= end {
            return text;
        }
        at += dice.between(15.0, 40.0);
        let role = usize::from(dice.between(0.0, 2.0) >= 1.0);
        rounds += 1;
        let length = match rounds % 6 {
            // Longer than TCP, or people, have patience.
            5 => dice.between(60.0, 240.0),
            1 | 3 => dice.between(1.0, 10.0),
            2 | 4 => dice.between(10.0, 60.0),
            _ => {
                if at < end {
                    addresses[role] += 1;
                    line(at, role, &format!("address {}", addresses[role]));
                }
                continue;
            }
        };
        if at + length < end {
            line(at, role, "down");
            line(at + length, role, "up");
            at += length;
        } else {
            at = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_script() {
        assert_eq!(script(7, 1200), script(7, 1200));
        assert_ne!(script(7, 1200), script(8, 1200));
    }

    #[test]
    fn one_network_at_a_time_is_down_and_all_is_well_at_the_end() {
        for seed in 0..50 {
            let text = script(seed, 1200);
            let (mut down, mut last) = (None, 0.0);
            let mut kinds = [0; 3];
            for line in text.lines() {
                let words: Vec<&str> = line.split(' ').collect();
                let at: f64 = words[0].parse().unwrap();
                assert!(at >= last && at <= 1200.0 - QUIET + 40.0, "{line}");
                last = at;
                match words[2] {
                    "down" => assert_eq!(down.replace(words[1]), None, "{line}"),
                    "up" => assert_eq!(down.take(), Some(words[1]), "{line}"),
                    _ => {}
                }
                let kind = ["down", "address", "weather"].iter().position(|kind| *kind == words[2]);
                kind.into_iter().for_each(|kind| kinds[kind] += 1);
            }
            assert_eq!(down, None);
            assert!(kinds.iter().all(|count| *count > 0), "{kinds:?}");
            assert!(text.ends_with("desk weather 0.5 30 10\n"));
        }
    }
}
