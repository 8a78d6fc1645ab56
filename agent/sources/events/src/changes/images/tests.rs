use super::*;
use proptest::prelude::*;

/// The fields of Docker's `config.v2.json` that matter, and some of those that do not.
pub(in crate::changes) fn docker(name: &str, image: &str, digit: char, running: bool) -> String {
    format!(
        r#"{{"StreamConfig":{{}},"State":{{"Running":{running},"Paused":false,"Pid":{},"ExitCode":0,"Error":"","StartedAt":"2026-05-01T10:00:00.123456789Z","Health":null}},"ID":"{}","Created":"2026-05-01T09:59:59Z","Path":"/shop","Config":{{"Hostname":"a","Env":["PASSWORD=x"],"Image":"{image}","Labels":{{}}}},"Image":"sha256:{}","Name":"/{name}","Driver":"overlay2"}}"#,
        if running { 77 } else { 0 },
        "c".repeat(64),
        digit.to_string().repeat(64),
    )
}

/// As Podman writes its list.
fn podman(name: &str, image: &str, digit: char) -> String {
    format!(
        r#"[{{"id":"{}","names":["{name}"],"image":"{}","layer":"0a","metadata":"{{\"image-name\":\"{image}\",\"name\":\"{name}\"}}","created":"2026-05-01T09:59:59Z","flags":{{"MountLabel":""}}}},{{"id":"{}","names":null,"layer":"0b"}}]"#,
        "d".repeat(64),
        digit.to_string().repeat(64),
        "e".repeat(64),
    )
}

fn image(name: &str, digit: char) -> Image {
    Image {
        name: name.to_owned(),
        id: digit.to_string().repeat(64),
    }
}

struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn look(&self, containers: &mut Containers) -> Found {
        let path = |name: &str| self.0.path().join(name);
        containers.look(&Places {
            docker: &path("docker"),
            podman: &path("podman"),
            podman_run: &path("run"),
            proc_root: &path("proc"),
        })
    }
}

fn of_docker(digit: char) -> String {
    let folder = digit.to_string().repeat(64);
    format!("docker/containers/{folder}/config.v2.json")
}

#[test]
fn only_containers_that_run_are_found_and_what_cannot_be_understood_is_counted() {
    let disk = Disk::new();
    let mut containers = Containers::default();
    assert_eq!(disk.look(&mut containers), Found::default());
    disk.write(&of_docker('1'), &docker("shop", "shop:1.4", 'a', true));
    disk.write(&of_docker('2'), &docker("old", "old:1", 'b', false));
    disk.write(&of_docker('3'), "{\"State\":");
    disk.write("docker/containers/readme/config.v2.json", "no container");
    let found = disk.look(&mut containers);
    let keys: Vec<_> = found.running.keys().map(String::as_str).collect();
    assert_eq!(keys, ["docker:shop"]);
    let shop = &found.running["docker:shop"];
    assert_eq!(shop.image, image("shop:1.4", 'a'));
    let started = Timestamp::parse("2026-05-01T10:00:00.123456Z").ok();
    assert_eq!((shop.pid, shop.started), (77, started));
    assert_eq!((found.refused, found.blind), (1, None));
}

#[test]
fn description_that_is_too_large_or_a_link_is_refused() {
    let disk = Disk::new();
    let padding = " ".repeat(1024 * 1024);
    disk.write(
        &of_docker('1'),
        &(docker("shop", "shop:1", 'a', true) + &padding),
    );
    disk.write("elsewhere", &docker("web", "web:1", 'a', true));
    disk.write(&of_docker('2').replace("config.v2.json", "hostname"), "");
    let link = disk.0.path().join(of_docker('2'));
    std::os::unix::fs::symlink(disk.0.path().join("elsewhere"), link).unwrap();
    let found = disk.look(&mut Containers::default());
    assert_eq!((found.running.len(), found.refused), (0, 2));
}

#[test]
fn folder_that_cannot_be_listed_is_a_blind_spot() {
    let disk = Disk::new();
    disk.write("docker/containers", "a file");
    let blind = disk.look(&mut Containers::default()).blind.unwrap();
    assert!(
        blind.contains("docker/containers cannot be read"),
        "{blind}"
    );
}

#[test]
fn container_of_podman_runs_while_the_process_of_its_pidfile_does() {
    let disk = Disk::new();
    let mut containers = Containers::default();
    let list = "podman/overlay-containers/volatile-containers.json";
    disk.write(list, &podman("web", "docker.io/library/web:2", 'b'));
    assert_eq!(disk.look(&mut containers), Found::default());
    let pidfile = format!("run/overlay-containers/{}/userdata/pidfile", "d".repeat(64));
    disk.write(&pidfile, "91\n");
    assert_eq!(disk.look(&mut containers), Found::default());
    disk.write("proc/91/cgroup", "");
    let found = disk.look(&mut containers);
    let web = &found.running["podman:web"];
    assert_eq!(web.image, image("docker.io/library/web:2", 'b'));
    assert_eq!((web.pid, web.started.is_some()), (91, true));
}

#[test]
fn container_belongs_to_its_scope_or_to_the_service_that_runs_it() {
    let disk = Disk::new();
    let mut shop = docker::parse(docker("shop", "shop:1", 'a', true).as_bytes())
        .flatten()
        .unwrap();
    let id = shop.id.clone();
    for (cgroup, unit) in [
        (
            format!("0::/system.slice/docker-{id}.scope"),
            Some(format!("docker-{id}.scope")),
        ),
        (
            format!("0::/system.slice/web.service/libpod-payload-{id}"),
            Some("web.service".to_owned()),
        ),
        (format!("0::/docker/{id}"), None),
        ("0::/system.slice/ssh.service".to_owned(), None),
    ] {
        disk.write("proc/77/cgroup", &cgroup);
        assert_eq!(unit_of(&disk.0.path().join("proc"), &shop), unit);
    }
    shop.pid = 78;
    assert_eq!(unit_of(&disk.0.path().join("proc"), &shop), None);
}

#[test]
fn name_that_comes_to_mean_another_image_is_a_change_and_a_new_container_is_none() {
    let running = |name: &str, image: Image| -> BTreeMap<String, Container> {
        let mut container = docker::parse(docker(name, "x", 'a', true).as_bytes())
            .flatten()
            .unwrap();
        container.image = image;
        [(format!("docker:{name}"), container)].into()
    };
    let mut kept = Images::new();
    let first = running("shop", image("shop:latest", 'a'));
    assert_eq!(update(&mut kept, &first), []);
    assert_eq!(update(&mut kept, &first), []);
    assert_eq!(update(&mut kept, &BTreeMap::new()), []);
    let next = running("shop", image("shop:latest", 'b'));
    let text = "container shop went from shop:latest (aaaaaaaaaaaa) to shop:latest (bbbbbbbbbbbb)";
    assert_eq!(
        update(&mut kept, &next),
        [("docker:shop".to_owned(), text.to_owned())]
    );
    assert_eq!(update(&mut kept, &next), []);
    for n in 0..2 * CONTAINER_LIMIT {
        let name = format!("job{n}");
        assert_eq!(update(&mut kept, &running(&name, image("job", 'a'))), []);
    }
    assert_eq!(kept.len(), CONTAINER_LIMIT);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(
        text in "(\\[|\\]|\\{|\\}|,|:|\"(id|ID|names|image|Image|metadata|State|Config|Running|Pid)\"|null|true|-?[0-9]{1,12}|\\PC){0,60}",
    ) {
        let _ = docker::parse(text.as_bytes());
        let _ = podman::parse(text.as_bytes());
    }

    #[test]
    fn damaged_description_never_gives_an_id_that_could_leave_its_folder(
        at in any::<prop::sample::Index>(), byte: u8, list: bool,
    ) {
        let mut bytes = match list {
            true => podman("web", "web:2", 'b').into_bytes(),
            false => docker("web", "web:2", 'b', true).into_bytes(),
        };
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let found: Vec<Container> = match list {
            true => podman::parse(&bytes).unwrap_or_default(),
            false => docker::parse(&bytes).flatten().into_iter().collect(),
        };
        for container in found {
            let Container { id, name, image, .. } = container;
            prop_assert!(id.bytes().all(|b| b.is_ascii_hexdigit()));
            prop_assert!(!name.chars().chain(image.name.chars()).any(char::is_control));
        }
    }
}
