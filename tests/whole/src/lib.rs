//! What the tests of the whole work with: the real programs as child processes on loopback, in folders of
//! their own, and peers that speak the wire themselves, well or badly.
//!
//! Everything here panics when it cannot go on: its callers are tests.

pub mod binaries;
pub mod host;
pub mod house;
pub mod line;
pub mod papers;
pub mod process;
pub mod puppet;
pub mod records;
pub mod relay;
pub mod small_disk;
pub mod wait;

pub use host::Host;
pub use house::{House, Said};
pub use line::Line;
pub use papers::Papers;
pub use process::Process;
pub use puppet::Puppet;
pub use relay::Relay;
pub use small_disk::SmallDisk;
pub use wait::{LONG, until};
