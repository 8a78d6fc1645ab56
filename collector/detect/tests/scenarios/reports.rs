//! What the world's hosts send each second.

use firstlook_model::probe::Failure;
use firstlook_model::signal::names as n;
use firstlook_model::{
    Columns, ComponentId, ComponentKind, Direction, EdgeObservation, EdgeStats, Inventory,
    Listener, MetricBlock, Mount, Record, Schema, Series, Severity, SignalKind, Timestamp, Unit,
    UnitState,
};

use crate::world::{SimEdge, World, service};

type Sample = (Series, f64);
type Sample0 = (&'static str, f64);

/// The collector restarts so often, in seconds.
const RESTARTS: i64 = 13;

impl World {
    /// One second passes.
    pub fn tick(&mut self) {
        self.secs += 1;
        for host in 0..self.hosts.len() {
            self.tick_host(host);
        }
        // Whatever happens, it happens across restarts.
        if self.secs % RESTARTS == 0 {
            self.restart();
        }
    }

    fn tick_host(&mut self, host: usize) {
        let at = self.own_time(host);
        if self.rng.next() < 0.3 {
            let name = self.hosts[host].services[0].name;
            let text = format!("request served|{}", self.secs);
            self.log(host, name, Severity::Info, &text);
        }
        let samples = self.samples(host);
        let (series, values): (Vec<Series>, Vec<f64>) = samples.into_iter().unzip();
        let schema = Schema::new(series);
        let block = MetricBlock {
            schema: schema.id(),
            times: vec![at],
            columns: Columns::from_row(values),
        };
        if self.secs % 60 == 1 {
            self.send(host, Record::Schema(schema));
        }
        self.send(host, Record::Metrics(block));
        if self.secs % 2 == 0 {
            let seen = self.dump(host, at);
            self.send(host, Record::Edges(seen));
        }
        self.tick_facts(host, at);
        if let Some(block) = self.take_lines(host) {
            self.send(host, Record::Logs(block));
        }
    }

    fn tick_facts(&mut self, host: usize, at: Timestamp) {
        let full = self.secs % 60 == 1;
        let moved: Vec<UnitState> = self.hosts[host]
            .services
            .iter()
            .filter(|s| full || !s.reported)
            .map(|s| UnitState {
                component: service(self.hosts[host].id.as_str(), s.name),
                time: at,
                active: s.active,
                sub: s.sub.to_owned(),
                result: s.result.to_owned(),
                restarts: s.restarts,
                main_pid: 1,
                exit_code: s.exit.0,
                exit_status: s.exit.1,
                since: None,
                wanted: s.wanted,
                invocation: "0".repeat(32),
            })
            .collect();
        if !moved.is_empty() {
            self.send(host, Record::Units(moved));
        }
        self.hosts[host]
            .services
            .iter_mut()
            .for_each(|s| s.reported = true);
        if full || self.hosts[host].changed_inventory {
            let inventory = self.inventory(host, at);
            self.send(host, Record::Inventory(inventory));
            self.hosts[host].changed_inventory = false;
        }
    }

    fn inventory(&self, host: usize, at: Timestamp) -> Inventory {
        let sim = &self.hosts[host];
        let owned = |s: &crate::world::SimService| service(sim.id.as_str(), s.name);
        let listening = sim.services.iter().filter(|s| s.listens);
        let listeners = listening.filter_map(|s| {
            Some(Listener {
                address: "0.0.0.0".parse().unwrap(),
                port: s.port?,
                component: owned(s),
            })
        });
        let users = &sim.services[..if sim.shared { sim.services.len() } else { 1 }];
        Inventory {
            time: at,
            hostname: sim.id.to_string(),
            kernel: "6.1".to_owned(),
            os: "test".to_owned(),
            boot_id: "b".repeat(32),
            booted: Timestamp::from_secs(0),
            cores: 2,
            memory_bytes: 8_000_000_000,
            addresses: vec![sim.address],
            listeners: listeners.collect(),
            mounts: vec![Mount {
                component: filesystem(self, host),
                fstype: "ext4".to_owned(),
                device: "/dev/loop0".to_owned(),
                used_by: users.iter().map(owned).collect(),
            }],
            agent_version: "0.1.0".to_owned(),
            blind: sim.blind.clone(),
        }
    }

    fn dump(&mut self, host: usize, at: Timestamp) -> Vec<EdgeObservation> {
        let mut seen = Vec::new();
        for index in 0..self.edges.len() {
            let edge = self.edges[index].clone();
            if !edge.there {
                continue;
            }
            let callee = edge
                .callee
                .map_or_else(|a| a, |(h, _)| self.hosts[h].address);
            if edge.caller.0 == host {
                let local = service(self.hosts[host].id.as_str(), edge.caller.1);
                let stats = self.stats(&edge, Direction::Outbound);
                seen.push(observed(
                    at,
                    local,
                    Direction::Outbound,
                    callee,
                    edge.port,
                    stats,
                ));
            }
            if let Ok((of, name)) = edge.callee
                && of == host
            {
                let local = service(self.hosts[host].id.as_str(), name);
                let remote = self.hosts[edge.caller.0].address;
                let stats = self.stats(&edge, Direction::Inbound);
                seen.push(observed(
                    at,
                    local,
                    Direction::Inbound,
                    remote,
                    edge.port,
                    stats,
                ));
            }
        }
        seen
    }

    fn stats(&mut self, edge: &SimEdge, direction: Direction) -> EdgeStats {
        let outbound = direction == Direction::Outbound;
        let flows = edge.connections > edge.backing_off;
        let segments = if flows {
            self.rng.around(2.0 * edge.segments, 0.3)
        } else {
            0.0
        };
        // Even a clean path loses a segment now and then.
        let stray = f64::from(u8::from(self.rng.next() < 0.05));
        let bytes = if flows {
            self.rng.around(2.0 * edge.bytes, 0.5) as u64
        } else {
            0
        };
        let rtt =
            self.rng.around(edge.rtt_ms, 0.4) + if self.rng.next() < 0.02 { 5.0 } else { 0.0 };
        EdgeStats {
            established: edge.connections,
            syn_sent: if outbound { edge.syn_sent } else { 0 },
            close_wait: if outbound { 0 } else { edge.close_wait },
            closing: 0,
            opened: edge.opened,
            bytes_sent: bytes,
            bytes_received: if edge.stalled_ms > 0 { 0 } else { bytes },
            segments_sent: segments as u64,
            retransmits: (segments * edge.loss + stray) as u64,
            backing_off: if outbound { edge.backing_off } else { 0 },
            full_backing_off: if outbound { edge.full_backing_off } else { 0 },
            rtt_us: flows.then_some((rtt * 1_000.0) as u32),
            send_queue_bytes: 0,
            receive_queue_bytes: if outbound { 0 } else { edge.unread },
            stalled_ms: if outbound { edge.stalled_ms } else { 0 },
            calls: None,
        }
    }

    fn count(&mut self, host: usize, of: &ComponentId, signal: &'static str, by: f64) -> f64 {
        let counter = self.hosts[host]
            .counters
            .entry((of.clone(), signal))
            .or_insert(1_000.0);
        *counter += by;
        *counter
    }

    fn samples(&mut self, host: usize) -> Vec<Sample> {
        let sim = self.hosts[host].clone();
        let me = ComponentId::host(sim.id.clone());
        let mut all = Vec::new();
        let gauges = [
            (n::CPU_CORES, 2.0),
            (
                n::PROCESSES_RUNNING,
                self.rng.around(sim.running, 0.5).round(),
            ),
            (n::MEMORY_TOTAL, 8e9),
            (
                n::MEMORY_AVAILABLE,
                self.rng.around(sim.memory_available, 0.02),
            ),
        ];
        all.extend(gauges.map(|(s, v)| gauge(&me, s, v)));
        all.extend(self.limit_samples(&sim).map(|(s, v)| gauge(&me, s, v)));
        let segments = self.rng.around(500.0, 0.3);
        let counters = [
            (
                n::PRESSURE_CPU_SOME,
                self.rng.around(sim.pressure, 0.2).min(1.0),
            ),
            (n::PRESSURE_CPU_FULL, sim.withheld),
            (
                n::PRESSURE_IO_SOME,
                self.rng.around(sim.io_pressure, 0.5).min(1.0),
            ),
            (n::PRESSURE_MEMORY_SOME, sim.memory_pressure),
            (n::PRESSURE_MEMORY_FULL, 0.0),
            (n::CPU_IDLE, 2.0 - self.rng.around(sim.busy, 0.1).min(2.0)),
            (n::OOM_KILLS, sim.host_oom),
            (n::TCP_SEGMENTS_OUT, segments),
            (
                n::TCP_RETRANSMITS,
                (segments * self.rng.around(sim.loss, 0.5)).round(),
            ),
            (n::TCP_ATTEMPT_FAILS, sim.fails),
            (n::CONNTRACK_DROPS, sim.untracked),
            (n::TCP_LISTEN_OVERFLOWS, sim.overflows),
            (n::CPU_STEAL, 2.0 * sim.stolen),
        ];
        for (signal, by) in counters {
            let value = self.count(host, &me, signal, by);
            all.push(counter(&me, signal, value));
        }
        self.hosts[host].host_oom = 0.0;
        all.extend(self.interface_samples(host));
        all.extend(self.disk_samples(host));
        all.extend(filesystem_samples(self, host));
        all.extend(self.probe_samples(host));
        for index in 0..sim.services.len() {
            all.extend(self.service_samples(host, index));
        }
        all
    }

    /// Ports are counted every two seconds, clocks asked every sixteen.
    fn limit_samples(&self, sim: &crate::world::SimHost) -> [Sample0; 11] {
        let every = |secs: i64, value: f64| match self.secs % secs {
            0 => value,
            _ => f64::NAN,
        };
        [
            (n::FILES_OPEN, 4_000.0),
            (n::FILES_LIMIT, 9.2e18),
            (n::TASKS, 400.0),
            (n::TASKS_PID_LIMIT, 32_768.0),
            (n::TASKS_LIMIT, 60_000.0),
            (n::TCP_EPHEMERAL_PORTS_USED, every(2, sim.ports)),
            (n::TCP_EPHEMERAL_PORTS, 28_000.0),
            (n::CONNTRACK_ENTRIES, sim.tracked),
            (n::CONNTRACK_LIMIT, 65_536.0),
            (n::CLOCK_OFFSET, every(16, sim.offset)),
            (n::CPU_THERMAL_THROTTLES, every(10, self.heat(sim))),
        ]
    }

    /// What the counter of throttling stands at: it rises every ten seconds by as much.
    fn heat(&self, sim: &crate::world::SimHost) -> f64 {
        sim.too_hot * (self.secs / 10) as f64
    }

    fn probe_samples(&self, host: usize) -> Vec<Sample> {
        let sim = &self.hosts[host];
        let probed = service(sim.id.as_str(), sim.services[0].name);
        let up = sim.page == 200.0;
        let failure = match up {
            true => 0.0,
            false => f64::from(Failure::WrongStatus.code()),
        };
        let look = [
            ("probe.front.up", f64::from(u8::from(up))),
            ("probe.front.failure", failure),
            ("probe.front.status", sim.page),
            ("probe.front.expected", 200.0),
        ];
        // Between two looks there is no value.
        let now = self.secs % 5 == 0;
        let sample = |(signal, value)| gauge(&probed, signal, if now { value } else { f64::NAN });
        look.map(sample).into()
    }

    fn interface_samples(&mut self, host: usize) -> Vec<Sample> {
        let sim = self.hosts[host].clone();
        let eth0 = ComponentId::on_host(ComponentKind::Interface, sim.id.clone(), "eth0").unwrap();
        let packets = self.rng.around(sim.rx_packets, 0.3);
        let counters = [
            (n::INTERFACE_RX_PACKETS, packets),
            (n::INTERFACE_TX_PACKETS, 50.0),
            (n::INTERFACE_RX_BYTES, packets * 300.0),
            (n::INTERFACE_TX_BYTES, 10_000.0),
            (n::INTERFACE_RX_DROPS, sim.drops),
        ];
        let mut all = vec![
            gauge(&eth0, n::INTERFACE_UP, sim.interface_up),
            gauge(&eth0, n::INTERFACE_TX_QUEUE, sim.queued),
        ];
        for (signal, by) in counters {
            let value = self.count(host, &eth0, signal, by);
            all.push(counter(&eth0, signal, value));
        }
        all
    }

    fn disk_samples(&mut self, host: usize) -> Vec<Sample> {
        let sim = self.hosts[host].clone();
        let sda = ComponentId::on_host(ComponentKind::Disk, sim.id.clone(), "sda").unwrap();
        let writes = self.rng.around(40.0, 0.3).round();
        let written = self.rng.around(sim.written, 0.3);
        let mut all = vec![gauge(&sda, n::ARRAY_MEMBERS, 2.0)];
        all.push(gauge(&sda, n::ARRAY_MEMBERS_ACTIVE, sim.members));
        all.push(gauge(&sda, n::ARRAY_MEMBERS_FAILED, 0.0));
        for (signal, by) in [
            (n::DISK_WRITES, writes),
            (
                n::DISK_WRITE_SECONDS,
                writes * self.rng.around(sim.wait_s, 0.4),
            ),
            (n::DISK_WRITTEN_BYTES, written),
        ] {
            let value = self.count(host, &sda, signal, by);
            all.push(counter(&sda, signal, value));
        }
        all
    }

    fn service_samples(&mut self, host: usize, index: usize) -> Vec<Sample> {
        let sim = self.hosts[host].services[index].clone();
        let me = service(self.hosts[host].id.as_str(), sim.name);
        let mut all = vec![
            gauge(&me, n::SERVICE_MEMORY, self.rng.around(sim.memory, 0.05)),
            gauge(&me, n::SERVICE_PROCESSES, sim.processes),
            gauge(&me, n::SERVICE_STOPPED, sim.stopped),
            gauge(&me, n::SERVICE_BLOCKED, sim.blocked),
            gauge(&me, n::SERVICE_OPEN_FILES, sim.open_files),
            gauge(&me, n::SERVICE_OPEN_FILES_LIMIT, 1_024.0),
            gauge(
                &me,
                n::SERVICE_TASKS,
                if self.secs % 5 == 0 {
                    sim.tasks
                } else {
                    f64::NAN
                },
            ),
            gauge(&me, n::SERVICE_TASKS_LIMIT, 100.0),
        ];
        if sim.port.is_some() {
            all.push(gauge(&me, n::SERVICE_ACCEPT_QUEUE, sim.queue));
            all.push(gauge(&me, n::SERVICE_ACCEPT_BACKLOG, 8.0));
        }
        let used = self.rng.around(sim.cores, 0.5);
        for (signal, by) in [
            (n::SERVICE_CPU, used),
            (n::SERVICE_OOM_KILLS, sim.oom_kills),
            (n::SERVICE_TASKS_REFUSED, sim.refused),
            (n::SERVICE_CPU_PERIODS, if sim.quota { 10.0 } else { 0.0 }),
            (
                n::SERVICE_THROTTLED_PERIODS,
                if sim.quota {
                    (10.0 * sim.throttled).round()
                } else {
                    0.0
                },
            ),
        ] {
            let value = self.count(host, &me, signal, by);
            all.push(counter(&me, signal, value));
        }
        self.hosts[host].services[index].oom_kills = 0.0;
        all
    }
}

fn observed(
    time: Timestamp,
    local: ComponentId,
    direction: Direction,
    remote: std::net::IpAddr,
    port: u16,
    stats: EdgeStats,
) -> EdgeObservation {
    EdgeObservation {
        time,
        interval_ms: 2_000,
        local,
        direction,
        remote,
        port,
        stats,
    }
}

pub fn filesystem(world: &World, host: usize) -> ComponentId {
    let id = world.hosts[host].id.clone();
    ComponentId::on_host(ComponentKind::Filesystem, id, "/var/lib/data").unwrap()
}

fn filesystem_samples(world: &World, host: usize) -> Vec<Sample> {
    let (sim, me) = (&world.hosts[host], filesystem(world, host));
    // While statvfs hangs, its numbers are missing.
    let seen = if sim.hung > 0.0 { f64::NAN } else { 1.0 };
    let gauges = [
        (n::FILESYSTEM_SIZE, 256e6 * seen),
        (n::FILESYSTEM_AVAILABLE, sim.available * seen),
        (n::FILESYSTEM_INODES, 65_536.0 * seen),
        (n::FILESYSTEM_INODES_AVAILABLE, sim.inodes * seen),
        (n::FILESYSTEM_READONLY, sim.readonly * seen),
        (n::FILESYSTEM_HUNG, sim.hung),
    ];
    gauges
        .into_iter()
        .map(|(signal, value)| gauge(&me, signal, value))
        .collect()
}

fn series(of: &ComponentId, signal: &str, kind: SignalKind) -> Series {
    let unit = match signal {
        s if s.ends_with("_bytes") || s.ends_with("_bytes_total") => Unit::Bytes,
        s if s.ends_with("_seconds_total") => Unit::Seconds,
        _ => Unit::Count,
    };
    Series {
        component: of.clone(),
        signal: signal.to_owned(),
        unit,
        kind,
    }
}

fn gauge(of: &ComponentId, signal: &str, value: f64) -> Sample {
    (series(of, signal, SignalKind::Gauge), value)
}

fn counter(of: &ComponentId, signal: &str, value: f64) -> Sample {
    (series(of, signal, SignalKind::Counter), value)
}
