//! A client for a device: no `std`, no TLS, no Unicode tables. It logs in, says that it is there, and answers every chat message.
//!
//! It is linked and measured, and runs nowhere: where a device has a radio, it has two functions that nobody can see through.
//! Its allocator never gives back, so that the allocator's own size is next to nothing.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::hint::black_box;
#[cfg(target_os = "none")]
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use balcony_client::{ClientConfig, ClientMachine, MachineEvent};
use balcony_jid::BareJid;
use balcony_machine::{Instant, Progress, Secret, Seed};
use balcony_sasl::{Mechanism, salt_password};
use balcony_stanza::{Kind, MessageType, PresenceType, Stanza};
use balcony_stream::TlsPolicy;
use balcony_stream::client::{ClientAnswer, ClientAsk};

/// What came in by the radio.
#[inline(never)]
fn receive(buffer: &mut Vec<u8>) -> Instant {
    black_box(buffer);
    black_box(Instant::ZERO)
}

/// What goes out.
#[inline(never)]
fn transmit(bytes: &mut Vec<u8>) {
    black_box(&*bytes);
    bytes.clear();
}

fn run() -> Option<()> {
    let account = BareJid::parse(black_box("juliet@example.com")).ok()?;
    let mut config = ClientConfig::new(account, Secret::new(String::from(black_box("pencil"))));
    config.stream.tls = TlsPolicy::None;
    config.stream.mechanisms = alloc::vec![Mechanism::ScramSha256];
    let mut client = ClientMachine::new(config, &Seed::from_u64(black_box(1)), Instant::ZERO);
    let (mut input, mut out) = (Vec::new(), Vec::new());
    loop {
        let now = receive(&mut input);
        let mut rest = input.as_slice();
        loop {
            match client.advance(now, &mut rest, &mut out).ok()? {
                Progress::Event(event) => happened(&mut client, now, event, &mut out)?,
                Progress::Closed => return Some(()),
                Progress::NeedInput | Progress::Blocked(_) => break,
            }
        }
        input.clear();
        transmit(&mut out);
    }
}

fn happened(client: &mut ClientMachine, now: Instant, event: MachineEvent, out: &mut Vec<u8>) -> Option<()> {
    match event {
        MachineEvent::Ask(ticket, ClientAsk::SaltPassword { hash, password, salt, iterations }) => {
            let salted = salt_password(hash, password.expose(), &salt, iterations).ok()?;
            client.answer(ticket, ClientAnswer::Salted(salted)).ok()?;
        }
        MachineEvent::Online(_) => client.send(now, &Stanza::presence(PresenceType::Available), out).ok()?,
        MachineEvent::Stanza(stanza) => {
            if let (Kind::Message(MessageType::Chat), Some(from)) = (stanza.head.kind, stanza.head.from) {
                client.send(now, &Stanza::message(MessageType::Chat).with_to(from), out).ok()?;
            }
        }
        _ => {}
    }
    Some(())
}

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    black_box(run());
    loop {
        core::hint::spin_loop();
    }
}

const HEAP: usize = 64 * 1024;

struct Heap(core::cell::UnsafeCell<[u8; HEAP]>, AtomicUsize);

// SAFETY: no octet is handed out twice.
unsafe impl Sync for Heap {}

#[global_allocator]
static MEMORY: Heap = Heap(core::cell::UnsafeCell::new([0; HEAP]), AtomicUsize::new(0));

// SAFETY: what is handed out is inside of the array, aligned, and nobody else's.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // With room for the alignment.
        let taken = self.1.fetch_add(layout.size() + layout.align(), Relaxed);
        if taken + layout.size() + layout.align() > HEAP {
            return core::ptr::null_mut();
        }
        // SAFETY: this and what is behind it, up to size and alignment, is inside of the array.
        let start = unsafe { self.0.get().cast::<u8>().add(taken) };
        // SAFETY: less than the alignment.
        unsafe { start.add(start.align_offset(layout.align())) }
    }

    unsafe fn dealloc(&self, _pointer: *mut u8, _layout: Layout) {}
}

// Elsewhere it is only looked at, beside what has `std`.
#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_info: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

// `core` and `alloc` come compiled for unwinding where there is an operating system, and name these two.

#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    loop {
        core::hint::spin_loop();
    }
}
