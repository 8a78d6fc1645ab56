//! Host sources: everything numeric and socket-like that a host shows, read once a second, with no child
//! process and no unsafe code.
//!
//! One file per thing read, each a pure parser over bytes and a thin read. Readers are our own: measured on
//! 490 processes, descriptors kept open and buffers reused cost 2.6 ms a round for `/proc/PID/stat`, the procfs
//! crate 8 ms and the sysinfo crate 18–29 ms; a round of eleven host files costs 0.1 ms. What comes from the
//! kernel is checked all the same: names in it are chosen by whoever runs on the host.

mod addresses;
mod arrays;
mod bonds;
mod ceilings;
mod cgroups;
mod clock;
pub mod coverage;
mod cpu;
mod damage;
mod descriptors;
mod disk;
mod edac;
mod endpoints;
mod family;
mod filesystem;
mod inventory;
mod limits;
mod membership;
mod memory;
mod mounts;
mod neighbours;
mod netlink;
mod netstat;
mod network;
mod nfs;
mod numbered;
mod open_files;
mod own;
mod packets;
mod pressure;
mod processes;
mod queues;
mod reader;
mod registry;
mod rising;
mod roots;
mod run;
mod sampler;
mod services;
mod sockets;
mod sockstat;
mod text;
mod thermal;
mod vmstat;

pub use endpoints::{Endpoints, Transport};
pub use limits::Limits;
pub use own::{
    CONNECTIONS_UNATTRIBUTED, EDGES_BEYOND, HOST_CPU, MALFORMED, PROCESSES_BEYOND, SAMPLES_MISSED,
    SERIES_REFUSED, SOCKETS_BEYOND,
};
pub use roots::HostRoots;
pub use run::{HostConfig, HostError, SOURCE, Sink, run};
pub use sampler::HostSampler;
