//! Lines of the kernel that name what fails: a device, a filesystem on one, a table, a control group.
//!
//! On machines that share a kernel every host reads every line: a line counts only for what the host itself has.

/// What a line names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named<'a> {
    /// An error of a block device, by its name in `/proc/diskstats`.
    Device(&'a str),
    /// An error of the structures of a filesystem on this device.
    FilesystemOn(&'a str),
    /// The table of tracked connections is full.
    TrackingFull,
}

/// How far into a line is looked, in bytes.
const HEAD_LIMIT_BYTES: usize = 512;

/// Reads one line. Forms of Linux 4.9 to 6.x: `block/blk-core.c`, `fs/buffer.c`, `fs/ext4/super.c`, `fs/xfs/xfs_message.c`,
/// `net/netfilter/nf_conntrack_core.c`.
pub(crate) fn named(line: &str) -> Option<Named<'_>> {
    let mut end = line.len().min(HEAD_LIMIT_BYTES);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let line = &line[..end];
    if line.contains("nf_conntrack") && line.contains("table full, dropping packet") {
        return Some(Named::TrackingFull);
    }
    for before in [
        "I/O error, dev ",
        "medium error, dev ",
        "target error, dev ",
        "critical space allocation error, dev ",
        "Buffer I/O error on dev ",
        "Buffer I/O error on device ",
    ] {
        if let Some(device) = word_after(line, before) {
            return Some(Named::Device(device));
        }
    }
    if let Some(device) = word_after(line, "EXT4-fs error (device ") {
        return Some(Named::FilesystemOn(device));
    }
    let xfs = word_after(line, "XFS (")?;
    let grave = [
        "Corruption",
        "metadata I/O error",
        "hutting down filesystem",
    ];
    grave
        .iter()
        .any(|words| line.contains(words))
        .then_some(Named::FilesystemOn(xfs))
}

/// The word after some text, up to what cannot be in a device's name.
fn word_after<'a>(line: &'a str, before: &str) -> Option<&'a str> {
    let (_, after) = line.split_once(before)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '!');
    let end = after.find(|c| !fits(c)).unwrap_or(after.len());
    (end > 0).then(|| &after[..end])
}

/// Whether a device of a line is a disk or a partition of it: `sda1` of `sda`, `nvme0n1p2` of `nvme0n1`.
pub(crate) fn is_of(device: &str, disk: &str) -> bool {
    let Some(rest) = device.strip_prefix(disk) else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match disk.ends_with(|c: char| c.is_ascii_digit()) {
        _ if rest.is_empty() => true,
        true => rest.strip_prefix('p').is_some_and(digits),
        false => digits(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_kernels_name_what_fails() {
        for (line, says) in [
            (
                "blk_update_request: I/O error, dev sda, sector 2048 op 0x0:(READ) flags 0x0",
                Named::Device("sda"),
            ),
            (
                "I/O error, dev nvme0n1, sector 77 op 0x1:(WRITE) flags 0x800 phys_seg 1 prio class 2",
                Named::Device("nvme0n1"),
            ),
            (
                "Buffer I/O error on dev dm-0, logical block 5, async page read",
                Named::Device("dm-0"),
            ),
            (
                "critical medium error, dev sdb, sector 9 op 0x0:(READ)",
                Named::Device("sdb"),
            ),
            (
                "EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm ls: reading directory",
                Named::FilesystemOn("sda1"),
            ),
            (
                "XFS (dm-3): log I/O error -5 detected. Shutting down filesystem",
                Named::FilesystemOn("dm-3"),
            ),
            (
                "nf_conntrack: nf_conntrack: table full, dropping packet",
                Named::TrackingFull,
            ),
        ] {
            assert_eq!(named(line), Some(says), "{line}");
        }
        for line in [
            "",
            "XFS (sda1): Mounting V5 Filesystem",
            "EXT4-fs (sda1): mounted filesystem with ordered data mode",
            "I/O error, dev ",
            "usb 1-1: new high-speed USB device",
        ] {
            assert_eq!(named(line), None, "{line}");
        }
    }

    #[test]
    fn a_partition_is_of_its_disk_and_of_no_other() {
        for (device, disk) in [
            ("sda", "sda"),
            ("sda1", "sda"),
            ("nvme0n1p2", "nvme0n1"),
            ("dm-1", "dm-1"),
        ] {
            assert!(is_of(device, disk), "{device} {disk}");
        }
        for (device, disk) in [
            ("sdaa", "sda"),
            ("sdb1", "sda"),
            ("nvme0n12", "nvme0n1"),
            ("dm-11", "dm-1"),
        ] {
            assert!(!is_of(device, disk), "{device} {disk}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read_without_harm(line in "(I/O error, dev |XFS \\(|EXT4-fs error \\(device |ä|[a-z0-9 ,)]){0,80}") {
            let _ = named(&line);
        }
    }
}
