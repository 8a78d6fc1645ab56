//! What a virtual machine is made of: the emulator, in a root of its own, and the guest's root.
//!
//! The emulator is the release's own, not the machine's: nothing is installed there, and a machine that has another one
//! for its own purposes keeps it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use crate::command::{check, words};
use crate::lab::image::{self, Recipe};

const EMULATOR: Recipe = Recipe {
    name: "emulator",
    packages: &["qemu-system-x86"],
    disabled: &[],
    masked: &[],
    finish: "mkdir -p /dev/net /lab; mknod /dev/net/tun c 10 200",
    version: 1,
};

const GUEST: Recipe = Recipe {
    name: "guest",
    packages: &[
        "systemd",
        "systemd-sysv",
        "dbus",
        "udev",
        "kmod",
        "iproute2",
        "nftables",
        "procps",
        "python3",
        "initramfs-tools",
        "linux-image-cloud-amd64",
    ],
    disabled: &[],
    masked: &[
        "apt-daily.timer",
        "apt-daily-upgrade.timer",
        "dpkg-db-backup.timer",
        "e2scrub_all.timer",
        "e2scrub_reap.service",
        "fstrim.timer",
        "getty.target",
        // Nobody is there to log in, and the port is our file.
        "serial-getty@ttyS0.service",
        "systemd-logind.service",
    ],
    // Only what the root's disk needs: an emulated processor takes seconds to unpack the rest.
    finish: "printf 'MODULES=list\n' > /etc/initramfs-tools/conf.d/lab; \
             printf 'virtio_pci\nvirtio_blk\next4\n' >> /etc/initramfs-tools/modules; \
             update-initramfs -u -k all",
    version: 1,
};

/// Size of the guest's disk. It is sparse.
const DISK_BYTES: u64 = 2 * 1024 * 1024 * 1024;
const MAKE_DEADLINE: Duration = Duration::from_secs(180);

/// The roots that a virtual machine is made of.
#[derive(Debug)]
pub struct Images {
    /// With the emulator; it becomes the root of its process.
    pub emulator: PathBuf,
    /// The guest's.
    pub guest: PathBuf,
}

/// Both images, built where the cache has none.
///
/// # Errors
/// As those of [`image::ensure`].
pub fn ensure() -> anyhow::Result<Images> {
    Ok(Images {
        emulator: image::ensure(&EMULATOR)?,
        guest: image::ensure(&GUEST)?,
    })
}

/// Makes a disk with a filesystem of all that is below `root`, without mounting it.
///
/// # Errors
/// When it does not fit, or there is no room for it.
pub fn make_disk(root: &Path, disk: &Path) -> anyhow::Result<()> {
    fs::File::create(disk)?.set_len(DISK_BYTES)?;
    let mut make = words(&["mkfs.ext4", "-q", "-F", "-d"]);
    check(make.arg(root).arg(disk), MAKE_DEADLINE)
        .map(drop)
        .context("making the guest's disk")
}

/// The only file in the root's `/boot` whose name begins like that.
///
/// # Errors
/// When there is none.
pub fn boot_file(root: &Path, beginning: &str) -> anyhow::Result<PathBuf> {
    let entries = fs::read_dir(root.join("boot")).context("looking for the guest's kernel")?;
    let mut found = entries.flatten().map(|entry| entry.path());
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with(beginning)
    };
    let found = found.find(is_it);
    found.with_context(|| format!("the guest's image has no {beginning}"))
}
