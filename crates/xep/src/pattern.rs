//! Regular expressions of forms (XEP-0122 section 3.2.4): the extended ones of POSIX, on Unicode, for whole values.
//!
//! Patterns come from strangers, so both are bounded: how large a pattern is when its repetitions are written out, and how long a value
//! is. Matching follows all ways at once, so that it takes no longer than the product of the two.

use alloc::vec::Vec;
use core::fmt;
use core::mem;

/// Steps of a pattern with its repetitions written out.
const STEPS: usize = 2_048;
/// Groups within groups.
const GROUPS: usize = 32;
/// Bytes of a value; what is longer matches nothing.
const VALUE: usize = 4_096;

/// A regular expression. The whole value has to match.
///
/// ```
/// use balcony_xep::pattern::Pattern;
///
/// let number = Pattern::new("([0-9]{3})-([0-9]{2})-([0-9]{4})")?;
/// assert!(number.matches("123-45-6789") && !number.matches("123-45-67890"));
/// assert!(Pattern::new("(never closed").is_err());
/// # Ok::<(), balcony_xep::pattern::PatternError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pattern {
    steps: Vec<Step>,
    sets: Vec<Set>,
}

/// The pattern is none, or is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatternError;

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is no regular expression, or it is too large")
    }
}

impl core::error::Error for PatternError {}

/// One step. Jumps are relative, so that a part of a pattern can be repeated by copying it.
#[derive(Clone, Debug)]
enum Step {
    Character(char),
    Any,
    /// One of the characters in this of the sets.
    Set(usize),
    Start,
    End,
    Jump(isize),
    /// Goes on with the next step, and also elsewhere.
    Fork(isize),
}

/// What stands in brackets.
#[derive(Clone, Debug)]
struct Set {
    is_negated: bool,
    members: Vec<Member>,
}

#[derive(Clone, Copy, Debug)]
enum Member {
    Range(char, char),
    Class(fn(char) -> bool),
    NotClass(fn(char) -> bool),
}

/// A group that is being read.
#[derive(Default)]
struct Group {
    alternatives: Vec<Vec<Step>>,
    sequence: Vec<Step>,
    /// Where in the sequence the last thing begins that can be repeated.
    last: Option<usize>,
}

impl Pattern {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// It is no regular expression, has more than 2,048 steps when its repetitions are written out, or more than 32 groups within each other.
    pub fn new(text: &str) -> Result<Pattern, PatternError> {
        Reader { text: text.chars().peekable(), sets: Vec::new(), left: STEPS }.read().ok_or(PatternError)
    }

    /// Whether the whole value matches; one of more than 4,096 bytes never does.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        if value.len() > VALUE {
            return false;
        }
        let steps = &self.steps;
        let (mut now, mut next) = (Places::new(steps.len()), Places::new(steps.len()));
        now.add(steps, 0, true, value.is_empty());
        let mut known = alloc::vec![None; self.sets.len()];
        let mut characters = value.chars().peekable();
        while let Some(character) = characters.next() {
            let is_last = characters.peek().is_none();
            // A set that is repeated stands at many steps, and says the same of a character at all of them.
            known.fill(None);
            for at in mem::take(&mut now.reached) {
                if steps.get(at).is_some_and(|step| self.takes(step, character, &mut known)) {
                    next.add(steps, at + 1, false, is_last);
                }
            }
            now.seen.fill(false);
            mem::swap(&mut now, &mut next);
            if now.reached.is_empty() {
                return false;
            }
        }
        now.reached.contains(&steps.len())
    }

    /// `known` is what the sets have said of this character.
    fn takes(&self, step: &Step, character: char, known: &mut [Option<bool>]) -> bool {
        match step {
            Step::Character(wanted) => *wanted == character,
            Step::Any => true,
            Step::Set(at) => self
                .sets
                .get(*at)
                .zip(known.get_mut(*at))
                .is_some_and(|(set, known)| *known.get_or_insert_with(|| set.has(character))),
            Step::Start | Step::End | Step::Jump(_) | Step::Fork(_) => false,
        }
    }
}

impl Set {
    fn has(&self, character: char) -> bool {
        self.members.iter().any(|member| member.has(character)) != self.is_negated
    }
}

impl Member {
    fn has(self, character: char) -> bool {
        match self {
            Member::Range(first, last) => (first..=last).contains(&character),
            Member::Class(is_of) => is_of(character),
            Member::NotClass(is_of) => !is_of(character),
        }
    }
}

/// The steps at which a match can be.
struct Places {
    seen: Vec<bool>,
    /// Those of them that take a character, and the place behind the last step.
    reached: Vec<usize>,
}

impl Places {
    fn new(steps: usize) -> Places {
        Places { seen: alloc::vec![false; steps + 1], reached: Vec::new() }
    }

    /// Adds a step, and all that can be reached from it without a character.
    fn add(&mut self, steps: &[Step], at: usize, is_start: bool, is_end: bool) {
        let mut open = alloc::vec![at];
        while let Some(at) = open.pop() {
            match self.seen.get_mut(at) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            match steps.get(at) {
                Some(Step::Jump(by)) => open.extend(at.checked_add_signed(*by)),
                Some(Step::Fork(by)) => {
                    open.extend(at.checked_add_signed(*by));
                    open.push(at + 1);
                }
                Some(Step::Start) => open.extend(is_start.then_some(at + 1)),
                Some(Step::End) => open.extend(is_end.then_some(at + 1)),
                _ => self.reached.push(at),
            }
        }
    }
}

struct Reader<'a> {
    text: core::iter::Peekable<core::str::Chars<'a>>,
    sets: Vec<Set>,
    /// How many steps may still be written.
    left: usize,
}

impl Reader<'_> {
    fn read(mut self) -> Option<Pattern> {
        let mut groups = alloc::vec![Group::default()];
        while let Some(character) = self.text.next() {
            let depth = groups.len();
            let group = groups.last_mut()?;
            match character {
                '(' if depth > GROUPS => return None,
                '(' => groups.push(Group::default()),
                ')' => {
                    let steps = self.close(groups.pop()?)?;
                    let group = groups.last_mut()?;
                    group.last = Some(group.sequence.len());
                    group.sequence.extend(steps);
                }
                '|' => {
                    group.alternatives.push(mem::take(&mut group.sequence));
                    group.last = None;
                }
                '*' => self.repeat(group, 0, None)?,
                '+' => self.repeat(group, 1, None)?,
                '?' => self.repeat(group, 0, Some(1))?,
                '{' => {
                    let (least, most) = self.counts()?;
                    self.repeat(group, least, most)?;
                }
                '.' => self.push(group, Step::Any)?,
                '^' => self.push(group, Step::Start)?,
                '$' => self.push(group, Step::End)?,
                '[' => {
                    let set = self.set()?;
                    self.push_set(group, set)?;
                }
                '\\' => match escaped(self.text.next()?)? {
                    Escaped::Character(character) => self.push(group, Step::Character(character))?,
                    Escaped::Class(member) => {
                        self.push_set(group, Set { is_negated: false, members: alloc::vec![member] })?;
                    }
                },
                character => self.push(group, Step::Character(character))?,
            }
        }
        let whole = groups.pop()?;
        if !groups.is_empty() {
            return None;
        }
        Some(Pattern { steps: self.close(whole)?, sets: self.sets })
    }

    fn spend(&mut self, steps: usize) -> Option<()> {
        self.left = self.left.checked_sub(steps)?;
        Some(())
    }

    fn push(&mut self, group: &mut Group, step: Step) -> Option<()> {
        self.spend(1)?;
        group.last = Some(group.sequence.len());
        group.sequence.push(step);
        Some(())
    }

    fn push_set(&mut self, group: &mut Group, set: Set) -> Option<()> {
        self.sets.push(set);
        self.push(group, Step::Set(self.sets.len() - 1))
    }

    /// Puts what is alternative behind each other, with forks.
    fn close(&mut self, group: Group) -> Option<Vec<Step>> {
        let mut steps = group.sequence;
        for alternative in group.alternatives.into_iter().rev() {
            // What stands behind is moved each time: that costs as well.
            self.spend(2)?;
            let mut both = alloc::vec![Step::Fork(isize::try_from(alternative.len() + 2).ok()?)];
            both.extend(alternative);
            both.push(Step::Jump(isize::try_from(steps.len() + 1).ok()?));
            both.append(&mut steps);
            steps = both;
        }
        Some(steps)
    }

    /// Repeats the last thing.
    fn repeat(&mut self, group: &mut Group, least: usize, most: Option<usize>) -> Option<()> {
        let part = group.sequence.split_off(group.last?);
        let behind = isize::try_from(part.len() + 1).ok()?;
        let optional = most.map_or(Some(1), |most| most.checked_sub(least))?;
        self.spend((part.len() + 2).checked_mul(least.checked_add(optional)?)?)?;
        for _ in 0..least {
            group.sequence.extend(part.iter().cloned());
        }
        for _ in 0..optional {
            let loops = most.is_none();
            group.sequence.push(Step::Fork(behind + isize::from(loops)));
            group.sequence.extend(part.iter().cloned());
            group.sequence.extend(loops.then_some(Step::Jump(-behind)));
        }
        Some(())
    }

    /// What stands behind `{`: `2}`, `2,}` or `2,3}`.
    fn counts(&mut self) -> Option<(usize, Option<usize>)> {
        let mut counts = [None, None];
        let mut place = 0;
        loop {
            match self.text.next()? {
                ',' if place == 0 => place = 1,
                '}' => break,
                digit => {
                    let digit = usize::try_from(digit.to_digit(10)?).ok()?;
                    let count = counts[place].unwrap_or(0_usize).checked_mul(10)?.checked_add(digit)?;
                    counts[place] = Some(count);
                }
            }
        }
        let least = counts[0]?;
        Some((least, if place == 0 { Some(least) } else { counts[1] }))
    }

    /// What stands behind `[`.
    fn set(&mut self) -> Option<Set> {
        let is_negated = self.text.next_if_eq(&'^').is_some();
        let (mut members, mut is_first) = (Vec::new(), true);
        loop {
            self.spend(1)?;
            let first = match self.text.next()? {
                ']' if !is_first => return Some(Set { is_negated, members }),
                '[' if self.text.next_if_eq(&':').is_some() => {
                    members.push(Member::Class(self.class()?));
                    is_first = false;
                    continue;
                }
                '\\' => match escaped(self.text.next()?)? {
                    Escaped::Character(character) => character,
                    Escaped::Class(member) => {
                        members.push(member);
                        is_first = false;
                        continue;
                    }
                },
                character => character,
            };
            is_first = false;
            if self.text.next_if_eq(&'-').is_none() {
                members.push(Member::Range(first, first));
                continue;
            }
            // A dash at the end stands for itself.
            if self.text.peek() == Some(&']') {
                members.extend([Member::Range(first, first), Member::Range('-', '-')]);
                continue;
            }
            let last = match self.text.next()? {
                '\\' => match escaped(self.text.next()?)? {
                    Escaped::Character(character) => character,
                    Escaped::Class(_) => return None,
                },
                character => character,
            };
            if last < first {
                return None;
            }
            members.push(Member::Range(first, last));
        }
    }

    /// What stands behind `[:`, with `:]`.
    fn class(&mut self) -> Option<fn(char) -> bool> {
        let mut name = [0_u8; 8];
        let mut length = 0;
        loop {
            match self.text.next()? {
                ':' => break,
                letter => *name.get_mut(length)? = u8::try_from(letter).ok()?,
            }
            length += 1;
        }
        self.text.next_if_eq(&']')?;
        Some(match &name[..length] {
            b"alpha" => char::is_alphabetic,
            b"digit" => |character| character.is_ascii_digit(),
            b"alnum" => char::is_alphanumeric,
            b"upper" => char::is_uppercase,
            b"lower" => char::is_lowercase,
            b"space" => char::is_whitespace,
            b"blank" => |character| matches!(character, ' ' | '\t'),
            b"punct" => |character| character.is_ascii_punctuation(),
            b"xdigit" => |character| character.is_ascii_hexdigit(),
            b"cntrl" => char::is_control,
            b"print" => |character| !character.is_control(),
            b"graph" => |character| !character.is_control() && !character.is_whitespace(),
            _ => return None,
        })
    }
}

enum Escaped {
    Character(char),
    Class(Member),
}

/// What stands behind a backslash. The classes are no part of POSIX, but many write them.
fn escaped(character: char) -> Option<Escaped> {
    const DIGIT: fn(char) -> bool = |character| character.is_ascii_digit();
    const WORD: fn(char) -> bool = |character| character.is_alphanumeric() || character == '_';
    Some(match character {
        'd' => Escaped::Class(Member::Class(DIGIT)),
        'D' => Escaped::Class(Member::NotClass(DIGIT)),
        'w' => Escaped::Class(Member::Class(WORD)),
        'W' => Escaped::Class(Member::NotClass(WORD)),
        's' => Escaped::Class(Member::Class(char::is_whitespace)),
        'S' => Escaped::Class(Member::NotClass(char::is_whitespace)),
        't' => Escaped::Character('\t'),
        'n' => Escaped::Character('\n'),
        // Others have meanings elsewhere: rather none than another one.
        letter if letter.is_alphanumeric() => return None,
        character => Escaped::Character(character),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    // XEP-0122 1.0.2 §3.2.4 [FV9]
    #[test]
    fn patterns_of_posix() {
        for (pattern, yes, no) in [
            ("", &[""][..], &["a"][..]),
            ("abc", &["abc"], &["ab", "abcd", "xabc", ""]),
            ("a|bc|", &["a", "bc", ""], &["abc", "b"]),
            ("(ab)*c", &["c", "abc", "ababc"], &["ab", "aabc"]),
            ("(a*)*b", &["b", "aab"], &["a"]),
            ("a+b?", &["a", "aab"], &["b", "abb"]),
            ("a{2,3}", &["aa", "aaa"], &["a", "aaaa"]),
            ("a{2}", &["aa"], &["a", "aaa"]),
            ("a{0,}b", &["b", "aaab"], &["a"]),
            ("(a|bc){2}", &["aa", "abc", "bcbc"], &["a", "abca"]),
            ("^[0-9]+$", &["0", "42"], &["", "4a"]),
            ("a^b", &[], &["ab", "a^b"]),
            ("[^a-c]", &["d", "\u{e4}"], &["a", "c", ""]),
            ("[]a-]+", &["]", "a-]"], &["b"]),
            ("[a-]", &["a", "-"], &["b"]),
            ("[[:alpha:]_]+", &["Stra\u{df}e_"], &["a1"]),
            ("[[:digit:][:space:]]*", &["1 2"], &["x"]),
            ("\\(\\d{3}\\)\\.", &["(123)."], &["(12)."]),
            ("[\\]\\d]+", &["]1"], &["a"]),
            ("\u{e4}.", &["\u{e4}\u{1f600}"], &["a\u{1f600}"]),
        ] {
            let read = Pattern::new(pattern).unwrap();
            for value in yes {
                assert!(read.matches(value), "{pattern} {value}");
            }
            for value in no {
                assert!(!read.matches(value), "{pattern} {value}");
            }
        }
        for wrong in [
            "(",
            ")",
            "*",
            "a|*",
            "[",
            "[a",
            "[b-a]",
            "a{",
            "a{,2}",
            "a{3,2}",
            "a{x}",
            "\\",
            "\\1",
            "[[:foo:]]",
            "()(",
        ] {
            assert!(Pattern::new(wrong).is_err(), "{wrong}");
        }
    }

    // XEP-0122 1.0.2 §3.2.4 [FV9]: what is foreign is bounded.
    #[test]
    fn large_ones_are_none() {
        for large in ["a{2049}", "(a{99}){99}", "((((a{9}){9}){9}){9}){9}", "a{99999999999999999999}"] {
            assert!(Pattern::new(large).is_err(), "{large}");
        }
        assert!(Pattern::new(&"(".repeat(100)).is_err());
        assert!(Pattern::new(&"a".repeat(2_048)).is_ok());
        // A pattern for which those that try one way after the other take for ever.
        let slow = Pattern::new("(a|aa)*(a|aa)*(a*)*b").unwrap();
        assert!(!slow.matches(&"a".repeat(VALUE)));
        assert!(Pattern::new("a*").unwrap().matches(&"a".repeat(VALUE)));
        assert!(!Pattern::new("a*").unwrap().matches(&"a".repeat(VALUE + 1)));
    }

    // A set that is repeated is one set: each character is held against it once, however many places a match can be at.
    #[test]
    fn a_set_is_asked_once_for_each_character() {
        use core::sync::atomic::{AtomicUsize, Ordering};

        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let mut pattern = Pattern::new("([x]*){200}").unwrap();
        pattern.sets[0].members = alloc::vec![Member::Class(|_| {
            ASKED.fetch_add(1, Ordering::Relaxed);
            true
        })];
        assert!(pattern.matches(&"x".repeat(50)));
        assert_eq!(ASKED.load(Ordering::Relaxed), 50);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_pattern_or_none(pattern in "[ab(){},|*+?^$.\\\\\\[\\]:0-9-]{0,24}", value in "[ab]{0,12}") {
            if let Ok(pattern) = Pattern::new(&pattern) {
                assert!(pattern.steps.len() <= STEPS + 2 && pattern.sets.len() <= STEPS);
                let _ = pattern.matches(&value);
            }
        }

        #[test]
        fn a_text_matches_itself(text in "\\PC{0,12}") {
            let pattern: String = text.chars().flat_map(|character| {
                let escape = !character.is_alphanumeric();
                escape.then_some('\\').into_iter().chain([character])
            }).collect();
            assert!(Pattern::new(&pattern).unwrap().matches(&text));
        }
    }
}
