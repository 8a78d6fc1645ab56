//! Plans: where a schema's columns go, worked out once per schema.

use std::collections::BTreeMap;

use firstlook_model::{Columns, ComponentId, ComponentKind, Series};

use crate::certificates::{self, CertificateCell};
use crate::probes::{self, ProbeCells};
use crate::{clock, cpu, disk, io, limits, lost, memory, network, oom, service, space};

/// Which signals a judge reads, in the order of its indices.
pub(crate) type Signals = &'static [&'static str];

/// Columns of one component, in the order of its judge's signals; `None` where the host has no such series.
#[derive(Debug)]
pub(crate) struct Cells {
    pub component: ComponentId,
    columns: Vec<Option<u32>>,
}

/// The values of one component at one time.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    cells: &'a Cells,
    columns: &'a Columns,
    index: usize,
}

impl<'a> Row<'a> {
    pub fn new(cells: &'a Cells, columns: &'a Columns, index: usize) -> Self {
        Self {
            cells,
            columns,
            index,
        }
    }

    /// The value, if it was observed.
    pub fn get(&self, signal: usize) -> Option<f64> {
        let column = (*self.cells.columns.get(signal)?)?;
        let value = *self.columns.get(column as usize)?.get(self.index)?;
        value.is_finite().then_some(value)
    }
}

/// Where everything of one schema goes.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Level-one slot of each column.
    pub slots: Vec<u32>,
    pub cpu: Option<Cells>,
    pub lost: Option<Cells>,
    pub clock: Option<Cells>,
    pub disks: Vec<Cells>,
    pub memory: Option<Cells>,
    pub oom: Option<Cells>,
    pub io: Option<Cells>,
    pub tcp: Option<Cells>,
    pub filesystems: Vec<Cells>,
    pub interfaces: Vec<Cells>,
    pub services: Vec<Cells>,
    pub limits: Option<Cells>,
    pub service_limits: Vec<Cells>,
    pub probes: Vec<ProbeCells>,
    /// Probes beyond the limit, which are not followed.
    pub probes_over: usize,
    pub certificates: Vec<CertificateCell>,
    /// Certificates beyond the limit, which are not followed.
    pub certificates_over: usize,
}

impl Plan {
    pub fn new(series: &[Series], slots: Vec<u32>) -> Self {
        let mut by_component: BTreeMap<&ComponentId, Vec<(&str, u32)>> = BTreeMap::new();
        for (column, series) in (0u32..).zip(series) {
            let of_component = by_component.entry(&series.component).or_default();
            of_component.push((&series.signal, column));
        }
        let (probes, probes_over) = probes::cells(series);
        let (certificates, certificates_over) = certificates::cells(series);
        let mut plan = Self {
            slots,
            cpu: None,
            lost: None,
            clock: None,
            disks: Vec::new(),
            memory: None,
            oom: None,
            io: None,
            tcp: None,
            filesystems: Vec::new(),
            interfaces: Vec::new(),
            services: Vec::new(),
            limits: None,
            service_limits: Vec::new(),
            probes,
            probes_over,
            certificates,
            certificates_over,
        };
        for (component, known) in by_component {
            let pick = |signals| cells(component, &known, signals);
            match component.kind() {
                ComponentKind::Host => {
                    plan.cpu = pick(&cpu::SIGNALS);
                    plan.lost = pick(&lost::SIGNALS);
                    plan.clock = pick(&clock::SIGNALS);
                    plan.memory = pick(&memory::SIGNALS);
                    plan.oom = pick(&oom::HOST_SIGNALS);
                    plan.io = pick(&io::SIGNALS);
                    plan.tcp = pick(&network::TCP_SIGNALS);
                    plan.limits = pick(&limits::HOST_SIGNALS);
                }
                ComponentKind::Filesystem => plan.filesystems.extend(pick(&space::SIGNALS)),
                ComponentKind::Interface => {
                    plan.interfaces.extend(pick(&network::INTERFACE_SIGNALS));
                }
                ComponentKind::Service => {
                    plan.services.extend(pick(&service::SIGNALS));
                    plan.service_limits.extend(pick(&limits::SERVICE_SIGNALS));
                }
                ComponentKind::Disk => plan.disks.extend(pick(&disk::SIGNALS)),
                ComponentKind::Endpoint | ComponentKind::Agent => {}
            }
        }
        plan
    }
}

/// `None` when the component has none of the signals.
fn cells(component: &ComponentId, known: &[(&str, u32)], signals: Signals) -> Option<Cells> {
    let column = |signal: &&'static str| known.iter().find(|(s, _)| s == signal).map(|(_, c)| *c);
    let columns: Vec<Option<u32>> = signals.iter().map(column).collect();
    columns.iter().any(Option::is_some).then(|| Cells {
        component: component.clone(),
        columns,
    })
}
