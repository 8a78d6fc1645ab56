//! Every drill: what is injected, and what the verdict must say.

use crate::drill::Drill;
use crate::fault::Fault;
use crate::verdict::Truth;

/// The application on `app1`.
pub const SHOP: &[&str] = &["service:app1/shop.service"];
/// The load balancer on `edge1`.
pub const EDGE: &[&str] = &["service:edge1/haproxy.service"];
/// The database on `db1`.
pub const DATABASE: &[&str] = &["service:db1/postgresql@15-main.service"];
const DATABASE_FILES: &[&str] = &["filesystem:db1/var/lib/postgresql"];
const APP2: &[&str] = &["host:app2"];

/// In the order in which all are run.
pub const CATALOGUE: [Drill; 19] = [
    core(
        "disk-full",
        "the database's filesystem on db1 has no free block",
        Fault::DiskFull,
        truth(DATABASE_FILES, "disk-full"),
    ),
    core(
        "service-down",
        "the application's main process on app1 is killed",
        Fault::ServiceDown,
        truth(SHOP, "service-down"),
    ),
    core(
        "bad-deploy",
        "app1 is restarted with a configuration that fails every request",
        Fault::BadDeploy,
        truth(SHOP, "bad-deploy"),
    ),
    core(
        "packet-loss",
        "28% of the packets to db1 are dropped at its interface",
        Fault::PacketLoss,
        truth(&["interface:db1/eth0", "host:db1/link"], "packet-loss"),
    ),
    core(
        "host-partitioned",
        "app2's cable is pulled out of the bridge",
        Fault::HostPartitioned,
        with_parts(APP2, "host-partitioned", "app2"),
    ),
    drill(
        "host-down",
        "app2 is shut down in order",
        Fault::HostDown,
        with_parts(APP2, "host-down", "app2"),
    ),
    drill(
        "service-hung",
        "the application's main process on app1 is stopped by a signal",
        Fault::ServiceHung,
        truth(SHOP, "service-hung"),
    ),
    drill(
        "database-hung",
        "the database's processes on db1 are stopped by a signal",
        Fault::DatabaseHung,
        truth(DATABASE, "service-hung"),
    ),
    drill(
        "oom-kill",
        "a request eats the memory that the application on app1 may have",
        Fault::OutOfMemory,
        truth(SHOP, "oom-kill"),
    ),
    drill(
        "database-lock",
        "somebody's transaction on db1 holds the orders",
        Fault::DatabaseLock,
        truth(DATABASE, "database-lock"),
    ),
    drill(
        "firewall-reject",
        "a filter on db1 rejects calls to the database",
        Fault::FirewallReject,
        truth(DATABASE, "firewall-reject"),
    ),
    drill(
        "firewall-drop",
        "a filter on db1 drops calls to the database without a word",
        Fault::FirewallDrop,
        truth(DATABASE, "firewall-drop"),
    ),
    drill(
        "load-surge",
        "eight times as many customers as usual, more than the applications' pools are made for",
        Fault::LoadSurge,
        truth(EDGE, "load-surge"),
    ),
    drill(
        "filesystem-frozen",
        "the database's filesystem on db1 takes no more writes, and says nothing",
        Fault::FilesystemFrozen,
        truth(DATABASE_FILES, "filesystem-hung"),
    ),
    drill(
        "files-exhausted",
        "somebody holds more connections to the application on app1 than it may have files",
        Fault::FilesExhausted,
        truth(SHOP, "fd-exhausted"),
    ),
    drill(
        "noisy-neighbour",
        "a job that nobody calls takes the one processor that db1 has",
        Fault::NoisyNeighbour,
        truth(&["host:db1"], "noisy-neighbour"),
    ),
    drill(
        "broken-while-busy",
        "thrice as many customers as usual, who are served; then the application's main process on app1 is killed",
        Fault::BreakWhileBusy,
        truth(SHOP, "service-down"),
    ),
    drill(
        "innocent-change",
        "a harmless change on app2, then the application's main process on app1 is killed",
        Fault::InnocentChange,
        truth(SHOP, "service-down"),
    ),
    Drill {
        also: Some(truth(SHOP, "service-down")),
        ..drill(
            "two-faults",
            "the database's filesystem on db1 has no free block, and app1's main process is killed",
            Fault::TwoFaults,
            truth(DATABASE_FILES, "disk-full"),
        )
    },
];

/// A drill that not every change is tried by.
pub const fn drill(name: &'static str, about: &'static str, fault: Fault, truth: Truth) -> Drill {
    Drill {
        name,
        about,
        fault,
        truth,
        also: None,
        core: false,
    }
}

const fn core(name: &'static str, about: &'static str, fault: Fault, truth: Truth) -> Drill {
    Drill {
        core: true,
        ..drill(name, about, fault, truth)
    }
}

/// One component is at fault.
pub const fn truth(components: &'static [&'static str], fault: &'static str) -> Truth {
    Truth {
        components,
        fault,
        parts_of_host: None,
    }
}

/// A host is at fault, and all its parts with it.
pub const fn with_parts(
    components: &'static [&'static str],
    fault: &'static str,
    host: &'static str,
) -> Truth {
    Truth {
        components,
        fault,
        parts_of_host: Some(host),
    }
}
