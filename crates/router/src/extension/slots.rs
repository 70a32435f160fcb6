//! The states of extensions beside an account or a client. Extensions have types for them, and the router none; who knows nothing
//! of an account takes no room in it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;

/// What extensions know of one account or client. Whoever knows nothing has nothing here.
#[derive(Default)]
pub(crate) struct Slots {
    /// A bit for each extension that is here.
    bits: u64,
    /// By extension. They are few, so looking through them is fast.
    states: Vec<(u8, Box<dyn Any + Send + Sync>)>,
}

impl Slots {
    /// The extensions that are here, a bit each.
    pub(crate) const fn bits(&self) -> u64 {
        self.bits
    }

    pub(crate) fn get<T: 'static>(&self, index: u8) -> Option<&T> {
        if self.bits & bit(index) == 0 {
            return None;
        }
        self.states.iter().find(|(at, _)| *at == index)?.1.downcast_ref()
    }

    /// The state, to be changed. Afterwards call [`tidy`](Slots::tidy). `None` if there is one of another type, which never is.
    pub(crate) fn get_mut<T: Default + Send + Sync + 'static>(&mut self, index: u8) -> Option<&mut T> {
        if self.bits & bit(index) == 0 {
            self.set(index, T::default());
        }
        self.states.iter_mut().find(|(at, _)| *at == index)?.1.downcast_mut()
    }

    pub(crate) fn set<T: Send + Sync + 'static>(&mut self, index: u8, state: T) {
        self.remove(index);
        self.bits |= bit(index);
        self.states.push((index, Box::new(state)));
    }

    /// Forgets a state that is the default.
    pub(crate) fn tidy<T: PartialEq + 'static>(&mut self, index: u8, default: &T) {
        if self.get(index) == Some(default) {
            self.remove(index);
        }
    }

    fn remove(&mut self, index: u8) {
        if self.bits & bit(index) != 0 {
            self.bits &= !bit(index);
            self.states.retain(|(at, _)| *at != index);
        }
    }
}

/// The bit of an extension.
pub(crate) const fn bit(index: u8) -> u64 {
    1 << index
}

/// Who is here, and not what they know: there may be secrets in it.
impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots").field("bits", &self.bits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_takes_no_room() {
        let mut slots = Slots::default();
        assert_eq!(slots.get::<u32>(3), None);
        *slots.get_mut::<u32>(3).unwrap() = 7;
        *slots.get_mut::<bool>(5).unwrap() = true;
        assert_eq!(
            (slots.get::<u32>(3), slots.get::<bool>(5), slots.bits()),
            (Some(&7), Some(&true), 0b10_1000)
        );
        slots.tidy(3, &0_u32);
        assert_eq!(slots.get::<u32>(3), Some(&7));
        *slots.get_mut::<u32>(3).unwrap() = 0;
        slots.tidy(3, &0_u32);
        assert_eq!((slots.get::<u32>(3), slots.bits(), slots.states.len()), (None, 0b10_0000, 1));
    }
}
