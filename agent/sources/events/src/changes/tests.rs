use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::sync::Mutex;

use firstlook_model::HostId;

use super::*;
use crate::{BlindSpots, Checkpoints};

#[derive(Default)]
struct Stored(Mutex<BTreeMap<String, Vec<u8>>>);

impl Checkpoints for Stored {
    fn load(&self, reader: &str) -> Option<Vec<u8>> {
        self.0.lock().unwrap().get(reader).cloned()
    }
}

/// A host in a directory, with shop.service running from /opt/shop.
struct Host {
    dir: tempfile::TempDir,
    stored: Arc<Stored>,
    services: Services,
    watcher: Option<Watcher>,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let services = Services::default();
        services.set("shop.service", 77);
        let host = Self {
            dir,
            stored: Arc::default(),
            services,
            watcher: None,
        };
        let script = host.write("opt/web/app.py", "VERSION = 1\n");
        host.write("etc/shop/app.toml", "timeout = 5\n");
        host.write("etc/hosts", "127.0.0.1 localhost\n");
        host.write(
            "units/shop.service",
            &format!(
                "[Service]\nExecStart=/usr/bin/python3 {}\n",
                script.display()
            ),
        );
        host.write("proc/77/cmdline", "python3\0");
        symlink("/usr/bin/python3", host.path("proc/77/exe")).unwrap();
        host.write(
            "dpkg/status",
            "Package: nginx\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n",
        );
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Looks once; returns component, kind and text of what changed, the directory left out.
    fn look(&mut self) -> Vec<(String, ChangeKind, String)> {
        let root = format!("{}/", self.dir.path().display());
        let changes = self.changes().into_iter();
        changes
            .map(|c| (c.component.to_string(), c.kind, c.text.replace(&root, "/")))
            .collect()
    }

    fn changes(&mut self) -> Vec<Change> {
        let watcher = match self.watcher.take() {
            Some(watcher) => watcher,
            None => self.start(),
        };
        let step = self.watcher.insert(watcher).step(clock::now());
        let mut stored = self.stored.0.lock().unwrap();
        stored.extend(
            step.lines
                .checkpoints
                .into_iter()
                .map(|c| (c.reader, c.position)),
        );
        step.facts
            .into_iter()
            .flat_map(|fact| match fact {
                Observation::Changes(changes) => changes,
                other => panic!("unexpected {other:?}"),
            })
            .collect()
    }

    fn start(&self) -> Watcher {
        let mut config = EventsConfig::for_host(HostId::new("app1").unwrap());
        config.proc_root = self.path("proc");
        config.dpkg_status = Some(self.path("dpkg/status"));
        config.unit_dirs = vec![self.path("units")];
        config.watch = vec![self.path("etc")];
        config.cron_paths = vec![self.path("cron.d")];
        config.apk_installed = Some(self.path("apk/installed"));
        config.rpm_databases.clear();
        config.docker_root = self.path("docker");
        config.podman_root = self.path("podman");
        config.podman_run = self.path("podman-run");
        let mut source = crate::test_source(config, self.stored.clone(), BlindSpots::default());
        source.services = self.services.clone();
        Watcher::new(&source)
    }

    fn restart(&mut self) {
        self.watcher = None;
    }
}

const SHOP: &str = "service:app1/shop.service";

fn seen(component: &str, kind: ChangeKind, text: &str) -> (String, ChangeKind, String) {
    (component.to_owned(), kind, text.to_owned())
}

#[test]
fn what_is_there_at_the_first_start_is_no_change() {
    let mut host = Host::new();
    assert_eq!(host.look(), []);
    assert_eq!(host.look(), []);
}

#[test]
fn deployed_code_and_configuration_are_tied_to_their_service() {
    let mut host = Host::new();
    host.look();
    host.write("opt/web/app.py", "VERSION = 2\nraise SystemExit\n");
    host.write("etc/shop/app.toml", "timeout = 500\n");
    host.write("etc/hosts", "127.0.0.1 localhost db1\n");
    assert_eq!(
        host.look(),
        [
            seen("host:app1", ChangeKind::ConfigFile, "/etc/hosts changed"),
            seen(SHOP, ChangeKind::ConfigFile, "/etc/shop/app.toml changed"),
            seen(SHOP, ChangeKind::ConfigFile, "/opt/web/app.py changed"),
        ]
    );
    assert_eq!(host.look(), []);
}

#[test]
fn attribution_waits_for_the_services_of_a_starting_agent() {
    let mut host = Host::new();
    host.look();
    host.restart();
    host.write("opt/web/app.py", "VERSION = 3\n\n");
    host.services.set("shop.service", 0);
    assert_eq!(host.look(), []);
    host.services.set("shop.service", 77);
    assert_eq!(
        host.look(),
        [seen(
            SHOP,
            ChangeKind::ConfigFile,
            "/opt/web/app.py changed"
        )]
    );
}

#[test]
fn change_comes_with_a_redacted_diff() {
    let mut host = Host::new();
    host.write("etc/shop/app.toml", "timeout = 5\npassword = old-one\n");
    host.look();
    host.write("etc/shop/app.toml", "timeout = 50\npassword = new-one\n");
    let changes = host.changes();
    let detail = &changes[0].detail;
    assert!(
        detail.contains("-timeout = 5\n") && detail.contains("+timeout = 50\n"),
        "{detail}"
    );
    assert!(!detail.contains("-one"), "{detail}");
}

#[test]
fn changes_made_while_the_agent_was_down_are_noticed_once() {
    let mut host = Host::new();
    host.look();
    host.restart();
    host.write("etc/shop/app.toml", "timeout = 500\n");
    host.write("etc/shop/extra.toml", "x = 1\n");
    fs::remove_file(host.path("etc/hosts")).unwrap();
    host.write(
        "dpkg/status",
        "Package: nginx\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2\n",
    );
    let changes = host.look();
    assert_eq!(
        changes,
        [
            seen(
                "host:app1",
                ChangeKind::ConfigFile,
                "/etc/hosts was removed"
            ),
            seen(SHOP, ChangeKind::ConfigFile, "/etc/shop/app.toml changed"),
            seen(
                SHOP,
                ChangeKind::ConfigFile,
                "/etc/shop/extra.toml was created"
            ),
            seen(
                "host:app1",
                ChangeKind::Package,
                "package nginx went from 1 to 2"
            ),
        ]
    );
    host.restart();
    assert_eq!(host.look(), []);
}

#[test]
fn touched_and_rewritten_files_with_the_same_content_are_no_change() {
    let mut host = Host::new();
    host.look();
    fs::remove_file(host.path("etc/shop/app.toml")).unwrap();
    host.write("etc/shop/app.toml", "timeout = 5\n");
    assert_eq!(host.look(), []);
}

#[test]
fn file_cut_to_nothing_waits_for_its_new_content() {
    let mut host = Host::new();
    host.look();
    host.write("etc/shop/app.toml", "");
    assert_eq!(host.look(), []);
    host.write("etc/shop/app.toml", "timeout = 6\n");
    assert_eq!(
        host.look(),
        [seen(
            SHOP,
            ChangeKind::ConfigFile,
            "/etc/shop/app.toml changed"
        )]
    );
    host.write("etc/shop/app.toml", "");
    assert_eq!(host.look(), []);
    assert_eq!(host.look().len(), 1, "it stayed empty");
}

#[test]
fn unit_files_and_drop_ins_belong_to_their_unit() {
    let mut host = Host::new();
    host.look();
    host.write(
        "units/shop.service.d/limits.conf",
        "[Service]\nLimitNOFILE=15\n",
    );
    host.write("units/multi-user.target.wants/shop.service", "");
    assert_eq!(
        host.look(),
        [seen(
            SHOP,
            ChangeKind::UnitFile,
            "/units/shop.service.d/limits.conf was created"
        )]
    );
}

#[test]
fn replaced_program_is_reported_once_per_process() {
    let mut host = Host::new();
    host.look();
    fs::remove_file(host.path("proc/77/exe")).unwrap();
    symlink("/nowhere/shopd (deleted)", host.path("proc/77/exe")).unwrap();
    let expected = "/nowhere/shopd was deleted; shop.service still runs the old one";
    assert_eq!(host.look(), [seen(SHOP, ChangeKind::Binary, expected)]);
    assert_eq!(host.look(), []);
    host.restart();
    assert_eq!(host.look(), [], "not again after a restart of the agent");
}

#[test]
fn file_that_a_new_service_names_is_no_created_one() {
    let mut host = Host::new();
    host.look();
    let named = host.write("srv/api.conf", "x = 1\n");
    host.write(
        "units/api.service",
        &format!("[Service]\nEnvironmentFile={}\n", named.display()),
    );
    host.look();
    host.services.set("api.service", 78);
    assert_eq!(host.look(), []);
    host.write("srv/api.conf", "x = 22\n");
    assert_eq!(
        host.look(),
        [seen(
            "service:app1/api.service",
            ChangeKind::ConfigFile,
            "/srv/api.conf changed"
        )]
    );
}

#[test]
fn jobs_of_cron_and_timers_are_schedules() {
    let mut host = Host::new();
    host.write("cron.d/backup", "0 * * * * root backup\n");
    host.look();
    host.write("cron.d/backup", "* * * * * root backup\n");
    host.write("units/backup.timer", "[Timer]\nOnCalendar=hourly\n");
    let told: Vec<_> = host
        .look()
        .into_iter()
        .map(|(_, kind, text)| (kind, text))
        .collect();
    assert_eq!(
        told,
        [
            (ChangeKind::Schedule, "/cron.d/backup changed".to_owned()),
            (
                ChangeKind::Schedule,
                "/units/backup.timer was created".to_owned()
            ),
        ]
    );
}

#[test]
fn settings_and_mounts_that_changed_while_the_agent_was_down_are_told_once() {
    let mut host = Host::new();
    host.write("proc/sys/vm/overcommit_memory", "0\n");
    host.write(
        "proc/self/mountinfo",
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n",
    );
    assert_eq!(host.look(), []);
    host.restart();
    host.write("proc/sys/vm/overcommit_memory", "2\n");
    host.write(
        "proc/self/mountinfo",
        "22 1 8:1 / / ro - ext4 /dev/sda1 rw\n",
    );
    let told: Vec<_> = host
        .look()
        .into_iter()
        .map(|(_, kind, text)| (kind, text))
        .collect();
    assert_eq!(
        told,
        [
            (
                ChangeKind::Setting,
                "vm.overcommit_memory went from 0 to 2".to_owned()
            ),
            (
                ChangeKind::Mount,
                "/ was mounted otherwise: ro instead of rw".to_owned()
            ),
        ]
    );
    host.restart();
    assert_eq!(host.look(), []);
}

#[test]
fn certificate_tells_its_end_when_it_is_replaced_and_when_it_is_over() {
    use certificates::tests::SHOP as CERTIFICATE;
    let mut host = Host::new();
    host.write("etc/shop/tls.crt", "none yet\n");
    host.look();
    host.write("etc/shop/tls.crt", CERTIFICATE);
    let end = Timestamp::from_secs(1_793_491_200);
    assert_eq!(end.to_string(), "2026-11-01T00:00:00Z");
    let look = |host: &mut Host, now: Timestamp| -> Vec<Change> {
        let watcher = host.watcher.as_mut().unwrap();
        let facts = watcher.step(now).facts.into_iter();
        facts
            .flat_map(|fact| match fact {
                Observation::Changes(changes) => changes,
                other => panic!("unexpected {other:?}"),
            })
            .collect()
    };
    let replaced = look(&mut host, end.minus(Duration::from_secs(1)));
    assert_eq!(replaced.len(), 1);
    assert_eq!(replaced[0].kind, ChangeKind::Certificate);
    assert_eq!(replaced[0].component.to_string(), SHOP);
    assert!(
        replaced[0]
            .text
            .ends_with("tls.crt changed: CN=shop.example is valid until 2026-11-01T00:00:00Z")
    );
    assert_eq!(replaced[0].detail, "");
    let over = look(&mut host, end.plus(Duration::from_secs(3)));
    assert_eq!((over.len(), over[0].time), (1, end));
    assert!(
        over[0].text.ends_with("tls.crt expired: CN=shop.example"),
        "{}",
        over[0].text
    );
    assert_eq!(look(&mut host, end.plus(Duration::from_secs(6))), []);
}

#[test]
fn certificate_that_only_configuration_names_is_found_watched_and_told_of_its_service() {
    use certificates::tests::SHOP as CERTIFICATE;
    let mut host = Host::new();
    let path = host.write("var/tls/site.crt", CERTIFICATE);
    let told = |host: &Host| {
        let expiries = &host.watcher.as_ref().unwrap().config.expiries;
        let (series, ends) = expiries.columns();
        let owners = series.iter().map(|series| series.component.to_string());
        owners.zip(ends).collect::<Vec<_>>()
    };
    assert_eq!((host.look(), told(&host)), (vec![], vec![]));
    host.write("etc/shop/app.toml", &format!("cert = {path:?}\n"));
    host.look();
    assert_eq!(told(&host), [(SHOP.to_owned(), 1_793_491_200.0)]);
    // From the next look on it is watched; it was there before, and has not changed.
    assert_eq!(host.look(), []);
    host.write(
        "var/tls/site.crt",
        &CERTIFICATE.replace("-----BEGIN", "\n-----BEGIN"),
    );
    let text = "/var/tls/site.crt changed: CN=shop.example is valid until 2026-11-01T00:00:00Z";
    assert_eq!(host.look(), [seen(SHOP, ChangeKind::Certificate, text)]);
    fs::remove_file(&path).unwrap();
    host.look();
    assert_eq!(told(&host), []);
}

#[test]
fn what_a_key_was_is_not_shown() {
    let mut host = Host::new();
    let key = |body| format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    host.write("etc/shop/site.key", &key("one"));
    host.look();
    host.write("etc/shop/site.key", &key("two"));
    let changes = host.changes();
    assert_eq!((changes.len(), changes[0].detail.as_str()), (1, ""));
}

#[test]
fn packages_of_alpine_are_compared_where_there_is_no_dpkg() {
    let mut host = Host::new();
    fs::remove_file(host.path("dpkg/status")).unwrap();
    host.write("apk/installed", "P:nginx\nV:1.24-r1\nA:x86_64\n\n");
    assert_eq!(host.look(), []);
    host.write("apk/installed", "P:nginx\nV:1.26-r10\nA:x86_64\n\n");
    let text = "package nginx went from 1.24-r1 to 1.26-r10";
    assert_eq!(host.look(), [seen("host:app1", ChangeKind::Package, text)]);
}

#[test]
fn image_that_changed_while_the_agent_was_down_is_told_of_the_containers_unit() {
    use images::tests::docker;
    let mut host = Host::new();
    let id = "c".repeat(64);
    let description = format!("docker/containers/{id}/config.v2.json");
    host.write(
        "proc/77/cgroup",
        &format!("0::/system.slice/docker-{id}.scope\n"),
    );
    host.write(&description, &docker("shop", "shop:1.4", 'a', true));
    assert_eq!(host.look(), []);
    host.restart();
    host.write(&description, &docker("shop", "shop:1.5", 'b', true));
    let changes = host.changes();
    assert_eq!(changes.len(), 1);
    let change = &changes[0];
    assert_eq!(change.kind, ChangeKind::Image);
    assert_eq!(
        change.component.to_string(),
        format!("service:app1/docker-{id}.scope")
    );
    assert_eq!(
        change.text,
        "container shop went from shop:1.4 (aaaaaaaaaaaa) to shop:1.5 (bbbbbbbbbbbb)"
    );
    assert!(change.id.starts_with("image:docker:shop@"), "{}", change.id);
    assert_eq!(change.time.to_string(), "2026-05-01T10:00:00.123456Z");
    host.restart();
    assert_eq!(host.look(), []);
}
