//! Level two on a block of samples: to each judge what it reads.

use firstlook_model::{ComponentId, LogEntry, MetricBlock, Timestamp};

use super::{COVERAGE_S, Host};
use crate::config::DetectConfig;
use crate::draft::Source;
use crate::jobs;
use crate::kernel::{self, Named};
use crate::oom::Witness;
use crate::plan::{Plan, Row};
use crate::service::Service;

/// Most disks of one host that are followed.
const DISKS_LIMIT: usize = 1_000;

impl Host {
    pub(super) fn count_samples(&mut self, times: &[Timestamp]) {
        for at in times {
            if let Some(before) = self.samples.last()
                && *at > before
            {
                self.step_s
                    .feed(at.since(before).as_secs_f64().min(COVERAGE_S as f64), 0.1);
            }
            self.samples.push(*at, 1.0, 1.0);
        }
    }

    /// Share of the expected samples that came within the last half minute.
    pub(super) fn coverage(&self) -> f64 {
        let step = self.step_s.location().max(0.1);
        (self.samples.sums().0 * step / COVERAGE_S as f64).min(1.0)
    }

    /// Level two on the signals that symptoms are made of.
    pub(super) fn judge_block(&mut self, plan: &Plan, block: &MetricBlock, config: &DetectConfig) {
        for (index, at) in block.times.iter().enumerate() {
            let warm = self.is_warm(*at, config);
            let row = |cells| Row::new(cells, &block.columns, index);
            if let Some(cells) = &plan.cpu {
                self.cpu.take(*at, &row(cells), warm);
            }
            if let Some(cells) = &plan.lost {
                self.lost.take(*at, &row(cells), warm);
            }
            if let Some(cells) = &plan.memory {
                self.memory.take(*at, &row(cells), warm);
            }
            if let Some(cells) = &plan.io {
                self.io.take(*at, &row(cells), warm);
            }
            if let Some(cells) = &plan.oom {
                self.oom.take(*at, &row(cells));
            }
            if let Some(cells) = &plan.limits {
                self.limits.take(*at, &row(cells));
            }
            if let Some(cells) = &plan.clock {
                self.source_clock.take(*at, &row(cells));
            }
            if let Some(cells) = &plan.tcp {
                self.network.take_tcp(*at, &row(cells), warm);
            }
            if !plan.interfaces.is_empty() {
                let rows: Vec<_> = plan.interfaces.iter().map(|c| (c, row(c))).collect();
                self.network.take_interfaces(*at, &rows, warm);
            }
        }
        for cells in &plan.filesystems {
            let filesystem = self.filesystems.entry(cells.component.clone()).or_default();
            for (index, at) in block.times.iter().enumerate() {
                filesystem.take(*at, &Row::new(cells, &block.columns, index));
            }
        }
        self.judge_disks(plan, block, config);
        for cells in &plan.probes {
            self.probes.take(cells, &block.times, &block.columns);
        }
        for cell in &plan.certificates {
            self.certificates.take(cell, &block.times, &block.columns);
        }
        let mut killed = Vec::new();
        for cells in &plan.services {
            if !self.services.contains_key(&cells.component) {
                self.services
                    .insert(cells.component.clone(), Service::default());
            }
            let Some(service) = self.services.get_mut(&cells.component) else {
                continue;
            };
            let is_cron = jobs::is_cron(&cells.component);
            for (index, at) in block.times.iter().enumerate() {
                let warm = self
                    .began
                    .is_some_and(|began| *at >= began.plus(config.warm_up));
                if service.take(*at, &Row::new(cells, &block.columns, index), warm) {
                    killed.push((&cells.component, *at));
                }
                if let Some(processes) = service.processes().filter(|_| is_cron) {
                    self.jobs.take_cron(*at, processes);
                }
            }
        }
        self.judge_limits(plan, block, config);
        for (service, at) in killed {
            self.killed(
                service,
                at,
                "its control group counts a kill for want of memory",
            );
        }
    }

    /// Only of services that are known otherwise: what is limited is not alone what lives.
    fn judge_limits(&mut self, plan: &Plan, block: &MetricBlock, config: &DetectConfig) {
        let warm = self.began.map(|began| began.plus(config.warm_up));
        for cells in &plan.service_limits {
            let Some(service) = self.services.get_mut(&cells.component) else {
                continue;
            };
            for (index, at) in block.times.iter().enumerate() {
                let row = Row::new(cells, &block.columns, index);
                let warm = warm.is_some_and(|warm| *at >= warm) && service.is_known(*at);
                service.limits.take(*at, &row, warm);
            }
        }
    }

    pub(super) fn killed(&mut self, service: &ComponentId, at: Timestamp, text: &str) {
        let source = Source::Metric(firstlook_model::signal::names::SERVICE_OOM_KILLS);
        self.oom
            .killed(service, at, Witness::Sure, text.to_owned(), source);
    }

    fn judge_disks(&mut self, plan: &Plan, block: &MetricBlock, config: &DetectConfig) {
        let warm = self.began.map(|began| began.plus(config.warm_up));
        for cells in &plan.disks {
            let known = self.disks.contains_key(&cells.component);
            if !known && self.disks.len() >= DISKS_LIMIT {
                continue;
            }
            if !known {
                self.disks
                    .insert(cells.component.clone(), Default::default());
            }
            let Some(disk) = self.disks.get_mut(&cells.component) else {
                continue;
            };
            for (index, at) in block.times.iter().enumerate() {
                let row = Row::new(cells, &block.columns, index);
                disk.take(*at, &row, warm.is_some_and(|warm| *at >= warm));
            }
        }
    }

    /// Takes a line of the kernel's log.
    pub(super) fn take_kernel_line(&mut self, entry: &LogEntry) {
        self.oom.line(&self.id, entry.time, &entry.text);
        match kernel::named(&entry.text) {
            Some(Named::TrackingFull) => self.limits.table_is_full(entry.time),
            Some(Named::Device(device)) => {
                let mut disks = self.disks.iter_mut();
                // The kernel names partitions; the disk is what fails.
                if let Some((_, disk)) = disks.find(|(id, _)| kernel::is_of(device, id.name())) {
                    disk.error(entry.time, &entry.text);
                }
            }
            Some(Named::FilesystemOn(device)) => self.filesystem_error(device, entry),
            None => {}
        }
    }

    fn filesystem_error(&mut self, device: &str, entry: &LogEntry) {
        let on_it = |path: &str| path.rsplit('/').next() == Some(device);
        for mount in self.mounts.iter().filter(|mount| on_it(&mount.device)) {
            if let Some(filesystem) = self.filesystems.get_mut(&mount.component) {
                filesystem.error(entry.time, &entry.text);
            }
        }
    }
}
