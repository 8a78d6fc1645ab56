//! The emulator's process: how it is started, and what of it lies where.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;

use super::image::{self, Images};
use crate::lab::plan::{BRIDGE_SPACE, HostPlan};
use crate::lab::{cgroup, host, network};

/// Below the emulator's root: all that it opens.
const SHARED: &str = "lab";
/// What the guest may have, in MiB.
const MEMORY_MIB: &str = "768";
/// No names by place for its one interface, and no defences against neighbours that an emulated processor has not.
const KERNEL_OPTIONS: &str =
    "root=/dev/vda rw console=ttyS0 quiet panic=-1 mitigations=off net.ifnames=0";

/// A virtual machine's emulator, ready to be started any number of times.
#[derive(Debug)]
pub struct Emulator {
    plan: &'static HostPlan,
    root: PathBuf,
}

impl Emulator {
    /// Sets up the emulator's root, and in it the machine: kernel and disk from the guest's root as the plan has
    /// prepared it.
    ///
    /// # Errors
    /// When a mount is refused, or there is no room.
    pub fn prepare(plan: &'static HostPlan, images: &Images) -> anyhow::Result<Self> {
        let layers = std::slice::from_ref(&images.emulator);
        let root = host::mount_overlay(&plan.dir().join("emulator"), layers)?;
        let shared = root.join(SHARED);
        fs::create_dir_all(&shared)?;
        for (name, file) in [("vmlinuz-", "kernel"), ("initrd.img-", "initrd")] {
            let from = image::boot_file(&plan.root(), name)?;
            fs::copy(from, shared.join(file)).context("taking the guest's kernel")?;
        }
        image::make_disk(&plan.root(), &shared.join("disk"))?;
        Ok(Self { plan, root })
    }

    /// Starts it as a process of the machine's cgroup. It is the machine's power: end it, and what the guest had not
    /// yet handed to its disk is gone.
    ///
    /// # Errors
    /// When it cannot be started at all; later it says why in [`Self::said`].
    pub fn start(&self) -> anyhow::Result<Child> {
        let name = self.plan.outer_name();
        cgroup::create(&name)?;
        let said = File::create(self.path("emulator.log"))?;
        // Each boot's console comes after the one before.
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("console.log"))?;
        let mut command = host::joining(cgroup::dirs(&name));
        command
            .arg("nsenter")
            .arg(format!(
                "--net={}",
                network::space_path(BRIDGE_SPACE).display()
            ))
            .args(["--", "chroot"])
            .arg(&self.root);
        arguments(&mut command, &name, &self.plan.address());
        command
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            // A group of its own: an interrupt from the terminal is for us, not for the machine.
            .process_group(0);
        command.spawn().context("starting the emulator")
    }

    /// The end of the guest's console, and what the emulator said.
    pub fn said(&self) -> String {
        let files = ["emulator.log", "console.log"].map(|file| fs::read(self.path(file)));
        let text =
            files.map(|file| String::from_utf8_lossy(&file.unwrap_or_default()).into_owned());
        let lines: Vec<&str> = text.iter().flat_map(|text| text.lines()).collect();
        lines[lines.len().saturating_sub(6)..].join(" | ")
    }

    /// The file of the guest's console.
    pub fn console_log(&self) -> PathBuf {
        self.path("console.log")
    }

    /// The socket of the guest's shell.
    pub fn shell_socket(&self) -> PathBuf {
        self.path("shell")
    }

    fn path(&self, file: &str) -> PathBuf {
        self.root.join(SHARED).join(file)
    }
}

/// Where the shell's socket of a machine is that another run of ours has left up.
pub fn shell_socket_of(plan: &HostPlan) -> PathBuf {
    let root = plan.dir().join("emulator").join("root");
    root.join(SHARED).join("shell")
}

/// The emulator and its command line; paths are those inside its root.
fn arguments(command: &mut Command, tap: &str, address: &str) {
    let path = |file: &str| Path::new("/").join(SHARED).join(file).display().to_string();
    let last = address
        .rsplit('.')
        .next()
        .and_then(|last| last.parse().ok());
    let device = format!(
        "virtio-net-pci,netdev=net,romfile=,mac=52:54:00:4d:00:{:02x}",
        last.unwrap_or(0_u8)
    );
    command
        .arg("/usr/bin/qemu-system-x86_64")
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        // A guest that panics or reboots ends the process: nothing hangs about.
        .arg("-no-reboot")
        .args(["-machine", "q35", "-accel", "tcg", "-cpu", "max,la57=off"])
        .args(["-smp", "1", "-m", MEMORY_MIB, "-rtc", "base=utc"])
        .args(["-kernel", &path("kernel"), "-initrd", &path("initrd")])
        .args(["-append", KERNEL_OPTIONS])
        // What the guest flushes is flushed; what it does not stays in the guest's memory and dies with it.
        .arg("-drive")
        .arg(format!(
            "file={},if=none,id=disk,format=raw,cache=writeback",
            path("disk")
        ))
        .args(["-device", "virtio-blk-pci,drive=disk"])
        .arg("-netdev")
        .arg(format!("tap,id=net,ifname={tap},script=no,downscript=no"))
        .args(["-device", &device, "-device", "virtio-rng-pci"])
        .arg("-chardev")
        .arg(format!(
            "file,id=log,path={},append=on",
            path("console.log")
        ))
        .args(["-serial", "chardev:log", "-device", "virtio-serial-pci"])
        .arg("-chardev")
        .arg(format!(
            "socket,id=shell,path={},server=on,wait=off",
            path("shell")
        ))
        .args([
            "-device",
            "virtserialport,chardev=shell,name=firstlook.console",
        ]);
}
