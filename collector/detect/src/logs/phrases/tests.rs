use super::*;

#[test]
fn phrases_are_found_in_any_case() {
    let say = find;
    for (text, phrase) in [
        (
            "ERROR: could not extend file: No space left on device",
            Phrase::NoSpace,
        ),
        (
            "connect() failed (111: Connection refused) while connecting",
            Phrase::Refused,
        ),
        (
            "psycopg2.OperationalError: timeout expired",
            Phrase::Timeout,
        ),
        (
            "accept4() failed (24: Too many open files)",
            Phrase::TooManyFiles,
        ),
        ("RuntimeError: can't start new thread", Phrase::CannotFork),
        (
            "connect() to 10.0.0.3:5432 failed (99: Cannot assign requested address)",
            Phrase::NoPorts,
        ),
        (
            "getaddrinfo: Temporary failure in name resolution",
            Phrase::Unresolved,
        ),
        (
            "dial tcp: lookup db.internal on 10.0.0.4:53: no such host",
            Phrase::NameMissing,
        ),
        (
            "SSL routines: certificate verify failed: certificate has expired",
            Phrase::CertificateExpired,
        ),
        (
            "FATAL:  password authentication failed for user \"shop\"",
            Phrase::AuthFailed,
        ),
        (
            "FATAL:  sorry, too many clients already",
            Phrase::TooManyClients,
        ),
        (
            "sqlalchemy.exc.TimeoutError: QueuePool limit of size 5 overflow 10 reached",
            Phrase::PoolExhausted,
        ),
        (
            "server reached pm.max_children setting (5), consider raising it",
            Phrase::WorkersExhausted,
        ),
        (
            "LOG:  process 71 still waiting for ShareLock on transaction 9 after 1000.1 ms",
            Phrase::LockWait,
        ),
        (
            "FATAL:  could not receive data from WAL stream: server closed",
            Phrase::ReplicaBroken,
        ),
        ("warning: replication lag is 93 s", Phrase::ReplicaLags),
        ("429 Too Many Requests", Phrase::Quota),
        (
            "nginx: [emerg] unknown directive \"servr\" in /etc/nginx/nginx.conf:3",
            Phrase::BadConfig,
        ),
        (
            "[gc][2104] overhead, spent [1.1s] collecting in the last [1.4s]",
            Phrase::LongPause,
        ),
        (
            "Stopped target multi-user.target - Multi-User System.",
            Phrase::ShuttingDown,
        ),
    ] {
        assert!(say(text).says(phrase), "{text}");
        assert!(say(text).each().any(|said| said == phrase), "{text}");
    }
    assert_eq!(
        say("timeout=30 space=4096 pool=ok certificate=2"),
        Said::default()
    );
    assert_eq!(
        say("certificates reloaded, 3 clients connected"),
        Said::default()
    );
}

#[test]
fn the_name_of_an_error_number_stands_alone() {
    for text in [
        "errno.EMFILE",
        "accept: (EMFILE)",
        "UV_EMFILE: limit",
        "emfile",
    ] {
        assert!(find(text).says(Phrase::TooManyFiles), "{text}");
    }
    for text in [
        "os.OpenFile /etc/shop.toml: permission denied",
        "itemfile written",
        "SystemFileNotFound",
        // A client library that lets go of a connection too many: nobody waits.
        "WARNING urllib3.connectionpool: Connection pool is full, discarding connection: db1",
    ] {
        assert_eq!(find(text), Said::default(), "{text}");
    }
}

#[test]
fn every_phrase_has_words_and_a_kind_of_its_own() {
    let mut kinds: Vec<_> = Phrase::ALL.map(Phrase::kind).into();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds.len(), Phrase::ALL.len());
    for (place, phrase) in Phrase::ALL.into_iter().enumerate() {
        assert_eq!(phrase as usize, place);
        assert!(
            CATALOGUE.iter().any(|(_, known)| *known == phrase),
            "{phrase:?}"
        );
    }
}

#[test]
fn exceptions_are_grave_and_prose_is_not() {
    for text in [
        "Traceback (most recent call last):",
        "KeyError: 'user'",
        "django.db.utils.OperationalError: connection",
        "java.lang.NullPointerException",
        "thread 'main' panicked at src/main.rs:1:1:",
    ] {
        assert!(grave(text), "{text}");
    }
    for text in [
        "Error handling was improved",
        "no error",
        "errors: 0",
        "Exception list loaded",
    ] {
        assert!(!grave(text), "{text}");
    }
}
