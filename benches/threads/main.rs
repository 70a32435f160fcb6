//! How much more a server does on two threads than on one: messages between clients in memory, without sockets, so that nothing but the server is
//! the limit. What its clients say is made before; of what they hear the bytes are counted, and the last ones looked at.
//!
//! `cargo bench -p balcony-benches --bench threads -- [SECONDS [ROUNDS]]`; `cargo test` runs it for a moment.
#![allow(clippy::disallowed_methods, reason = "a benchmark has a clock and threads")]

mod common;
mod world;

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use balcony_server::{ConnectionId, Input, Todo};

use crate::common::Parts;
use crate::world::{Machine, NOW, Said, World};

/// As `balcony` has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bytes of a message's text.
const SIZE: usize = 100;
/// Messages that one says at once.
const CHUNK: usize = 16;
/// How many of those may be on their way.
const WINDOW: u64 = 2;
const PAIRS: usize = 40;

/// A round counts if its threads waited for a processor for no more of the time than this; if there is none, the quietest quarter.
const QUIET: f64 = 0.02;

/// What is measured: how many shards on how many threads.
const FORMS: [(usize, usize); 3] = [(1, 1), (2, 1), (2, 2)];

/// What the threads see of one pair; on lines of the processor's cache of its own.
#[derive(Default)]
#[repr(align(128))]
struct Heard(AtomicU64);

/// What one thread does.
struct Worker {
    /// The shards that it has, and their numbers.
    shards: Vec<(usize, Machine)>,
    talk: Arc<Talk>,
    /// By place, of those that it has.
    sockets: Vec<Option<Socket>>,
    /// The places of those of them that write.
    writers: Vec<(usize, usize)>,
}

/// What all threads have in common.
struct Talk {
    parts: Arc<Parts>,
    said: Vec<Said>,
    /// How many bytes of each pair have been heard.
    heard: Vec<Heard>,
    /// The shard of whoever writes, of each pair.
    from: Vec<usize>,
    is_over: AtomicBool,
}

struct Socket {
    id: ConnectionId,
    /// The server wants to read of it.
    reads: bool,
    /// How often it has said what it says.
    said: u64,
}

impl Worker {
    /// Until it is over.
    fn run(mut self) -> Cpu {
        for (number, _) in &self.shards {
            self.talk.parts.is_here(*number);
        }
        pin(self.shards.first().map_or(0, |(number, _)| *number));
        let before = Cpu::of_thread();
        while !self.talk.is_over.load(Ordering::Relaxed) {
            let mut is_busy = false;
            for place in 0..self.shards.len() {
                is_busy |= self.turn(place);
            }
            if !is_busy {
                thread::park();
            }
        }
        Cpu::of_thread().since(before)
    }

    /// A shard has what has come, and does all that follows. Whether there was anything, or is more.
    fn turn(&mut self, place: usize) -> bool {
        let (number, shard) = &mut self.shards[place];
        let talk = &*self.talk;
        let mut is_busy = talk.parts.take_call(*number);
        if is_busy {
            shard.called();
        }
        for (_, place) in self.writers.iter().filter(|(shard, _)| shard == number) {
            let (Some(socket), said) = (&mut self.sockets[*place], &talk.said[place / 2]) else { continue };
            let heard = talk.heard[place / 2].0.load(Ordering::Relaxed) / said.heard.len() as u64;
            if socket.reads && socket.said < heard + WINDOW {
                (socket.reads, socket.said) = (false, socket.said + 1);
                shard.handle(NOW, Input::Received(socket.id, &said.bytes));
                is_busy = true;
            }
        }
        while let Some(todo) = shard.next() {
            is_busy = true;
            match todo {
                Todo::Write(&mut place, bytes) => {
                    let socket = self.sockets[place].as_mut().expect("a socket of this thread");
                    assert_eq!(place % 2, 1, "who writes is told: {}", String::from_utf8_lossy(&bytes));
                    talk.hear(place / 2, *number, &bytes);
                    shard.handle(NOW, Input::Written(socket.id));
                }
                Todo::Read(&mut place) => {
                    self.sockets[place].as_mut().expect("a socket of this thread").reads = true;
                }
                other => panic!("{other:?}"),
            }
        }
        is_busy || shard.has_more()
    }
}

impl Talk {
    /// A shard writes this to the second of a pair.
    fn hear(&self, pair: usize, shard: usize, bytes: &[u8]) {
        let (heard, all) = (&self.heard[pair].0, &self.said[pair].heard);
        // Nobody else writes it.
        let count = heard.load(Ordering::Relaxed) + bytes.len() as u64;
        let end = usize::try_from(count % all.len() as u64).expect("less than its length");
        let end = if end == 0 { all.len() } else { end };
        let last = bytes.len().min(end).min(64);
        assert!(all[..end].ends_with(&bytes[bytes.len() - last..]), "it hears something else");
        heard.store(count, Ordering::Relaxed);
        if self.from[pair] != shard {
            self.parts.wake(self.from[pair]);
        }
    }

    /// How many messages have been heard.
    fn messages(&self) -> u64 {
        let of_pair = |(heard, said): (&Heard, &Said)| {
            heard.0.load(Ordering::Relaxed) * CHUNK as u64 / said.heard.len() as u64
        };
        self.heard.iter().zip(&self.said).map(of_pair).sum()
    }
}

/// What the system says of a thread, or of several: how long it had a processor, and how long it waited for one.
#[derive(Clone, Copy, Default)]
struct Cpu {
    had: Duration,
    waited: Duration,
}

impl Cpu {
    /// Of this one; nothing where the system does not tell.
    fn of_thread() -> Cpu {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let mut nanos = text.split(' ').map(|number| Duration::from_nanos(number.parse().unwrap_or(0)));
        let mut next = || nanos.next().unwrap_or_default();
        Cpu { had: next(), waited: next() }
    }

    fn since(self, before: Cpu) -> Cpu {
        Cpu { had: self.had.saturating_sub(before.had), waited: self.waited.saturating_sub(before.waited) }
    }
}

/// Keeps this thread on one of the processors, so that nobody moves it; where that can't be done it goes on without.
fn pin(place: usize) {
    let Ok(all) = rustix::thread::sched_getaffinity(None) else { return };
    let allowed: Vec<usize> = (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu)).collect();
    let mut own = rustix::thread::CpuSet::new();
    own.set(allowed[place % allowed.len()]);
    let _ = rustix::thread::sched_setaffinity(None, &own);
}

/// What came of one run.
#[derive(Clone, Copy)]
struct Outcome {
    /// Messages in a second.
    rate: f64,
    /// Messages in a second of processor time.
    per_cpu: f64,
    /// For how much of the time its threads waited for a processor that something else had.
    disturbed: f64,
    /// For how long the hub was waited for and had for a message, in nanoseconds, and for how many messages at once.
    waited: f64,
    had: f64,
    batch: f64,
    /// How long it took from one processor to the other, then.
    way: Duration,
}

/// A server in so many shards on so many threads, for so long.
fn run((shards, threads): (usize, usize), time: Duration) -> Outcome {
    let mut world = World::new(shards, PAIRS);
    let said = world.chat();
    let from = (0..PAIRS).map(|pair| world.clients[2 * pair].shard).collect();
    let heard = (0..PAIRS).map(|_| Heard::default()).collect();
    let (parts, is_over) = (Arc::clone(&world.parts), AtomicBool::new(false));
    let talk = Arc::new(Talk { parts, said, heard, from, is_over });
    let worker = |_| Worker {
        shards: Vec::new(),
        talk: Arc::clone(&talk),
        sockets: world.clients.iter().map(|_| None).collect(),
        writers: Vec::new(),
    };
    let mut workers: Vec<Worker> = (0..threads).map(worker).collect();
    for (place, client) in world.clients.iter().enumerate() {
        let worker = &mut workers[client.shard % threads];
        worker.sockets[place] = Some(Socket { id: client.id, reads: true, said: 0 });
        if place.is_multiple_of(2) {
            worker.writers.push((client.shard, place));
        }
    }
    for (number, shard) in world.shards.drain(..).enumerate() {
        workers[number % threads].shards.push((number, shard));
    }
    talk.parts.take_times();
    let start = Instant::now();
    // A profiler tells the forms apart by that.
    let name = format!("{shards} on {threads}");
    let spawn =
        |worker: Worker| thread::Builder::new().name(name.clone()).spawn(|| worker.run()).expect("a thread");
    let handles: Vec<_> = workers.into_iter().map(spawn).collect();
    thread::sleep(time);
    let (messages, time) = (talk.messages(), start.elapsed());
    talk.is_over.store(true, Ordering::Relaxed);
    (0..shards).for_each(|shard| talk.parts.wake(shard));
    let cpus = handles.into_iter().map(|handle| handle.join().expect("a thread has failed"));
    let cpu =
        cpus.fold(Cpu::default(), |all, one| Cpu { had: all.had + one.had, waited: all.waited + one.waited });
    let per = |time: Duration| messages as f64 / time.as_secs_f64();
    let disturbed = cpu.waited.as_secs_f64() / (threads as f64 * time.as_secs_f64());
    let (waited, had, meetings) = talk.parts.take_times();
    let each = |time: Duration| time.as_nanos() as f64 / messages as f64;
    let (waited, had, batch) = (each(waited), each(had), messages as f64 / meetings as f64);
    Outcome { rate: per(time), per_cpu: per(cpu.had), disturbed, waited, had, batch, way: Duration::ZERO }
}

fn median(outcomes: &[Outcome], of: impl Fn(&Outcome) -> f64) -> f64 {
    let mut all: Vec<f64> = outcomes.iter().map(of).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let is_bench = args.iter().any(|arg| arg == "--bench");
    let mut numbers = args.iter().filter_map(|arg| arg.parse::<f64>().ok());
    let (seconds, rounds) = if is_bench { (0.5, 20.0) } else { (0.05, 1.0) };
    let time = Duration::from_secs_f64(numbers.next().unwrap_or(seconds));
    let rounds = numbers.next().unwrap_or(rounds).max(1.0) as usize;
    let mut outcomes: [Vec<Outcome>; FORMS.len()] = Default::default();
    for _ in 0..rounds {
        for (outcomes, form) in outcomes.iter_mut().zip(FORMS) {
            let before = way();
            let outcome = run(form, time);
            outcomes.push(Outcome { way: before.max(way()), ..outcome });
        }
    }
    println!(
        "{PAIRS} pairs, messages of {SIZE} bytes, up to {} of each pair on their way",
        WINDOW * CHUNK as u64
    );
    println!(
        "shards  threads  rounds  disturbed  messages a second        a second of CPU       \
         ns of a message with the hub, waiting  messages at once"
    );
    let base = quiet(&outcomes[0]);
    for (of_form, (shards, threads)) in outcomes.iter().zip(FORMS) {
        let ways = of_form.iter().map(|outcome| outcome.way);
        let (least, most) = (ways.clone().min().unwrap_or_default(), ways.max().unwrap_or_default());
        // A virtual machine's processors are moved about.
        let is_moved = threads > 1 && most > least.mul_f64(1.5);
        let (near, far): (Vec<Outcome>, Vec<Outcome>) =
            of_form.iter().partition(|outcome| !is_moved || outcome.way < least.mul_f64(1.5));
        for (of_form, where_) in [(near, "near each other"), (far, "far from each other")] {
            if of_form.is_empty() {
                continue;
            }
            let quiet = quiet(&of_form);
            let (rate, per_cpu) = (median(&quiet, |one| one.rate), median(&quiet, |one| one.per_cpu));
            print!(
                "{shards:6} {threads:8} {:7} {:8.1} % {rate:12.0} {:6.2} × {per_cpu:12.0} {:6.2} × {:16.0} {:14.0} {:16.0}",
                quiet.len(),
                100.0 * median(&quiet, |one| one.disturbed),
                rate / median(&base, |one| one.rate),
                per_cpu / median(&base, |one| one.per_cpu),
                median(&quiet, |one| one.had),
                median(&quiet, |one| one.waited),
                median(&quiet, |one| one.batch),
            );
            let way = median(&quiet, |one| one.way.as_nanos() as f64);
            match threads {
                1 => println!(),
                _ if is_moved => println!("  processors {where_}: {way} ns"),
                _ => println!("  from one processor to the other: {way} ns"),
            }
        }
    }
}

/// The rounds in which nobody disturbed it; the quietest ones if there was always somebody.
fn quiet(outcomes: &[Outcome]) -> Vec<Outcome> {
    let mut all = outcomes.to_vec();
    all.sort_by(|one, other| one.disturbed.total_cmp(&other.disturbed));
    let count = all.iter().filter(|one| one.disturbed < QUIET).count();
    all.truncate(count.max(all.len().div_ceil(4)));
    all
}

/// How long it takes until one processor sees what another one has written.
fn way() -> Duration {
    const TIMES: u32 = 10_000;
    if thread::available_parallelism().is_ok_and(|count| count.get() == 1) {
        return Duration::ZERO;
    }
    let turn = Arc::new(Heard::default());
    let others = Arc::clone(&turn);
    let wait = |turn: &Heard, number| {
        let mut looks = 0;
        while turn.0.load(Ordering::Acquire) != number {
            looks += 1;
            if looks % 10_000 == 0 { thread::yield_now() } else { core::hint::spin_loop() }
        }
    };
    let other = thread::spawn(move || {
        pin(1);
        for number in 0..u64::from(TIMES) {
            wait(&others, 2 * number + 1);
            others.0.store(2 * number + 2, Ordering::Release);
        }
    });
    let here = thread::spawn(move || {
        pin(0);
        let mut times = Vec::new();
        for number in 0..u64::from(TIMES) {
            let start = Instant::now();
            turn.0.store(2 * number + 1, Ordering::Release);
            wait(&turn, 2 * number + 2);
            times.push(start.elapsed() / 2);
        }
        times.sort();
        times[times.len() / 2]
    });
    other.join().expect("it does not fail");
    here.join().expect("it does not fail")
}
