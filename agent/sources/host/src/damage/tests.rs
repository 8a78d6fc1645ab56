use super::*;
use crate::reader::Descriptors;
use firstlook_model::Timestamp;
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

fn write(path: PathBuf, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A host with an ext4 on `dm-0`, and a btrfs of two devices, one of them missing.
fn host(folder: &Path) -> HostRoots {
    let (proc, sys) = (folder.join("proc"), folder.join("sys"));
    let mounts = "1 0 253:0 / / rw - ext4 /dev/mapper/vg-root rw\n\
        2 1 0:41 / /srv rw - btrfs /dev/mapper/vg-srv rw\n\
        3 1 8:1 / /boot rw - xfs /dev/sda1 rw\n\
        4 1 0:42 / /opt rw - btrfs /dev/sdz9 rw\n";
    write(proc.join("1/mountinfo"), mounts);
    fs::create_dir_all(sys.join("dev/block")).unwrap();
    let link = sys.join("dev/block/253:0");
    symlink("../../devices/virtual/block/dm-0", link).unwrap();
    write(sys.join("fs/ext4/dm-0/errors_count"), "3\n");
    write(sys.join("block/dm-0/dm/name"), "vg-root\n");
    write(sys.join("block/dm-1/dm/name"), "vg-srv\n");
    let btrfs = sys.join("fs/btrfs/4a5d");
    write(btrfs.join("devices/dm-1"), "");
    write(sys.join("fs/btrfs/features/raid56"), "");
    // The form is the kernel's, from 5.14 on.
    let errors =
        "write_errs 1\nread_errs 20\nflush_errs 0\ncorruption_errs 300\ngeneration_errs 0\n";
    write(btrfs.join("devinfo/1/error_stats"), errors);
    write(btrfs.join("devinfo/1/missing"), "0\n");
    write(btrfs.join("devinfo/2/missing"), "1\n");
    HostRoots {
        proc,
        sys,
        ..HostRoots::default()
    }
}

#[test]
fn errors_belong_to_the_file_system_that_counted_them() {
    let folder = tempfile::tempdir().unwrap();
    let roots = host(folder.path());
    let mut scratch = Vec::new();
    let mut mounts = Mounts::new(&roots, &Descriptors::new(4), 16);
    mounts.refresh(&mut scratch);
    let name = HostId::new("h1").unwrap();
    let mut damage = Damage::new(name, &roots, &Limits::default());
    let mut registry = Registry::new(Duration::ZERO);
    damage.sample(&mut registry, &mut scratch, &mounts);
    let frame = registry.frame(Timestamp::from_secs(0));
    let seen: Vec<_> = frame
        .schema
        .series()
        .iter()
        .zip(&frame.values)
        .map(|(series, value)| format!("{} {} {value}", series.component, series.signal))
        .collect();
    // Nothing of the XFS, nor of the btrfs whose device nobody knows.
    assert_eq!(
        seen,
        [
            "filesystem:h1/ filesystem.errors_total 3",
            "filesystem:h1/srv filesystem.errors_total 321",
            "filesystem:h1/srv filesystem.devices_missing 1",
        ]
    );
    assert_eq!(damage.blind().count(), 0);
}

#[test]
fn a_source_is_known_by_the_kernels_name() {
    let folder = tempfile::tempdir().unwrap();
    let sys = host(folder.path()).sys;
    for (source, name) in [
        ("/dev/sda1", Some("sda1")),
        ("/dev/mapper/vg-srv", Some("dm-1")),
        ("/dev/mapper/none", None),
        ("/dev/../etc", None),
        ("tank/data", None),
    ] {
        assert_eq!(source_name(&sys, source).as_deref(), name, "{source}");
    }
}

#[test]
fn what_counts_nothing_has_no_count() {
    assert_eq!(parse_devices(b"Invalid device stats\n"), None);
    assert_eq!(parse_devices(b"write_errs x\n"), None);
    assert_eq!(parse_devices(b"write_errs 0\n"), Some(0));
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_devices(&bytes);
    }
}
