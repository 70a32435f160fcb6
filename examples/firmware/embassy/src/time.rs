//! Embassy's time on the SysTick timer of the processor: a tick a millisecond.
//!
//! A device with a battery has a timer that wakes it when something is due, and not before.

use core::cell::RefCell;
use core::task::Waker;

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::exception;
use critical_section::Mutex;
use embassy_time_driver::Driver;

use crate::uart::HERTZ;

/// So many tasks wait for a time.
const TASKS: usize = 4;

struct SysTick(Mutex<RefCell<State>>);

struct State {
    millis: u64,
    /// Who is woken when.
    waiting: [Option<(u64, Waker)>; TASKS],
}

embassy_time_driver::time_driver_impl!(
    static DRIVER: SysTick = SysTick(Mutex::new(RefCell::new(State { millis: 0, waiting: [const { None }; TASKS] })))
);

/// Starts the timer.
pub(crate) fn start(timer: &mut SYST) {
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(HERTZ / 1_000 - 1);
    timer.clear_current();
    timer.enable_counter();
    timer.enable_interrupt();
}

impl Driver for SysTick {
    fn now(&self) -> u64 {
        critical_section::with(|token| self.0.borrow_ref(token).millis)
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|token| {
            let waiting = &mut self.0.borrow_ref_mut(token).waiting;
            let known = waiting.iter_mut().flatten().find(|(_, other)| other.will_wake(waker));
            if let Some((known, _)) = known {
                *known = at.min(*known);
            } else if let Some(free) = waiting.iter_mut().find(|place| place.is_none()) {
                *free = Some((at, waker.clone()));
            } else {
                // There is no place: it looks at the time by itself, and comes again.
                waker.wake_by_ref();
            }
        });
    }
}

/// A millisecond has passed.
#[exception]
fn SysTick() {
    critical_section::with(|token| {
        let state = &mut *DRIVER.0.borrow_ref_mut(token);
        state.millis += 1;
        for place in &mut state.waiting {
            if let Some((_, waker)) = place.take_if(|(at, _)| *at <= state.millis) {
                waker.wake();
            }
        }
    });
}
