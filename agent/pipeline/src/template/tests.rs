use firstlook_model::HostId;
use proptest::prelude::*;

use super::*;

fn component(name: &str) -> ComponentId {
    ComponentId::host(HostId::new(name).unwrap())
}

fn masked(text: &str) -> String {
    Masker::default().mask(text).to_owned()
}

#[test]
fn variables_are_masked() {
    for (line, expected) in [
        ("worker 12 started", "worker <*> started"),
        ("connect to 10.0.0.1:5432 failed", "connect to <*> failed"),
        ("peer [2001:db8::7]:443 gone", "peer [<*>]:<*> gone"),
        (
            "task 550e8400-e29b-41d4-a716-446655440000 done",
            "task <*> done",
        ),
        ("at 0x7ffdeadbeef0", "at <*>"),
        ("block blk_-1608999687919862906 ok", "block blk_<*> ok"),
        ("commit deadbeefcafe pushed", "commit <*> pushed"),
        ("open /var/lib/app/data.db: no space", "open <*>: no space"),
        ("and/or /health", "and/or /health"),
        ("get https://api.example/v1?x=1 ok", "get https://<*> ok"),
        ("proxy.example.org:8080 closed", "<*> closed"),
        ("mail from bob@example.org refused", "mail from <*> refused"),
        ("user=\"bob\" level=info", "user=\"<*>\" level=info"),
        ("msg=\"disk is full\" n=3", "msg=\"disk is full\" n=<*>"),
        ("can't stop, won't stop", "can't stop, won't stop"),
        ("took 3 ms", "took <*>"),
        ("took 1.5 s", "took <*>"),
        ("sent 1190 bytes (1.16 KB), ok", "sent <*>, ok"),
        ("delta -3 and x=-4", "delta <*> and x=<*>"),
        ("stack 0x1 0x2 0x3", "stack <*>"),
        ("hosts 10.0.0.1, 10.0.0.2, 10.0.0.3 down", "hosts <*> down"),
        ("[Sun Dec 04 04:47:44 2005] [error] x", "[<*>] [error] x"),
        ("Dec  4 04:47:44 db app: x", "<*> db app: x"),
        (
            "node-12 and core.77 of R02-M1-C:J12",
            "node-<*> and core.<*> of <*>",
        ),
        ("  spaced \t out  ", "spaced out"),
        ("first line\nsecond 2", "first line"),
        ("", ""),
        ("größe 5 überschritten", "größe <*> überschritten"),
    ] {
        assert_eq!(masked(line), expected, "{line}");
    }
}

#[test]
fn ids_are_the_same_on_every_host_and_after_a_restart() {
    let line = |n: u32| format!("connection {n} from 10.0.0.{n} refused");
    let mut here = Miner::new(TemplateLimits::default());
    let mut there = Miner::new(TemplateLimits::default());
    there.mine(
        &component("b"),
        "something else first",
        Timestamp::default(),
    );
    let a = here
        .mine(&component("a"), &line(1), Timestamp::default())
        .id;
    let b = there
        .mine(&component("b"), &line(2), Timestamp::default())
        .id;
    assert_eq!(a, b);
    assert_eq!(
        a,
        TemplateId(stable_hash(b"connection <*> from <*> refused"))
    );
}

#[test]
fn words_that_vary_without_digits_become_variables_once_they_are_many() {
    let mut miner = Miner::new(TemplateLimits::default());
    let users = ["ann", "bob", "cem", "dora", "eve", "finn", "gus", "hal"];
    let mut mine = |user: &str| {
        let line = format!("session opened for user {user} by root");
        let mined = miner.mine(&component("a"), &line, Timestamp::default());
        (mined.id, mined.text.to_owned())
    };
    let first = mine("ann");
    assert_eq!(first.1, "session opened for user ann by root");
    for user in users {
        mine(user);
    }
    let general = mine("ann");
    assert_eq!(general.1, "session opened for user <*> by root");
    assert_ne!(general.0, first.0);
    assert_eq!(mine("zoe"), general, "a new user is of the same template");
}

#[test]
fn few_words_in_a_place_stay_apart() {
    let mut miner = Miner::new(TemplateLimits::default());
    let mut mine = |state: &str| {
        let line = format!("unit entered state {state} now");
        miner.mine(&component("a"), &line, Timestamp::default()).id
    };
    let ids: Vec<_> = ["running", "dead", "failed"].map(&mut mine).into();
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
}

#[test]
fn a_random_id_in_every_line_costs_no_memory() {
    let mut miner = Miner::new(TemplateLimits::default());
    let (component, mut state) = (component("a"), 1u64);
    for second in 0..20 {
        for _ in 0..5_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let line = format!("request {state:016x} served for {}", state % 977);
            miner.mine(&component, &line, Timestamp::from_secs(second));
        }
        miner.next_window(Timestamp::from_secs(second));
    }
    assert!(miner.templates() <= 2, "{} templates", miner.templates());
    assert!(miner.texts() <= 4, "{} texts", miner.texts());
    assert_eq!(miner.other_lines(), 0);
}

#[test]
fn lines_without_any_pattern_stay_within_the_budgets_and_are_counted() {
    let limits = TemplateLimits {
        per_component: 50,
        total: 120,
        searches_per_window: 2_000,
        ..TemplateLimits::default()
    };
    let mut miner = Miner::new(limits);
    let mut state = 1u64;
    let mut word = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let letter = |n: u32| char::from(b'g' + (state >> n) as u8 % 20);
        [letter(33), letter(40), letter(47), letter(54)]
            .iter()
            .collect::<String>()
    };
    for n in 0..20_000u64 {
        let words: Vec<String> = (0..n % 7 + 2).map(|_| word()).collect();
        let name = component(&format!("h{}", n % 10));
        miner.mine(&name, &words.join(" "), Timestamp::from_secs(1));
        if n % 1_000 == 0 {
            miner.next_window(Timestamp::from_secs(1));
        }
        assert!(miner.templates() <= 120);
    }
    assert!(miner.texts() <= 10 * 2 * 50, "{} texts", miner.texts());
    assert!(miner.other_lines() > 10_000);
    let held = miner.templates();
    miner.next_window(Timestamp::from_secs(10_000));
    assert!(miner.templates() < held, "idle templates make room");
    let text = miner.mine(
        &component("new"),
        "hello fresh world",
        Timestamp::from_secs(10_000),
    );
    assert_eq!(text.text, "hello fresh world");
}

proptest! {
    #[test]
    fn any_line_is_mined_alike_by_two_miners(lines in prop::collection::vec("(\\PC| |/|\"|<\\*>|[0-9:.,()-]|[a-f]{8}|KB|ms|Dec){0,60}", 1..40)) {
        let mut a = Miner::new(TemplateLimits::default());
        let mut b = Miner::new(TemplateLimits::default());
        for line in &lines {
            let x = a.mine(&component("a"), line, Timestamp::default());
            let y = b.mine(&component("b"), line, Timestamp::default());
            prop_assert_eq!(x, y);
            prop_assert_eq!(x.id, TemplateId(stable_hash(x.text.as_bytes())));
        }
        prop_assert_eq!(a.templates(), b.templates());
    }

    #[test]
    fn a_masked_line_is_bounded(line in "[0-9a-z /\"=:]{0,6000}") {
        prop_assert!(masked(&line).len() <= 3 * 1_100);
    }
}
