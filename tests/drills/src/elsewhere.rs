//! Faults at other places than those of the catalogue of drills, and of kinds that it does not have: how does the product do where
//! nothing was tuned? A drill that failed here and led to a change is tuned on from then on.

use serde::{Serialize, Serializer};

use crate::catalogue::{DATABASE, EDGE, SHOP, drill, truth, with_parts};
use crate::drill::Drill;
use crate::fault::Fault;
use crate::lab::Lab;

/// A fault that shell lines put in and take out again, each on its host.
#[derive(Debug, PartialEq, Eq)]
pub struct Lines {
    name: &'static str,
    host: &'static str,
    inject: &'static str,
    /// Takes it out whether it is in, half in, or not in.
    heal: &'static str,
}

impl Serialize for Lines {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.name.serialize(to)
    }
}

const SHOP2: &[&str] = &["service:app2/shop.service"];

/// In the order in which all are run.
pub const CATALOGUE: [Drill; 15] = [
    drill(
        "edge-stopped",
        "somebody stops the load balancer",
        Fault::Lines(&Lines {
            name: "edge-stopped",
            host: "edge1",
            inject: "systemctl stop haproxy",
            heal: "systemctl start haproxy",
        }),
        truth(EDGE, "service-down"),
    ),
    drill(
        "edge-hung",
        "the load balancer's processes are stopped by a signal",
        Fault::Lines(&Lines {
            name: "edge-hung",
            host: "edge1",
            inject: "systemctl kill --signal=STOP haproxy",
            heal: "systemctl kill --signal=CONT haproxy",
        }),
        truth(EDGE, "service-hung"),
    ),
    drill(
        "edge-misconfigured",
        "the load balancer is given ports on which nobody listens, and reloaded",
        Fault::Lines(&Lines {
            name: "edge-misconfigured",
            host: "edge1",
            inject: "sed -i 's/:8080 check/:8081 check/' /etc/haproxy/haproxy.cfg && systemctl reload haproxy",
            heal: "sed -i 's/:8081 check/:8080 check/' /etc/haproxy/haproxy.cfg && systemctl reload haproxy",
        }),
        truth(EDGE, "bad-deploy"),
    ),
    drill(
        "deploy-app2",
        "app2 is restarted with a configuration that fails every request",
        Fault::Lines(&Lines {
            name: "deploy-app2",
            host: "app2",
            inject: "sed -i 's/\"standard\"/\"regional\"/' /etc/shop/app.toml && systemctl restart shop",
            heal: "sed -i 's/\"regional\"/\"standard\"/' /etc/shop/app.toml && systemctl restart shop",
        }),
        truth(SHOP2, "bad-deploy"),
    ),
    drill(
        "database-killed",
        "the database's first process is killed",
        Fault::Lines(&Lines {
            name: "database-killed",
            host: "db1",
            inject: "systemctl kill --kill-who=main --signal=KILL postgresql@15-main",
            heal: "pg_isready -q || { systemctl reset-failed; systemctl restart postgresql@15-main; }",
        }),
        truth(DATABASE, "service-down"),
    ),
    drill(
        "database-partitioned",
        "db1's cable is pulled out of the bridge",
        Fault::Unplugged("db1"),
        with_parts(&["host:db1"], "host-partitioned", "db1"),
    ),
    drill(
        "loss-app1",
        "30% of the packets to app1 are dropped at its interface",
        Fault::Lines(&Lines {
            name: "loss-app1",
            host: "app1",
            inject: "nft 'table netdev fl_loss { chain ingress { type filter hook ingress device \"eth0\" priority 0; \
                     policy accept; numgen random mod 100 < 30 counter drop; }; }'",
            heal: "nft delete table netdev fl_loss 2>/dev/null || true",
        }),
        truth(&["interface:app1/eth0", "host:app1/link"], "packet-loss"),
    ),
    drill(
        "slow-link",
        "db1 may send 300 kilobits a second, and what is more waits",
        Fault::Lines(&Lines {
            name: "slow-link",
            host: "db1",
            inject: "tc qdisc replace dev eth0 root tbf rate 300kbit burst 4kb latency 3s",
            heal: "tc qdisc delete dev eth0 root 2>/dev/null || true",
        }),
        truth(&["interface:db1/eth0", "host:db1/link"], "latency-added"),
    ),
    drill(
        "reject-app1",
        "a filter on app1 rejects calls to the application",
        Fault::Lines(&Lines {
            name: "reject-app1",
            host: "app1",
            inject: "nft 'table inet fl_reject { chain input { type filter hook input priority 0; policy accept; \
                     iifname \"eth0\" tcp dport 8080 counter reject with tcp reset; }; }'",
            heal: "nft delete table inet fl_reject 2>/dev/null || true",
        }),
        truth(SHOP, "firewall-reject"),
    ),
    drill(
        "database-crowded",
        "somebody on load1 holds all connections that the database allows",
        Fault::Lines(&Lines {
            name: "database-crowded",
            host: "load1",
            inject: "systemd-run --quiet --unit=fl-crowd.service python3 -c 'import psycopg2, time; held = []
while time.sleep(0.02) is None:
    try: held.append(psycopg2.connect(\"host=db1 dbname=shop user=shop password=shop\"))
    except psycopg2.Error: time.sleep(0.2)'",
            heal: "systemctl stop fl-crowd.service || true",
        }),
        truth(DATABASE, "connections-exhausted"),
    ),
    drill(
        "throttled-app2",
        "the application on app2 may use a hundredth of a processor",
        Fault::Lines(&Lines {
            name: "throttled-app2",
            host: "app2",
            inject: "systemctl set-property --runtime shop.service CPUQuota=1%",
            heal: "systemctl set-property --runtime shop.service CPUQuota=",
        }),
        truth(SHOP2, "cpu-throttled"),
    ),
    drill(
        "tasks-app2",
        "the application on app2 may not start one thread more",
        Fault::Lines(&Lines {
            name: "tasks-app2",
            host: "app2",
            inject: "systemctl set-property --runtime shop.service TasksMax=1",
            heal: "systemctl set-property --runtime shop.service TasksMax=",
        }),
        truth(SHOP2, "pids-exhausted"),
    ),
    drill(
        "oom-app2",
        "a request eats the memory that the application on app2 may have",
        Fault::Lines(&Lines {
            name: "oom-app2",
            host: "app2",
            inject: "timeout 20 python3 -c 'import urllib.request as r; \
                     r.urlopen(\"http://127.0.0.1:8080/export\")' >/dev/null 2>&1 &",
            heal: "systemctl reset-failed shop; systemctl start shop",
        }),
        truth(SHOP2, "oom-kill"),
    ),
    drill(
        "surge-app1",
        "somebody asks the application on app1 directly, ten times as much as it is usually asked",
        Fault::Lines(&Lines {
            name: "surge-app1",
            host: "load1",
            inject: "systemd-run --quiet --unit=fl-rush.service python3 /opt/load/load.py \
                     http://app1:8080/order 100 /run/rush.json",
            heal: "systemctl stop fl-rush.service || true",
        }),
        truth(SHOP, "load-surge"),
    ),
    Drill {
        also: Some(truth(DATABASE, "database-lock")),
        ..drill(
            "lock-and-partition",
            "somebody's transaction on db1 holds the orders, and app2's cable is pulled out of the bridge",
            Fault::LockAndPartition,
            with_parts(&["host:app2"], "host-partitioned", "app2"),
        )
    },
];

impl Lines {
    /// # Errors
    /// When the line fails.
    pub fn inject(&self, lab: &Lab) -> anyhow::Result<()> {
        lab.host(self.host).shell(self.inject).map(drop)
    }

    /// # Errors
    /// When the line fails.
    pub fn heal(&self, lab: &Lab) -> anyhow::Result<()> {
        lab.host(self.host).shell(self.heal).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::lab::plan::HostPlan;

    #[test]
    fn every_fault_is_called_as_its_drill_and_no_two_drills_alike() {
        let known = CATALOGUE.iter().chain(&crate::catalogue::CATALOGUE);
        let names: HashSet<&str> = known.map(|drill| drill.name).collect();
        assert_eq!(
            names.len(),
            CATALOGUE.len() + crate::catalogue::CATALOGUE.len()
        );
        for drill in &CATALOGUE {
            if let Fault::Lines(lines) = drill.fault {
                assert_eq!(lines.name, drill.name);
                assert!(HostPlan::named(lines.host).is_some(), "{}", lines.host);
            }
        }
    }
}
