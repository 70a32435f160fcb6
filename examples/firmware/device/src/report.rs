//! How a lamp ends: it says what it has needed.

use crate::debugger::{check, end, say_number};
use crate::{heap, stack};

/// Checks that the story is over, says what it has taken, and ends the program. `rest` is the most memory in use while nothing happened.
pub(crate) fn finish(is_over: bool, rest: usize) -> ! {
    check(is_over, "the story is not over");
    check(rest > 0, "it was never at rest");
    say_number("figure rest", rest);
    say_number("figure arena", heap::ARENA);
    say_number("figure allocations", heap::allocations());
    say_number("figure stack", stack::used());
    end(true)
}
