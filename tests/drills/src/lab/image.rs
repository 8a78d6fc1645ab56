//! Images: Debian roots with everything that runs in them, built once and cached. The base image is that of all hosts
//! of the first tier.
//!
//! Services are installed and disabled; each host enables its own. The cache lies outside the
//! checkout, in a folder named for a fingerprint of everything that determines the image.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::command::{check, words};
use crate::say;

/// What an image is made of.
#[derive(Debug)]
pub struct Recipe {
    /// What people call it.
    pub name: &'static str,
    /// What is installed beyond Debian's essential packages.
    pub packages: &'static [&'static str],
    /// Services that a host enables for itself.
    pub disabled: &'static [&'static str],
    /// Units that do nothing for the lab but cost processor time, or show mounts of no interest.
    pub masked: &'static [&'static str],
    /// Shell lines that are run in the new root at last; may be empty.
    pub finish: &'static str,
    /// Raised when the build's steps change, so that old caches are not used.
    pub version: u32,
}

const BASE: Recipe = Recipe {
    name: "base",
    packages: &[
        "systemd",
        "systemd-sysv",
        "dbus",
        "iproute2",
        "nftables",
        "procps",
        "haproxy",
        "postgresql",
        "python3",
        "python3-psycopg2",
    ],
    disabled: &["haproxy.service", "postgresql.service"],
    masked: &[
        "apt-daily.timer",
        "apt-daily-upgrade.timer",
        "console-getty.service",
        "dev-hugepages.mount",
        "dev-mqueue.mount",
        "dpkg-db-backup.timer",
        "e2scrub_all.timer",
        "e2scrub_reap.service",
        "fstrim.timer",
        "getty.target",
        "sys-fs-fuse-connections.mount",
        "sys-kernel-debug.mount",
        "sys-kernel-tracing.mount",
        "systemd-logind.service",
        "systemd-modules-load.service",
    ],
    finish: "",
    version: 1,
};
const BUILD_DEADLINE: Duration = Duration::from_secs(1200);
const STEP_DEADLINE: Duration = Duration::from_secs(120);

/// The base image's root, as `ensure`.
pub fn ensure_base() -> anyhow::Result<PathBuf> {
    ensure(&BASE)
}

/// The image's root, built if the cache has none.
///
/// # Errors
/// When it has to be built and cannot: no package source, no space, no `mmdebstrap`.
pub fn ensure(recipe: &Recipe) -> anyhow::Result<PathBuf> {
    let (release, name) = (machine_codename()?, recipe.name);
    let dir = cache_dir()?.join(fingerprint(&release, recipe));
    let root = dir.join("root");
    if root.is_dir() {
        return Ok(root);
    }
    say::progress(&format!(
        "lab: building the {name} image (once, some minutes)"
    ));
    // Built under another name, so that an interrupted build is never taken for an image.
    let partial = dir.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).context("removing an unfinished image")?;
    }
    fs::create_dir_all(&partial)?;
    build(&release, recipe, &partial).with_context(|| format!("building the {name} image"))?;
    fs::rename(&partial, &dir).context("putting an image in place")?;
    Ok(root)
}

fn build(release: &str, recipe: &Recipe, dir: &Path) -> anyhow::Result<()> {
    let root = dir.join("root");
    let options = dir.join("apt.conf");
    let sources = dir.join("sources");
    fs::write(&options, transport_options()?)?;
    let mut command = words(&["mmdebstrap", "--variant=minbase", "--mode=root", "--quiet"]);
    command.arg(format!("--include={}", recipe.packages.join(",")));
    command
        .arg(format!("--aptopt={}", options.display()))
        .arg(release)
        .arg(&root);
    command.args(package_sources(release, &sources)?);
    check(&mut command, BUILD_DEADLINE)?;
    let root_option = format!("--root={}", root.display());
    for (verb, units) in [("disable", recipe.disabled), ("mask", recipe.masked)] {
        if !units.is_empty() {
            let mut command = words(&["systemctl", "--quiet", &root_option, verb]);
            check(command.args(units), STEP_DEADLINE)?;
        }
    }
    if !recipe.finish.is_empty() {
        let mut command = words(&["chroot"]);
        command.arg(&root).args(["sh", "-euc", recipe.finish]);
        check(&mut command, STEP_DEADLINE)?;
    }
    Ok(())
}

/// The machine's own sources of this release's main packages, one file each, as `mmdebstrap` takes
/// them. Empty means that it uses Debian's default.
fn package_sources(release: &str, copies: &Path) -> anyhow::Result<Vec<PathBuf>> {
    fs::create_dir_all(copies)?;
    let mut found = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        found.extend(entries.flatten().map(|entry| entry.path()));
    }
    found.sort();
    let mut chosen = Vec::new();
    for path in found {
        let named = path
            .extension()
            .is_some_and(|end| end == "list" || end == "sources");
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        if named && offers(&text, release) {
            let copy = copies.join(path.file_name().unwrap_or_default());
            fs::write(&copy, text)?;
            chosen.push(copy);
        }
    }
    Ok(chosen)
}

/// Whether a file of package sources offers `main` of exactly this release.
fn offers(sources: &str, release: &str) -> bool {
    let active = || {
        sources
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
    };
    let has = |word: &str| {
        active()
            .flat_map(str::split_whitespace)
            .any(|found| found == word)
    };
    has(release) && has("main")
}

/// How this machine reaches its package sources (proxies, retries), for the image's own apt.
fn transport_options() -> anyhow::Result<String> {
    let all = check(&mut words(&["apt-config", "dump"]), STEP_DEADLINE)?;
    let wanted = [
        "Acquire::http",
        "Acquire::https",
        "Acquire::Check-",
        "Acquire::Retries",
    ];
    let of_transport = |line: &&str| wanted.iter().any(|start| line.starts_with(start));
    Ok(all
        .lines()
        .filter(of_transport)
        .map(|line| format!("{line}\n"))
        .collect())
}

fn machine_codename() -> anyhow::Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key))
            .map(str::to_owned)
    };
    ensure!(
        value("ID=").as_deref() == Some("debian"),
        "the lab's hosts are made from this machine's Debian sources, and it is not Debian"
    );
    let codename = value("VERSION_CODENAME=").context("/etc/os-release has no codename")?;
    Ok(codename.trim_matches('"').to_owned())
}

fn cache_dir() -> anyhow::Result<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = match (from("XDG_CACHE_HOME"), from("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => PathBuf::from(home).join(".cache"),
        (None, None) => PathBuf::from("/var/cache"),
    };
    let dir = cache.join("firstlook").join("lab");
    let text = dir
        .to_str()
        .context("the cache folder's name is not UTF-8")?;
    ensure!(
        !text.contains([':', ',', '\\']),
        "the cache folder {text} has a character that overlayfs options cannot carry"
    );
    Ok(dir)
}

/// Names the image: release and a 64-bit FNV-1a of everything that is put into it.
fn fingerprint(release: &str, recipe: &Recipe) -> String {
    let version = recipe.version.to_string();
    let last = [version.as_str(), recipe.finish];
    let inputs = recipe
        .packages
        .iter()
        .chain(recipe.disabled)
        .chain(recipe.masked)
        .chain(last.iter().filter(|input| !input.is_empty()))
        .copied();
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in inputs.flat_map(|input| input.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    format!("{release}-{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::{BASE, Recipe, fingerprint, offers};

    #[test]
    fn what_changes_an_image_changes_its_name() {
        let others = [
            Recipe { version: 2, ..BASE },
            Recipe {
                packages: &["systemd"],
                ..BASE
            },
            Recipe {
                masked: &[],
                ..BASE
            },
            Recipe {
                finish: "true",
                ..BASE
            },
        ];
        let base = fingerprint("bookworm", &BASE);
        assert_ne!(base, fingerprint("trixie", &BASE));
        for other in &others {
            assert_ne!(base, fingerprint("bookworm", other), "{other:?}");
        }
    }

    #[test]
    fn only_sources_of_this_release_are_taken() {
        for (sources, expected) in [
            (
                "deb http://deb.example/debian bookworm main contrib\n",
                true,
            ),
            (
                "URIs: http://deb.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n",
                true,
            ),
            (
                "deb http://deb.example/debian bookworm-backports main\n",
                false,
            ),
            (
                "deb [arch=amd64] https://tool.example/apt bookworm stable\n",
                false,
            ),
            ("# deb http://deb.example/debian bookworm main\n", false),
            ("", false),
        ] {
            assert_eq!(offers(sources, "bookworm"), expected, "{sources}");
        }
    }
}
