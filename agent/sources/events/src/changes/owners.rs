//! Which service a file belongs to: by what unit files and command lines name, and by names that agree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::marks;

/// Files watched because a service names them, per service.
const NAMED_LIMIT: usize = 16;
/// Longest command line read.
const COMMAND_LIMIT_BYTES: usize = 16 * 1024;
/// Services remembered.
const SERVICE_LIMIT: usize = 1_024;
/// Where programs and libraries lie: their changes come as packages or replaced programs.
const PROGRAM_DIRS: [&str; 12] = [
    "/usr/bin",
    "/usr/sbin",
    "/usr/lib",
    "/usr/libexec",
    "/usr/share",
    "/bin",
    "/sbin",
    "/lib",
    "/proc",
    "/sys",
    "/dev",
    "/run",
];

/// What is known of one service.
#[derive(Debug, Default)]
struct Service {
    main_pid: u32,
    /// Its unit files and last command line.
    text: String,
    /// Files that it names.
    named: BTreeSet<PathBuf>,
}

/// Every service seen so far. A service that is down keeps what was known of it.
#[derive(Debug, Default)]
pub(super) struct Owners {
    services: BTreeMap<String, Service>,
}

impl Owners {
    /// Learns of the services that run now. `fresh`: unit files changed, read all of them again. Returns whether anything
    /// was learned.
    pub(super) fn update(
        &mut self,
        running: &BTreeMap<String, u32>,
        unit_dirs: &[PathBuf],
        proc_root: &Path,
        fresh: bool,
    ) -> bool {
        let mut learned = false;
        for (unit, &main_pid) in running {
            let known = self.services.get(unit);
            if !fresh && known.is_some_and(|service| service.main_pid == main_pid) {
                continue;
            }
            if known.is_none() && self.services.len() >= SERVICE_LIMIT {
                continue;
            }
            let process = proc_root.join(main_pid.to_string());
            let service = learn(unit, main_pid, unit_dirs, &process);
            self.services.insert(unit.clone(), service);
            learned = true;
        }
        learned
    }

    /// Files that services name, to be watched.
    pub(super) fn named(&self) -> impl Iterator<Item = &PathBuf> {
        self.services.values().flat_map(|service| &service.named)
    }

    /// The service that this file belongs to: one that names it; else one called like the file or a
    /// directory above it; else one that names its directory. Several that fit equally well: none.
    pub(super) fn of(&self, path: &Path) -> Option<&str> {
        self.only(|_, service| service.named.contains(path) || mentions(&service.text, path))
            .or_else(|| self.only(|unit, _| is_called_like(unit, path)))
            .or_else(|| {
                let dir = path.parent().filter(|dir| !is_shared(dir))?;
                self.only(|_, service| mentions(&service.text, dir))
            })
    }

    fn only(&self, fits: impl Fn(&str, &Service) -> bool) -> Option<&str> {
        let mut fitting = self
            .services
            .iter()
            .filter(|(unit, service)| fits(unit, service));
        let first = fitting.next()?.0;
        fitting.next().is_none().then_some(first.as_str())
    }
}

/// The service of a unit file or drop-in: `x.service`, `x.service.d/y.conf`.
pub(super) fn of_unit_file(path: &Path) -> Option<String> {
    path.components().rev().take(2).find_map(|part| {
        let name = part.as_os_str().to_string_lossy();
        let name = name.strip_suffix(".d").unwrap_or(&name).to_owned();
        (name.ends_with(".service") && !name.contains("@.")).then_some(name)
    })
}

fn learn(unit: &str, main_pid: u32, unit_dirs: &[PathBuf], process: &Path) -> Service {
    let declared = unit_text(unit, unit_dirs);
    let command = fs::read(process.join("cmdline")).unwrap_or_default();
    let command = &command[..command.len().min(COMMAND_LIMIT_BYTES)];
    let arguments: Vec<String> = command
        .split(|byte| *byte == 0)
        .filter(|argument| !argument.is_empty())
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect();
    let directory = fs::read_link(process.join("cwd")).unwrap_or_default();
    let named = named_files(&declared, &arguments, &directory);
    let text = format!("{declared}\n{}", arguments.join(" "));
    Service {
        main_pid,
        text,
        named,
    }
}

/// The unit's files and drop-ins, the most important directory first.
fn unit_text(unit: &str, unit_dirs: &[PathBuf]) -> String {
    let mut names = vec![unit.to_owned()];
    if let Some((stem, _)) = unit.split_once('@') {
        names.push(format!("{stem}@.service"));
    }
    let mut text = String::new();
    for path in unit_dirs
        .iter()
        .flat_map(|dir| names.iter().map(move |name| dir.join(name)))
    {
        let mut files = BTreeSet::new();
        files.insert(path.clone());
        let drop_ins = PathBuf::from(format!("{}.d", path.display()));
        if drop_ins.is_dir() {
            marks::list(
                &drop_ins,
                &|file| file.extension().is_some_and(|end| end == "conf"),
                &mut files,
                &mut marks::Listed::default(),
            );
        }
        for file in files {
            text.push_str(&String::from_utf8_lossy(
                &marks::read(&file).unwrap_or_default(),
            ));
            text.push('\n');
        }
    }
    text
}

/// Files named in the text of unit files or in arguments, those of programs left out. An argument may
/// be relative to the directory that the service works in, or a Python module there, as `app:main`.
fn named_files(declared: &str, arguments: &[String], directory: &Path) -> BTreeSet<PathBuf> {
    let lines = declared
        .lines()
        .filter(|line| !line.starts_with(['#', ';']));
    let words = lines.flat_map(|line| {
        line.split(|c: char| c.is_whitespace() || matches!(c, '=' | '"' | '\'' | ',' | ';'))
    });
    let absolute = words
        .map(|word| word.trim_start_matches(['-', '@', '+', '!', ':', '|']))
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from);
    let rooted = directory.is_absolute();
    let relative = arguments.iter().skip(1).flat_map(|argument| {
        let value = argument.rsplit('=').next().unwrap_or(argument);
        let module = value.split(':').next().unwrap_or(value).replace('.', "/");
        [
            directory.join(value),
            directory.join(format!("{module}.py")),
        ]
    });
    absolute
        .chain(relative.filter(|_| rooted))
        .filter(|path| is_watchable(path))
        .take(NAMED_LIMIT)
        .collect()
}

fn is_watchable(path: &Path) -> bool {
    let plain = path
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    plain
        && !is_of_programs(path)
        && !marks::is_leftover(path)
        && fs::metadata(path)
            .is_ok_and(|meta| meta.is_file() && meta.len() <= marks::FILE_LIMIT_BYTES)
}

/// Whether programs, libraries or the kernel lie there.
pub(super) fn is_of_programs(path: &Path) -> bool {
    PROGRAM_DIRS.iter().any(|dir| path.starts_with(dir))
}

/// Whether files of many services lie in this directory.
fn is_shared(dir: &Path) -> bool {
    let shared = [
        "/etc/default",
        "/etc/ssl",
        "/etc/pam.d",
        "/etc/security",
        "/usr/local",
        "/var/lib",
        "/var/log",
    ];
    dir.components().count() <= 2 || shared.iter().any(|shared| dir == Path::new(shared))
}

/// Whether a text names this path, and not only one that begins like it.
fn mentions(text: &str, path: &Path) -> bool {
    let path = path.to_string_lossy();
    text.match_indices(path.as_ref()).any(|(at, _)| {
        let next = text[at + path.len()..].chars().next();
        !next.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
    })
}

/// Whether a part of the path, its last without the extension, is the unit's own name.
fn is_called_like(unit: &str, path: &Path) -> bool {
    let stem = unit.strip_suffix(".service").unwrap_or(unit);
    let stem = stem.split('@').next().unwrap_or(stem);
    path.components().skip(2).any(|part| {
        let part = part.as_os_str().to_string_lossy();
        part == stem || part.split('.').next() == Some(stem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(services: &[(&str, &str)]) -> Owners {
        let service = |text: &str| Service {
            text: text.to_owned(),
            ..Service::default()
        };
        let services = services
            .iter()
            .map(|(unit, text)| ((*unit).to_owned(), service(text)))
            .collect();
        Owners { services }
    }

    #[test]
    fn files_go_to_the_service_that_names_them_or_is_called_like_them() {
        let owners = owners(&[
            (
                "shop.service",
                "ExecStart=/usr/bin/python3 /opt/web/app.py --config /srv/conf/app.toml",
            ),
            (
                "haproxy.service",
                "ExecStart=/usr/sbin/haproxy -f /etc/haproxy/haproxy.cfg\nEnvironmentFile=/etc/default/haproxy",
            ),
            ("postgresql@15-main.service", ""),
            ("a.service", "/etc/common/x"),
            ("b.service", "/etc/common/x"),
        ]);
        for (path, owner) in [
            ("/opt/web/app.py", Some("shop.service")),
            ("/srv/conf/app.toml", Some("shop.service")),
            ("/srv/conf/app.toml2", Some("shop.service")),
            ("/srv/config/app.toml", None),
            ("/etc/default/other", None),
            ("/etc/shop/other.toml", Some("shop.service")),
            ("/etc/default/shop", Some("shop.service")),
            ("/etc/shop.toml", Some("shop.service")),
            ("/etc/haproxy/errors/500.http", Some("haproxy.service")),
            (
                "/etc/postgresql/15/main/postgresql.conf",
                Some("postgresql@15-main.service"),
            ),
            ("/etc/common/x", None),
            ("/etc/passwd", None),
        ] {
            assert_eq!(owners.of(Path::new(path)), owner, "{path}");
        }
    }

    #[test]
    fn unit_files_and_drop_ins_name_their_service() {
        for (path, unit) in [
            ("/etc/systemd/system/shop.service", Some("shop.service")),
            (
                "/etc/systemd/system/shop.service.d/limits.conf",
                Some("shop.service"),
            ),
            ("/usr/lib/systemd/system/getty@.service", None),
            ("/etc/systemd/system/x.timer", None),
        ] {
            assert_eq!(of_unit_file(Path::new(path)).as_deref(), unit, "{path}");
        }
    }

    #[test]
    fn services_name_files_in_unit_files_arguments_and_modules() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = dir.path().join(name);
            fs::write(&path, "x").unwrap();
            path
        };
        let (environment, module, script) = (file("shop.env"), file("app.py"), file("serve.conf"));
        let declared = format!(
            "# /etc/passwd\nEnvironmentFile=-{}\nExecStart=/bin/sh\n",
            environment.display()
        );
        let arguments = ["gunicorn", "--config=serve.conf", "app:main"].map(str::to_owned);
        let named = named_files(&declared, &arguments, dir.path());
        assert_eq!(named, BTreeSet::from([environment, module, script]));
    }
}
