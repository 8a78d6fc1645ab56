//! Phrases that say what is wrong, whoever writes them, and lines that are errors whatever their level says.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder};
use firstlook_model::Severity;
use firstlook_model::symptom::kinds;
use serde::{Deserialize, Serialize};

/// How far into a line phrases are looked for, in bytes.
const HEAD_LIMIT_BYTES: usize = 2_048;

/// What lines are looked at for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Phrase {
    NoSpace,
    Refused,
    Timeout,
    TooManyFiles,
    CannotFork,
    NoPorts,
    Unresolved,
    NameMissing,
    CertificateExpired,
    AuthFailed,
    TooManyClients,
    PoolExhausted,
    WorkersExhausted,
    LockWait,
    ReplicaBroken,
    ReplicaLags,
    Quota,
    BadConfig,
    LongPause,
    ShuttingDown,
}

impl Phrase {
    pub const ALL: [Self; 20] = [
        Self::NoSpace,
        Self::Refused,
        Self::Timeout,
        Self::TooManyFiles,
        Self::CannotFork,
        Self::NoPorts,
        Self::Unresolved,
        Self::NameMissing,
        Self::CertificateExpired,
        Self::AuthFailed,
        Self::TooManyClients,
        Self::PoolExhausted,
        Self::WorkersExhausted,
        Self::LockWait,
        Self::ReplicaBroken,
        Self::ReplicaLags,
        Self::Quota,
        Self::BadConfig,
        Self::LongPause,
        Self::ShuttingDown,
    ];

    /// The kind of symptom that many such lines are.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::NoSpace => kinds::LOG_NO_SPACE,
            Self::Refused => kinds::LOG_REFUSED,
            Self::Timeout => kinds::LOG_TIMEOUT,
            Self::TooManyFiles => kinds::LOG_TOO_MANY_FILES,
            Self::CannotFork => kinds::LOG_CANNOT_FORK,
            Self::NoPorts => kinds::LOG_NO_PORTS,
            Self::Unresolved => kinds::LOG_UNRESOLVED,
            Self::NameMissing => kinds::LOG_NAME_MISSING,
            Self::CertificateExpired => kinds::LOG_CERTIFICATE_EXPIRED,
            Self::AuthFailed => kinds::LOG_AUTH_FAILED,
            Self::TooManyClients => kinds::LOG_TOO_MANY_CLIENTS,
            Self::PoolExhausted => kinds::LOG_POOL_EXHAUSTED,
            Self::WorkersExhausted => kinds::LOG_WORKERS_EXHAUSTED,
            Self::LockWait => kinds::LOG_LOCK_WAIT,
            Self::ReplicaBroken => kinds::LOG_REPLICA_BROKEN,
            Self::ReplicaLags => kinds::LOG_REPLICA_LAGS,
            Self::Quota => kinds::LOG_QUOTA,
            Self::BadConfig => kinds::LOG_BAD_CONFIG,
            Self::LongPause => kinds::LOG_LONG_PAUSE,
            Self::ShuttingDown => kinds::LOG_SHUTTING_DOWN,
        }
    }

    /// What the lines are, after their number.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::NoSpace => "lines that say that no space is left",
            Self::Refused => "lines of refused connections",
            Self::Timeout => "lines of timeouts",
            Self::TooManyFiles => "lines that say that no more files may be opened",
            Self::CannotFork => "lines that say that nothing more can be started",
            Self::NoPorts => "lines that say that no port is left to call from",
            Self::Unresolved => "lines that say that names cannot be resolved",
            Self::NameMissing => "lines that say that a name does not exist",
            Self::CertificateExpired => "lines that say that a certificate has expired",
            Self::AuthFailed => "lines that say that somebody is not let in",
            Self::TooManyClients => "lines that say that there are too many clients",
            Self::PoolExhausted => "lines that say that a connection pool is exhausted",
            Self::WorkersExhausted => "lines that say that all workers are busy",
            Self::LockWait => "lines of locks that are waited for",
            Self::ReplicaBroken => "lines that say that replication broke",
            Self::ReplicaLags => "lines that say that replication falls behind",
            Self::Quota => "lines that say that a quota is used up or a licence over",
            Self::BadConfig => "lines that say that the configuration cannot be used",
            Self::LongPause => "lines that say that all work stood still",
            Self::ShuttingDown => "lines that say that the host is shut down",
        }
    }

    /// Whether it tells how long something takes or how often it happens, of which there is a usual measure. The others tell
    /// of what ran out, was refused or is broken.
    pub const fn is_of_degree(self) -> bool {
        matches!(
            self,
            Self::Timeout | Self::AuthFailed | Self::LockWait | Self::ReplicaLags | Self::LongPause
        )
    }

    /// The least severity at which a line counts: what programs also say in passing counts only from a warning on.
    pub const fn least_severity(self) -> Severity {
        match self {
            Self::NoSpace | Self::Refused => Severity::Debug,
            // A resource that is gone is seldom spoken of in vain; programs without levels say it too.
            Self::TooManyFiles | Self::CannotFork | Self::NoPorts | Self::Unresolved => {
                Severity::Info
            }
            Self::CertificateExpired | Self::TooManyClients | Self::LockWait => Severity::Info,
            Self::PoolExhausted | Self::WorkersExhausted | Self::BadConfig => Severity::Info,
            Self::ReplicaBroken | Self::ReplicaLags => Severity::Info,
            Self::LongPause | Self::ShuttingDown => Severity::Info,
            // "Connection timed out" at information level is how servers speak of vanished visitors, and strangers who
            // try names and passwords are every server's daily bread.
            Self::Timeout | Self::NameMissing | Self::AuthFailed | Self::Quota => Severity::Warning,
        }
    }
}

/// Phrases of a line, each at its place in [`Phrase::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said(u32);

impl Said {
    fn add(&mut self, phrase: Phrase) {
        self.0 |= 1 << phrase as u32;
    }

    #[cfg(test)]
    fn says(self, phrase: Phrase) -> bool {
        self.0 & (1 << phrase as u32) != 0
    }

    /// Almost every line says nothing.
    pub fn each(self) -> impl Iterator<Item = Phrase> {
        let all = if self.0 == 0 { &[][..] } else { &Phrase::ALL };
        all.iter()
            .copied()
            .filter(move |phrase| self.0 & (1 << *phrase as u32) != 0)
    }
}

/// Case is ignored. Words that programs and runtimes write, not what people may write of them: no word alone.
const CATALOGUE: [(&str, Phrase); 118] = [
    ("no space left on device", Phrase::NoSpace),
    ("enospc", Phrase::NoSpace),
    ("disk is full", Phrase::NoSpace),
    ("disk full", Phrase::NoSpace),
    ("not enough space on", Phrase::NoSpace),
    ("connection refused", Phrase::Refused),
    ("econnrefused", Phrase::Refused),
    ("actively refused", Phrase::Refused),
    ("timed out", Phrase::Timeout),
    ("timeout expired", Phrase::Timeout),
    ("timeout exceeded", Phrase::Timeout),
    ("timeouterror", Phrase::Timeout),
    ("etimedout", Phrase::Timeout),
    ("deadline exceeded", Phrase::Timeout),
    ("i/o timeout", Phrase::Timeout),
    ("gateway time-out", Phrase::Timeout),
    ("too many open files", Phrase::TooManyFiles),
    ("emfile", Phrase::TooManyFiles),
    ("enfile", Phrase::TooManyFiles),
    ("file table overflow", Phrase::TooManyFiles),
    ("cannot fork", Phrase::CannotFork),
    ("fork: retry", Phrase::CannotFork),
    ("could not fork", Phrase::CannotFork),
    ("can't start new thread", Phrase::CannotFork),
    ("unable to create new native thread", Phrase::CannotFork),
    ("unable to create native thread", Phrase::CannotFork),
    ("pthread_create failed", Phrase::CannotFork),
    ("cannot assign requested address", Phrase::NoPorts),
    ("can't assign requested address", Phrase::NoPorts),
    ("eaddrnotavail", Phrase::NoPorts),
    ("temporary failure in name resolution", Phrase::Unresolved),
    ("eai_again", Phrase::Unresolved),
    ("server misbehaving", Phrase::Unresolved),
    (
        "could not be resolved (2: server failure)",
        Phrase::Unresolved,
    ),
    (
        "could not be resolved (110: operation timed out",
        Phrase::Unresolved,
    ),
    ("name or service not known", Phrase::NameMissing),
    ("no such host", Phrase::NameMissing),
    ("enotfound", Phrase::NameMissing),
    ("nxdomain", Phrase::NameMissing),
    ("unknownhostexception", Phrase::NameMissing),
    (
        "could not be resolved (3: host not found)",
        Phrase::NameMissing,
    ),
    ("certificate has expired", Phrase::CertificateExpired),
    ("certificate expired", Phrase::CertificateExpired),
    ("certificate_expired", Phrase::CertificateExpired),
    ("certificateexpired", Phrase::CertificateExpired),
    ("password authentication failed", Phrase::AuthFailed),
    ("access denied for user", Phrase::AuthFailed),
    ("noauth authentication required", Phrase::AuthFailed),
    ("wrongpass invalid username", Phrase::AuthFailed),
    ("invalid_grant", Phrase::AuthFailed),
    ("no pg_hba.conf entry", Phrase::AuthFailed),
    ("too many clients already", Phrase::TooManyClients),
    ("too many connections", Phrase::TooManyClients),
    ("max number of clients reached", Phrase::TooManyClients),
    (
        "remaining connection slots are reserved",
        Phrase::TooManyClients,
    ),
    ("connection pool exhausted", Phrase::PoolExhausted),
    ("pool exhausted", Phrase::PoolExhausted),
    (
        "timeout waiting for connection from pool",
        Phrase::PoolExhausted,
    ),
    ("unable to acquire a connection", Phrase::PoolExhausted),
    ("queuepool limit", Phrase::PoolExhausted),
    (
        "connection is not available, request timed out",
        Phrase::PoolExhausted,
    ),
    (
        "could not obtain connection from the pool",
        Phrase::PoolExhausted,
    ),
    ("reached maxrequestworkers", Phrase::WorkersExhausted),
    ("server reached pm.max_children", Phrase::WorkersExhausted),
    (
        "worker_connections are not enough",
        Phrase::WorkersExhausted,
    ),
    ("rejectedexecutionexception", Phrase::WorkersExhausted),
    ("thread pool exhausted", Phrase::WorkersExhausted),
    ("deadlock detected", Phrase::LockWait),
    ("deadlock found", Phrase::LockWait),
    ("lock wait timeout exceeded", Phrase::LockWait),
    ("still waiting for accesssharelock", Phrase::LockWait),
    ("still waiting for accessexclusivelock", Phrase::LockWait),
    ("still waiting for exclusivelock", Phrase::LockWait),
    ("still waiting for rowexclusivelock", Phrase::LockWait),
    ("still waiting for sharelock", Phrase::LockWait),
    ("due to lock timeout", Phrase::LockWait),
    ("database is locked", Phrase::LockWait),
    (
        "could not receive data from wal stream",
        Phrase::ReplicaBroken,
    ),
    ("requested wal segment", Phrase::ReplicaBroken),
    ("terminating walreceiver", Phrase::ReplicaBroken),
    ("slave sql thread", Phrase::ReplicaBroken),
    ("replica sql thread", Phrase::ReplicaBroken),
    ("replica i/o thread", Phrase::ReplicaBroken),
    ("master_link_status:down", Phrase::ReplicaBroken),
    ("replication lag", Phrase::ReplicaLags),
    ("replication delay", Phrase::ReplicaLags),
    ("replica is behind", Phrase::ReplicaLags),
    ("quota exceeded", Phrase::Quota),
    ("quotaexceeded", Phrase::Quota),
    ("rate limit exceeded", Phrase::Quota),
    ("too many requests", Phrase::Quota),
    ("license has expired", Phrase::Quota),
    ("licence has expired", Phrase::Quota),
    ("license expired", Phrase::Quota),
    ("invalid configuration", Phrase::BadConfig),
    ("configuration error", Phrase::BadConfig),
    ("error parsing config", Phrase::BadConfig),
    ("failed to parse config", Phrase::BadConfig),
    ("configuration file contains errors", Phrase::BadConfig),
    ("unknown directive", Phrase::BadConfig),
    ("unrecognized configuration parameter", Phrase::BadConfig),
    ("configuration file test failed", Phrase::BadConfig),
    ("fatal errors found in configuration", Phrase::BadConfig),
    ("errors in configuration", Phrase::BadConfig),
    // Hadoop and what is made of it.
    ("detected pause in jvm or host machine", Phrase::LongPause),
    ("pause full (", Phrase::LongPause),
    ("gc overhead limit exceeded", Phrase::LongPause),
    // Elasticsearch: "overhead, spent [1.2s] collecting in the last [1.5s]".
    ("overhead, spent [", Phrase::LongPause),
    // HikariCP, of its own housekeeper that did not run.
    (
        "thread starvation or clock leap detected",
        Phrase::LongPause,
    ),
    // Vert.x: "has been blocked for 2345 ms, time limit is 2000 ms".
    (" ms, time limit is ", Phrase::LongPause),
    ("event loop blocked for", Phrase::LongPause),
    ("event loop is blocked", Phrase::LongPause),
    // systemd of itself, as it begins and as it ends; users have their own, and isolate targets.
    ("stopped target multi-user.target", Phrase::ShuttingDown),
    ("stopped target multi-user system", Phrase::ShuttingDown),
    ("reached target poweroff.target", Phrase::ShuttingDown),
    ("reached target reboot.target", Phrase::ShuttingDown),
    ("reached target halt.target", Phrase::ShuttingDown),
    ("reached target shutdown.target", Phrase::ShuttingDown),
];

/// The catalogue, ready to search a line once for all of it. One for all hosts: it takes some hundred kilobytes.
static PHRASES: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let mut builder = AhoCorasickBuilder::new();
    builder.ascii_case_insensitive(true);
    // Building fails only beyond limits that a constant table of this size is far from.
    builder.build(CATALOGUE.map(|(words, _)| words)).ok()
});

/// What a line says. One line may say several things: a pool that is exhausted, and a timeout of waiting for it.
pub(super) fn find(text: &str) -> Said {
    let head = text.as_bytes();
    let head = &head[..head.len().min(HEAD_LIMIT_BYTES)];
    let mut said = Said::default();
    let phrases = PHRASES.iter();
    for hit in phrases.flat_map(|phrases| phrases.find_overlapping_iter(head)) {
        let (words, phrase) = CATALOGUE[hit.pattern().as_usize()];
        if !is_number_name(words) || stands_alone(head, hit.range()) {
            said.add(phrase);
        }
    }
    said
}

/// Whether this is the name of an error number, as `emfile`, and no phrase.
fn is_number_name(words: &str) -> bool {
    words.starts_with('e') && !words.contains(' ')
}

/// Whether no other letters touch it: `OpenFile` and `itemfile` speak of no error number, `UV_EMFILE` does.
fn stands_alone(line: &[u8], at: Range<usize>) -> bool {
    let before = at.start.checked_sub(1).and_then(|at| line.get(at));
    let beside = [before, line.get(at.end)];
    let touches = |byte: &u8| byte.is_ascii_alphanumeric();
    !beside.into_iter().flatten().any(touches)
}

/// Whether a line is a part of a crash that runtimes print without a level: the head of a traceback, or its
/// last line, which names the exception.
pub(super) fn grave(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with("Traceback (most recent call last)")
        || text.starts_with("Exception in thread ")
        || text.starts_with("panic: ")
        || (text.starts_with("thread '") && text.contains("' panicked at "))
        || names_exception(text)
}

/// `KeyError: 'x'`, `java.lang.NullPointerException: …`, `django.db.utils.OperationalError: …`.
fn names_exception(text: &str) -> bool {
    let end = text.find([':', ' ']).unwrap_or(text.len());
    let Some(word) = text.get(..end) else {
        return false;
    };
    let named = word.len() > 9 || word.ends_with("Error");
    let ends = word.ends_with("Error") || word.ends_with("Exception");
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '$');
    let capital = word
        .rsplit('.')
        .next()
        .is_some_and(|w| w.starts_with(|c: char| c.is_ascii_uppercase()));
    named && ends && capital && word != "Error" && word.chars().all(plain)
}

#[cfg(test)]
mod tests;
