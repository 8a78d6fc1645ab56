use proptest::prelude::*;

use super::*;

/// 2026-01-02T03:04:05.678901Z, and three seconds later.
const WRITTEN: i64 = 1_767_323_045_678_901;
const LAG: i64 = 3_000_000;

fn read(text: &str) -> Option<i64> {
    let arrival = Timestamp::from_micros(WRITTEN + LAG);
    written(text, arrival).map(Timestamp::as_micros)
}

#[test]
fn stamps_are_read_as_programs_write_them() {
    let whole = WRITTEN / 1_000_000 * 1_000_000;
    let millis = WRITTEN / 1_000 * 1_000;
    for (text, expected) in [
        ("2026-01-02T03:04:05.678901Z shop started", WRITTEN),
        ("2026-01-02T03:04:05.678901234+00:00 shop", WRITTEN),
        ("2026-01-02T08:34:05.678901+05:30 shop", WRITTEN),
        ("2026-01-01 20:04:05,678 -0700 shop", millis),
        ("2026-01-02 03:04:05.678 UTC [12] LOG:  x", millis),
        ("2026-01-02 03:04:05,678 - shop - ERROR - x", millis),
        ("2026/01/02 04:04:05 [warn] 12#12: x", whole),
        ("2026/01/02 03:04:05.678901 main.go:3: x", WRITTEN),
        ("26/01/02 03:04:05 INFO executor.Backend: x", whole),
        ("Jan  2 03:04:05 db1 sshd[3]: x", whole),
        ("<34>Jan  2 05:04:05 db1 sshd[3]: x", whole),
        ("<34>1 2026-01-02T03:04:05.678Z db1 app - - - x", millis),
        ("[Fri Jan 02 03:04:05.678901 2026] [core:error] x", WRITTEN),
        ("[Fri Jan 02 03:04:05 2026] [error] x", whole),
        (
            "192.0.2.1 - bob [02/Jan/2026:04:04:05 +0100] \"GET /\" 200",
            whole,
        ),
        ("812:M 02 Jan 2026 03:04:05.678 * Ready", millis),
        ("E0102 03:04:05.678901       1 server.go:12] x", WRITTEN),
        ("Fri, 02 Jan 2026 03:04:05 GMT x", whole),
        ("2026-01-02T03:04:05.678Z\tINFO\tx", millis),
        ("INFO 2026-01-02 03:04:05,678 [main] x", millis),
        (
            r#"{"level":"info","ts":1767323045.678901,"msg":"x"}"#,
            WRITTEN,
        ),
        (r#"{"msg":"x","time":1767323045678,"pid":3}"#, millis),
        (
            r#"{"@timestamp": "2026-01-02T03:04:05.678Z", "message": "x"}"#,
            millis,
        ),
        (r#"{"t":1767323045678901000,"m":"x"}"#, WRITTEN),
        ("time=\"2026-01-02T03:04:05Z\" level=info msg=x", whole),
        ("level=info ts=2026-01-02T03:04:05.678Z caller=x", millis),
    ] {
        assert_eq!(read(text), Some(expected), "{text}");
    }
}

#[test]
fn what_is_no_stamp_or_not_believed_leaves_the_time_of_arrival() {
    for text in [
        "",
        "shop started",
        "2026-13-02T03:04:05Z x",
        "2026-02-30T03:04:05Z x",
        "2026-01-02T25:04:05Z x",
        "9999-01-02T03:04:05Z x",
        "2025-12-30T03:04:05Z older than two days",
        "2026-01-02T03:06:05Z from the future",
        "2026-01-02 03:02:05 two minutes ago in no zone",
        "2026-01-02 03:04:30.5 from the future in no zone",
        "May be 12 or 13",
        "Sunday is free",
        "E0000 03:04:05.1 x",
        r#"{"time":"yesterday","ts":12}"#,
        r#"{"time":{"x":1}}"#,
        "ts=99999999999999999999",
        "10.0.0.1:2026 connected 03:04:05",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
}

#[test]
fn stamp_of_whole_seconds_says_less_than_an_arrival_right_after_it() {
    let arrival = Timestamp::from_micros(WRITTEN);
    assert_eq!(written("2026-01-02T03:04:05Z x", arrival), None);
    assert!(written("2026-01-02T03:04:03Z x", arrival).is_some());
    assert!(written("2026-01-02T03:04:05.6Z x", arrival).is_some());
}

#[test]
fn backlog_of_a_day_keeps_its_times_and_a_new_year_is_bridged() {
    let arrival = Timestamp::from_micros(WRITTEN + 86_400_000_000);
    let found = written("2026-01-02T03:04:05.678901Z x", arrival);
    assert_eq!(found.map(Timestamp::as_micros), Some(WRITTEN));
    // 2026-01-01T00:00:01Z.
    let arrival = Timestamp::from_micros(1_767_225_601_000_000);
    let found = written("Dec 31 23:59:58 db1 x", arrival);
    assert_eq!(found, Some(arrival.minus(Duration::from_secs(3))));
}

proptest! {
    #[test]
    fn any_text_is_read_and_what_is_believed_is_near_its_arrival(
        text in "([0-9]{1,4}|[-/:., T+\\[\\]\"={}]|Jan|Sun|ts|time|Z|\\PC){0,40}",
        arrival in any::<i64>(),
    ) {
        let arrival = Timestamp::from_micros(arrival);
        if let Some(found) = written(&text, arrival) {
            prop_assert!(found.since(arrival) <= FUTURE_LIMIT && arrival.since(found) <= PAST_LIMIT);
        }
    }

    #[test]
    fn any_time_is_read_back(seconds in 86_400..7_000_000_000_i64, micros in 0..1_000_000_i64) {
        let time = Timestamp::from_micros(seconds * 1_000_000 + micros);
        prop_assert_eq!(written(&format!("{time} x"), time), if micros == 0 { None } else { Some(time) });
    }
}

#[test]
fn what_was_kept_for_months_is_read_in_the_zone_of_its_last_line() {
    let micros = |text: &str, hour: i64| {
        let last = Timestamp::from_micros(WRITTEN);
        let zone = zone("2026-01-02 08:34:05,679 ERROR x", last).unwrap();
        assert_eq!(zone, 5 * 3_600_000_000 + 1_800_000_000);
        let at = kept(text, last, zone).unwrap().as_micros();
        assert_eq!(
            at,
            WRITTEN / 1_000_000 * 1_000_000 - hour * 3_600_000_000,
            "{text}"
        );
    };
    micros("2026-01-02 03:34:05 INFO x", 5);
    micros("2025-12-23 08:34:05 INFO x", 240);
    micros("2026-01-02T02:04:05Z x", 1);
    micros("2026-01-01T22:04:05-04:00 x", 1);
    assert_eq!(
        zone("2026-01-02T03:04:05Z x", Timestamp::from_micros(WRITTEN)),
        None
    );
    assert_eq!(
        kept("no stamp here", Timestamp::from_micros(WRITTEN), 0),
        None
    );
}
