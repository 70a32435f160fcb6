//! Tokens: the exchange of the HT mechanisms, and which tokens a server keeps (XEP-0484).
#![allow(clippy::unwrap_used)]

use balcony_sasl::{
    Binding, KeptToken, MOST_CLIENTS, Mechanism, SaslCondition, TokenLogin, TokenProof, TokenUse, Tokens,
    derive_token, may_use_token,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

fn bindings() -> [Binding; 2] {
    [Binding::TlsExporter([3; 32]), Binding::TlsServerEndPoint([4; 48].into())]
}

// xeps.md 9.3, computed by another program; [FA26] [FA27]
#[test]
fn the_bytes_are_those_of_others() {
    let token = "WXZzciBwYmFmdmZnZiBqdmd1IGp2eXFhcmZm";
    let (login, initial) = TokenLogin::begin(Mechanism::HtSha256None, "user", token, &[]).unwrap();
    assert_eq!(STANDARD.encode(&initial), "dXNlcgCQl3h0YaGE4PqE7ADBOBGQtsTRao7ERTx7KsXn/Pk17Q==");
    let proof = TokenProof::read(Mechanism::HtSha256None, &initial, &[]).unwrap();
    assert!(proof.username() == "user" && proof.fits(token));
    let answer = proof.answer(token);
    let hex: String = answer.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "4e513409631474863b986c9f3e8c1e27ca29d1d7ab9ed4097e7afd6007bf9c62");
    assert!(login.is_proven(Some(&answer)));
    for wrong in [None, Some(&b""[..]), Some(&answer[..31]), Some(&[0; 32])] {
        assert!(!login.is_proven(wrong));
    }
    assert_eq!(
        format!("{login:?} {proof:?}"),
        "TokenLogin { mechanism: HtSha256None, .. } TokenProof { mechanism: HtSha256None, .. }"
    );
}

fn mechanism() -> impl Strategy<Value = Mechanism> {
    proptest::sample::select(Mechanism::for_tokens())
}

proptest! {
    // [FA10] [FA26]: only with the token, the mechanism and the channel that it was made for
    #[test]
    fn a_proof_is_for_one_token_mechanism_and_channel(
        mechanism in mechanism(), other in mechanism(), token in "[a-z]{1,9}", wrong in "[a-z]{1,9}",
        theirs in any::<[u8; 32]>(),
    ) {
        let ours = bindings();
        let (login, initial) = TokenLogin::begin(mechanism, "juliet", &token, &ours).unwrap();
        let proof = TokenProof::read(mechanism, &initial, &ours).unwrap();
        prop_assert_eq!(proof.fits(&wrong), wrong == token);
        prop_assert_eq!(login.is_proven(Some(&proof.answer(&wrong))), wrong == token);
        let proof = TokenProof::read(other, &initial, &ours).unwrap();
        prop_assert_eq!(proof.fits(&token), other == mechanism);
        let in_between = [Binding::TlsExporter(theirs), Binding::TlsServerEndPoint(theirs.into())];
        let proof = TokenProof::read(mechanism, &initial, &in_between).unwrap();
        prop_assert_eq!(proof.fits(&token), mechanism == Mechanism::HtSha256None);
    }

    // habits.md 3: no input is too strange
    #[test]
    fn any_bytes_are_read_or_refused(mechanism in mechanism(), data in proptest::collection::vec(any::<u8>(), 0..60)) {
        if let Err(failure) = TokenProof::read(mechanism, &data, &bindings()) {
            prop_assert_eq!(failure.condition, SaslCondition::MalformedRequest);
        }
    }
}

#[test]
fn there_has_to_be_something_to_bind_to() {
    for (mechanism, possible) in [
        (Mechanism::HtSha256None, [true, true]),
        (Mechanism::HtSha256Expr, [true, false]),
        (Mechanism::HtSha256Endp, [false, true]),
        (Mechanism::ScramSha1, [false, false]),
    ] {
        for (binding, possible) in bindings().iter().zip(possible) {
            let bindings = core::slice::from_ref(binding);
            assert_eq!(may_use_token(mechanism, bindings), possible);
            assert_eq!(TokenLogin::begin(mechanism, "user", "token", bindings).is_some(), possible);
            let data = [b"user\0".as_slice(), &[0; 32]].concat();
            assert_eq!(TokenProof::read(mechanism, &data, bindings).is_ok(), possible);
        }
    }
    assert!(TokenLogin::begin(Mechanism::HtSha256None, "", "token", &[]).is_none());
}

// [FA7] [FA8] [FA28]: a token belongs to all that it was made of
#[test]
fn tokens_are_derived() {
    let none = Mechanism::HtSha256None;
    let token = derive_token(&[1; 32], "a@b", "c", none, &[2; 16]);
    assert!(
        token.expose().len() == 43
            && token.expose() == derive_token(&[1; 32], "a@b", "c", none, &[2; 16]).expose()
    );
    for other in [
        derive_token(&[2; 32], "a@b", "c", none, &[2; 16]),
        derive_token(&[1; 32], "b@b", "c", none, &[2; 16]),
        derive_token(&[1; 32], "a@b", "d", none, &[2; 16]),
        derive_token(&[1; 32], "a@b", "c", Mechanism::HtSha256Expr, &[2; 16]),
        derive_token(&[1; 32], "a@b", "c", none, &[3; 16]),
    ] {
        assert_ne!(token.expose(), other.expose());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Give(u8, u64),
    Use(u8, bool),
    Revoke(u8),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_u8, 1..50_u64).prop_map(|(agent, lifetime)| Step::Give(agent, lifetime)),
        5 => (any::<u8>(), proptest::bool::weighted(0.2)).prop_map(|(which, end)| Step::Use(which, end)),
        1 => any::<u8>().prop_map(Step::Revoke),
        2 => (1..20_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    // XEP-0484 §3.5, §3.6, §5.1 [FA13] [FA14] [FA15] [FA16] [FA18] [FA23] [FA24]
    #[test]
    fn tokens_end_when_they_have_to(steps in proptest::collection::vec(step(), 1..40)) {
        let mut tokens = Tokens::default();
        let (mut now, mut next) = (1_000, 0);
        for step in steps {
            let before = tokens.clone();
            match step {
                Step::Give(agent, lifetime) => {
                    next += 1;
                    let agent = agent.to_string();
                    tokens.put(KeptToken {
                        id: next, agent: agent.clone(), name: String::new(), mechanism: Mechanism::HtSha256None,
                        random: [0; 16], given: now, expires: now + lifetime, is_used: false,
                    });
                    // The one in use stays until the new one is used; those that were never used go.
                    for token in before.all() {
                        let stays = token.agent != agent || token.is_used;
                        prop_assert_eq!(tokens.all().contains(token), stays);
                    }
                    prop_assert_eq!(tokens.of_client(&agent).next().unwrap().id, next);
                }
                Step::Use(which, invalidate) => {
                    let id = u64::from(which) % (next + 1);
                    let used = TokenUse { id, invalidate };
                    let Some(token) = before.all().iter().find(|token| token.id == id) else {
                        for agent in ["0", "1", "2"] {
                            prop_assert!(!tokens.use_one(agent, used, now));
                        }
                        prop_assert_eq!(&tokens, &before);
                        continue;
                    };
                    prop_assert!(!tokens.use_one("another", used, now));
                    let done = tokens.use_one(&token.agent, used, now);
                    prop_assert_eq!(done, !token.has_expired(now));
                    if !done {
                        prop_assert_eq!(&tokens, &before);
                        continue;
                    }
                    for other in before.all() {
                        let left = tokens.all().iter().find(|left| left.id == other.id);
                        if invalidate && other.agent == token.agent {
                            prop_assert_eq!(left, None);
                        } else if other.id == id {
                            prop_assert_eq!(left.is_some(), !invalidate);
                            prop_assert!(left.is_none_or(|left| left.is_used));
                        } else if other.agent != token.agent {
                            prop_assert_eq!(left, Some(other));
                        } else if other.expires < token.expires {
                            prop_assert_eq!(left, None);
                        } else if token.is_used && !other.is_used {
                            prop_assert_eq!(left, Some(other));
                        }
                    }
                }
                Step::Revoke(which) => {
                    let id = u64::from(which) % (next + 1);
                    let was_there = before.all().iter().any(|token| token.id == id);
                    prop_assert_eq!(tokens.revoke(Some(id)), was_there);
                    prop_assert!(tokens.all().iter().all(|token| token.id != id));
                }
                Step::Wait(time) => {
                    now += time;
                    tokens.forget_expired(now);
                    prop_assert!(tokens.all().iter().all(|token| !token.has_expired(now)));
                }
            }
            for agent in ["0", "1", "2"] {
                let used = tokens.of_client(agent).filter(|token| token.is_used).count();
                prop_assert!(used <= 1 && tokens.of_client(agent).count() <= used + 1);
            }
        }
        tokens.revoke(None);
        prop_assert!(tokens.all().is_empty());
    }
}

#[test]
fn an_account_has_a_bounded_number_of_clients() {
    let mut tokens = Tokens::default();
    for number in 0..1_000_u64 {
        tokens.put(KeptToken {
            id: number,
            agent: number.to_string(),
            name: String::new(),
            mechanism: Mechanism::HtSha256None,
            random: [0; 16],
            given: number,
            expires: number + 10,
            is_used: false,
        });
        assert!(tokens.all().len() <= MOST_CLIENTS);
        assert!(tokens.of_client(&number.to_string()).next().is_some());
        if number == 3 {
            assert!(tokens.use_one("3", TokenUse { id: 3, invalidate: false }, number));
        }
    }
    // Clients that come once don't drive out those that come back.
    assert!(tokens.all().iter().all(|token| token.id == 3 || token.id > 1_000 - MOST_CLIENTS as u64));
    assert_eq!(tokens.of_client("3").count(), 1);
}

// [FA13]
#[test]
fn a_token_is_due_after_a_day() {
    let token = |lifetime: u64| KeptToken {
        id: 1,
        agent: String::new(),
        name: String::new(),
        mechanism: Mechanism::HtSha256None,
        random: [0; 16],
        given: 1_000,
        expires: 1_000 + lifetime,
        is_used: true,
    };
    let month = token(30 * 86_400);
    assert!(!month.is_due(1_000) && !month.is_due(1_000 + 86_399) && month.is_due(1_000 + 86_400));
    assert!(!token(100).is_due(1_049) && token(100).is_due(1_050));
    // One of a clock that was ahead is changed, and is good until then: a clock that is set back locks nobody out.
    let ahead = KeptToken { given: 400 * 86_400, expires: 430 * 86_400, ..month };
    assert!(!ahead.is_due(399 * 86_400) && ahead.is_due(399 * 86_400 - 1) && !ahead.has_expired(0));
}

// A machine without a battery begins at 1970 until its clock is set: whoever logs in meanwhile, as often as may be, still can after that.
#[test]
fn a_clock_that_is_not_set_yet_ends_no_tokens() {
    let (today, month) = (20_600 * 86_400, 30 * 86_400);
    let token = |id: u64, given: u64| KeptToken {
        id,
        agent: "phone".into(),
        name: String::new(),
        mechanism: Mechanism::HtSha256None,
        random: [0; 16],
        given,
        expires: given + month,
        is_used: false,
    };
    for logins in 1..4 {
        let mut tokens = Tokens::default();
        tokens.put(token(1, today));
        let mut has = 1;
        let mut login = |tokens: &mut Tokens, now: u64| {
            assert!(tokens.use_one("phone", TokenUse { id: has, invalidate: false }, now), "{has} at {now}");
            let used = tokens.of_client("phone").find(|token| token.id == has).unwrap();
            if used.is_due(now) {
                has += 1;
                tokens.put(token(has, now));
            }
        };
        login(&mut tokens, today);
        (1..=logins).for_each(|minute| login(&mut tokens, minute * 60));
        // The clock is set.
        login(&mut tokens, today + 600);
        login(&mut tokens, today + 700);
        // If it had been ahead instead, what it has given would not last: it is changed as ever.
        let latest = tokens.of_client("phone").map(|token| token.expires).max();
        assert_eq!(latest, Some(today + 600 + month));
    }
}
