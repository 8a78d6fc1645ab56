//! What the hosts run: HAProxy, two applications, PostgreSQL, and their customers.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::host::Host;
use super::plan::{DATABASE_BYTES, DATABASE_MOUNT, HostPlan, LAB_DIR, Role};
use crate::command::{check, words};
use crate::vm;

const STEP_DEADLINE: Duration = Duration::from_secs(60);
const START_DEADLINE: Duration = Duration::from_secs(120);
/// The application's configuration as it should be.
pub const APP_CONFIG: &str = include_str!("../../assets/app.toml");
/// The configuration of a release that fails every request.
pub const APP_CONFIG_BROKEN: &str = include_str!("../../assets/app-broken.toml");

/// Puts the role's files into a mounted root, before boot.
///
/// # Errors
/// When a file cannot be written or the database's filesystem cannot be made.
pub fn install(plan: &HostPlan) -> anyhow::Result<()> {
    match plan.role {
        Role::Edge => plan.write(
            "etc/haproxy/haproxy.cfg",
            include_str!("../../assets/haproxy.cfg"),
        ),
        Role::App => {
            plan.write("opt/shop/shop.py", include_str!("../../assets/shop.py"))?;
            plan.write("etc/shop/app.toml", APP_CONFIG)?;
            let unit = include_str!("../../assets/shop.service");
            plan.write("etc/systemd/system/shop.service", unit)
        }
        Role::Database => install_database(plan),
        Role::Load => {
            plan.write("opt/load/load.py", include_str!("../../assets/load.py"))?;
            let unit = include_str!("../../assets/load.service");
            plan.write("etc/systemd/system/load.service", unit)?;
            vm::install_till(plan)
        }
        // A virtual machine's is put in by `vm`, with what else a machine needs.
        Role::Collector | Role::Payments => Ok(()),
    }
}

/// Starts the role's service and waits until it does its job.
///
/// # Errors
/// When it does not within 120 s.
pub fn start(host: &Host) -> anyhow::Result<()> {
    let enable = |unit: &str| {
        host.check(
            &["systemctl", "--quiet", "enable", "--now", unit],
            START_DEADLINE,
        )
        .map(drop)
    };
    let listens = |port: u16| {
        let line = format!("ss -Hltn 'sport = :{port}' | grep -q .");
        host.wait_for(&format!("port {port} is open"), &line, START_DEADLINE)
    };
    match host.plan.role {
        Role::Edge => enable("haproxy.service").and_then(|()| listens(80)),
        Role::App => enable("shop.service").and_then(|()| listens(8080)),
        Role::Database => {
            enable("postgresql.service")?;
            host.wait_for("PostgreSQL answers", "pg_isready -q", START_DEADLINE)?;
            host.shell("runuser -u postgres -- psql -q -v ON_ERROR_STOP=1 -f /etc/shop-schema.sql")
                .map(drop)
        }
        Role::Load => {
            enable("load.service")?;
            host.wait_for(
                "customers count",
                "test -s /run/load/counts.json",
                START_DEADLINE,
            )
        }
        Role::Collector | Role::Payments => Ok(()),
    }
}

/// The packaged cluster, moved to a small filesystem of its own, open to the applications.
fn install_database(plan: &HostPlan) -> anyhow::Result<()> {
    let cluster = packaged_cluster(plan)?;
    let config = format!("etc/postgresql/{cluster}");
    let settings = include_str!("../../assets/postgresql.conf");
    plan.write(&format!("{config}/conf.d/lab.conf"), settings)?;
    let access = plan.root().join(&config).join("pg_hba.conf");
    let mut rules = fs::read_to_string(&access)?;
    rules.push_str("host shop shop 10.77.0.0/24 scram-sha-256\n");
    fs::write(&access, rules)?;
    plan.write(
        "etc/shop-schema.sql",
        include_str!("../../assets/schema.sql"),
    )?;
    let inner = plan.root().join(DATABASE_MOUNT.trim_start_matches('/'));
    let image = make_filesystem()?;
    let aside = Path::new(LAB_DIR).join("database-aside");
    move_tree(&inner, &aside)?;
    let mount = ["mount", "-t", "ext4", "-o", "loop"];
    check(words(&mount).arg(&image).arg(&inner), STEP_DEADLINE)?;
    move_tree(&aside, &inner)?;
    let owner = fs::metadata(&aside)?;
    chown(&inner, Some(owner.uid()), Some(owner.gid()))?;
    fs::remove_dir_all(&aside)?;
    Ok(())
}

/// Version and name of the cluster that the package made, as `15/main`.
fn packaged_cluster(plan: &HostPlan) -> anyhow::Result<String> {
    let versions = plan.root().join("etc/postgresql");
    let mut entries = fs::read_dir(&versions).context("looking for PostgreSQL's cluster")?;
    let version = entries
        .next()
        .context("the image has no PostgreSQL cluster")??;
    Ok(format!("{}/main", version.file_name().to_string_lossy()))
}

fn make_filesystem() -> anyhow::Result<PathBuf> {
    let image = Path::new(LAB_DIR).join("database.img");
    fs::File::create(&image)?.set_len(DATABASE_BYTES)?;
    // No blocks kept back for root: full means full for everybody.
    check(
        words(&["mkfs.ext4", "-q", "-m", "0"]).arg(&image),
        STEP_DEADLINE,
    )?;
    Ok(image)
}

/// Copies a folder's contents with owners and modes.
fn move_tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    check(
        words(&["cp", "-a"]).arg(from.join(".")).arg(to),
        STEP_DEADLINE,
    )
    .map(drop)
}
