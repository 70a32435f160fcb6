//! What a careless or hostile caller hands in: null, bytes of any kind, calls in any order. Nothing of it is more than an error.
#![allow(clippy::unwrap_used, reason = "tests")]

use core::ffi::{CStr, c_char};
use core::ptr;

use balcony_ffi::{
    BalconyClient, BalconyConfig, BalconyEvent, BalconyResult, BalconyStep, balcony_client_free,
    balcony_client_message, balcony_client_new, balcony_client_output, balcony_client_received,
    balcony_client_request, balcony_client_resume, balcony_client_send, balcony_client_step,
    balcony_client_tell, balcony_client_timeout, balcony_use_memory,
};
use proptest::prelude::*;

fn config(jid: *const c_char, tls: u32, trust: *const c_char) -> BalconyConfig {
    BalconyConfig { jid, password: c"r".as_ptr(), trust, tls, takes_requests: 0, seed: [7; 32] }
}

fn new(config: &BalconyConfig) -> (BalconyResult, *mut BalconyClient) {
    let mut client = ptr::dangling_mut();
    // SAFETY: both are there, and the texts end with a zero.
    let result = unsafe { balcony_client_new(config, 0, &raw mut client) };
    assert_eq!(result == BalconyResult::Ok, !client.is_null());
    (result, client)
}

/// A client, and its end.
struct Owned(*mut BalconyClient);

impl Owned {
    fn new() -> Self {
        let (result, client) = new(&config(c"romeo@localhost/c".as_ptr(), 2, ptr::null()));
        assert_eq!(result, BalconyResult::Ok);
        Owned(client)
    }

    fn step(&self, now: u64) -> (BalconyStep, String) {
        let mut event = BalconyEvent { id: 0, text: ptr::null(), length: 0 };
        // SAFETY: both are there.
        let step = unsafe { balcony_client_step(self.0, now, &raw mut event) };
        // SAFETY: it is never null, and ends with a zero.
        let text = unsafe { CStr::from_ptr(event.text) };
        assert_eq!(text.count_bytes(), event.length);
        (step, text.to_str().unwrap().to_owned())
    }

    fn output(&self) -> Vec<u8> {
        let mut bytes = ptr::null();
        // SAFETY: both are there, and the bytes last until the next call.
        unsafe {
            let length = balcony_client_output(self.0, 0, &raw mut bytes);
            core::slice::from_raw_parts(bytes, length).to_vec()
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: it was made by `balcony_client_new`, and this is its end.
        unsafe { balcony_client_free(self.0) };
    }
}

#[test]
fn null_is_refused() {
    // SAFETY: each function may be given null.
    unsafe {
        assert_eq!(balcony_client_new(ptr::null(), 0, ptr::null_mut()), BalconyResult::Misuse);
        let mut event = BalconyEvent { id: 0, text: ptr::null(), length: 0 };
        assert_eq!(balcony_client_step(ptr::null_mut(), 0, &raw mut event), BalconyStep::Failed);
        assert_eq!(CStr::from_ptr(event.text), c"there is no client");
        assert_eq!(balcony_client_step(ptr::null_mut(), 0, ptr::null_mut()), BalconyStep::Failed);
        assert_eq!(balcony_client_output(ptr::null_mut(), 0, ptr::null_mut()), 0);
        assert_eq!(balcony_client_received(ptr::null_mut(), ptr::null(), 1), 0);
        assert_eq!(balcony_client_timeout(ptr::null(), 0), -1);
        assert_eq!(balcony_client_send(ptr::null_mut(), 0, c"<presence/>".as_ptr()), BalconyResult::Misuse);
        let (none, mut id) = (ptr::null(), 0);
        let request = balcony_client_request(ptr::null_mut(), 0, 0, none, none, 1, &raw mut id);
        assert_eq!(request, BalconyResult::Misuse);
        assert_eq!(balcony_client_resume(ptr::null_mut(), 0, ptr::null()), BalconyResult::Misuse);
        assert_eq!(balcony_client_tell(ptr::null_mut(), 0, 0), BalconyResult::Misuse);
        assert_eq!(balcony_client_message(ptr::null_mut(), 0, none, none, none), BalconyResult::Misuse);
        balcony_client_free(ptr::null_mut());
        // Memory of the system is in use by now.
        assert_eq!(balcony_use_memory(None, None), BalconyResult::Misuse);
        let client = Owned::new();
        // How much would be taken.
        assert_eq!(balcony_client_received(client.0, none.cast(), 1), 1);
        assert_eq!(balcony_client_received(client.0, none.cast(), usize::MAX), 65_536);
        assert_eq!(balcony_client_message(client.0, 0, none, none, none), BalconyResult::Misuse);
        assert_eq!(balcony_client_tell(client.0, 0, 4), BalconyResult::BadText);
        assert_eq!(balcony_client_send(client.0, 0, ptr::null()), BalconyResult::Misuse);
    }
}

#[test]
fn a_configuration_that_is_none_is_refused() {
    let refused = |config: &BalconyConfig| new(config).0;
    assert_eq!(refused(&config(ptr::null(), 0, ptr::null())), BalconyResult::Misuse);
    assert_eq!(refused(&config(c"@".as_ptr(), 2, ptr::null())), BalconyResult::BadText);
    assert_eq!(refused(&config(c"\xff@localhost".as_ptr(), 2, ptr::null())), BalconyResult::BadText);
    assert_eq!(refused(&config(c"romeo@localhost".as_ptr(), 3, ptr::null())), BalconyResult::BadText);
    assert_eq!(refused(&config(c"romeo@localhost".as_ptr(), 0, c"none".as_ptr())), BalconyResult::BadTrust);
    let forgotten = BalconyConfig { seed: [0; 32], ..config(c"romeo@localhost".as_ptr(), 2, ptr::null()) };
    assert_eq!(refused(&forgotten), BalconyResult::Misuse);
}

#[test]
fn a_login_begins_and_its_time_is_over() {
    let client = Owned::new();
    assert_eq!(client.step(5).0, BalconyStep::Wait);
    assert!(client.output().starts_with(b"<?xml"), "{:?}", client.output());
    // SAFETY: it is there.
    let timeout = unsafe { balcony_client_timeout(client.0, 5) };
    assert!(timeout > 0, "{timeout}");
    // SAFETY: it is there, and the text ends with a zero.
    let early = unsafe { balcony_client_send(client.0, 5, c"<presence/>".as_ptr()) };
    assert_eq!(early, BalconyResult::Misuse);
    let (step, text) = loop {
        match client.step(10_000_000) {
            (BalconyStep::Wait, _) => {}
            ended => break ended,
        }
    };
    assert!(matches!(step, BalconyStep::Failed) && text.contains("time"), "{step:?}: {text}");
    assert_eq!(client.step(10_000_001).0, BalconyStep::Failed);
}

#[derive(Clone, Debug)]
enum Call {
    Step,
    Received(Vec<u8>),
    Wrote(usize),
    Send(Vec<u8>),
    Request(Vec<u8>, Vec<u8>),
    Message(Vec<u8>, Vec<u8>),
    Tell(u32),
    Resume,
}

fn texts() -> impl Strategy<Value = Vec<u8>> {
    let some = prop::sample::select(vec![
        "<presence/>",
        "<message to='a@b'><body>x</body></message>",
        "<iq/>",
        "a@b",
        "<x xmlns='y'/>",
        "<a",
        "",
    ]);
    prop_oneof![some.prop_map(|text| text.as_bytes().to_vec()), prop::collection::vec(1_u8.., 0..40)]
        .prop_map(|mut text| {
            text.retain(|byte| *byte != 0);
            text.push(0);
            text
        })
}

fn calls() -> impl Strategy<Value = Call> {
    let from_server = prop::sample::select(vec![
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' id='1'>",
        "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1</mechanism></mechanisms></stream:features>",
        "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
        "</stream:stream>",
        "",
    ]);
    prop_oneof![
        4 => Just(Call::Step),
        4 => from_server.prop_map(|text| Call::Received(text.as_bytes().to_vec())),
        1 => prop::collection::vec(any::<u8>(), 0..30).prop_map(Call::Received),
        1 => any::<usize>().prop_map(Call::Wrote),
        2 => texts().prop_map(Call::Send),
        1 => (texts(), texts()).prop_map(|(to, payload)| Call::Request(to, payload)),
        1 => (texts(), texts()).prop_map(|(to, body)| Call::Message(to, body)),
        1 => (0_u32..6).prop_map(Call::Tell),
        1 => Just(Call::Resume),
    ]
}

proptest! {
    // Any calls in any order: all are answered, and what is read is within bounds.
    #[test]
    fn any_calls_are_answered(calls in prop::collection::vec(calls(), 0..30)) {
        let client = Owned::new();
        for (now, call) in (0_u64..).zip(calls) {
            // SAFETY: the client is there, and the texts end with a zero.
            unsafe {
                match call {
                    Call::Step => drop(client.step(now)),
                    Call::Received(bytes) => {
                        let taken = balcony_client_received(client.0, bytes.as_ptr(), bytes.len());
                        prop_assert!(taken <= bytes.len());
                    }
                    Call::Wrote(count) => {
                        balcony_client_output(client.0, count, ptr::null_mut());
                    }
                    Call::Send(text) => { let _ = balcony_client_send(client.0, now, text.as_ptr().cast()); },
                    Call::Request(to, payload) => {
                        let (to, payload, mut id) = (to.as_ptr().cast(), payload.as_ptr().cast(), 0);
                        let _ = balcony_client_request(client.0, now, 1, to, payload, 10, &raw mut id);
                    }
                    Call::Tell(what) => {
                        let _ = balcony_client_tell(client.0, now, what);
                    }
                    Call::Message(to, body) => {
                        let (to, body) = (to.as_ptr().cast(), body.as_ptr().cast());
                        let _ = balcony_client_message(client.0, now, to, body, body);
                    }
                    Call::Resume => { let _ = balcony_client_resume(client.0, now, [9; 32].as_ptr()); },
                }
                prop_assert!(balcony_client_timeout(client.0, now) >= -1);
            }
            let _ = client.output();
        }
    }
}
