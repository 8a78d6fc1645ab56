//! Podman as root: all containers in `overlay-containers/containers.json`, those that go with their end in
//! `volatile-containers.json` beside it (containers/storage: `containers.go`). Which of them run tells the `pidfile`
//! of each below the folder for what does not outlive a boot.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};

use serde::Deserialize;

use super::{Cache, Container, Found, Image, Places, digits, name};
use crate::clock;

const LISTS: [&str; 2] = ["containers.json", "volatile-containers.json"];
/// Largest list read; a container takes about 1 KiB.
const FILE_LIMIT_BYTES: u64 = 4 * 1024 * 1024;
const PIDFILE_LIMIT_BYTES: u64 = 32;

#[derive(Deserialize)]
struct Written {
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    #[serde(default)]
    image: String,
    /// JSON within the JSON.
    #[serde(default)]
    metadata: String,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default, rename = "image-name")]
    image_name: String,
}

#[derive(Debug, Default)]
pub(super) struct Podman(Cache<Vec<Container>>);

impl Podman {
    pub(super) fn look(&mut self, places: &Places<'_>, found: &mut Found) {
        for list in LISTS {
            let path = places.podman.join("overlay-containers").join(list);
            let containers = match self.0.read(&path, FILE_LIMIT_BYTES, parse) {
                Ok(Some(containers)) => containers,
                Ok(None) => {
                    found.refused += 1;
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => {
                    found.blind(&path, &error);
                    continue;
                }
            };
            let running = containers.iter().filter_map(|c| running(places, c));
            running.for_each(|container| found.add("podman", container));
        }
    }
}

/// With its process and its start; `None` when it does not run.
fn running(places: &Places<'_>, container: &Container) -> Option<Container> {
    let folder = places.podman_run.join("overlay-containers");
    let path = folder.join(&container.id).join("userdata/pidfile");
    let file = File::open(path).ok()?;
    let started = file.metadata().and_then(|meta| meta.modified()).ok();
    let mut text = String::new();
    file.take(PIDFILE_LIMIT_BYTES)
        .read_to_string(&mut text)
        .ok()?;
    let pid: u32 = text.trim().parse().ok()?;
    // The file stays when the process was killed with its monitor.
    fs::metadata(places.proc_root.join(pid.to_string())).ok()?;
    Some(Container {
        pid,
        started: started.map(clock::from_system),
        ..container.clone()
    })
}

/// Containers that have a name and an image; `None` when this is no list of containers.
pub(super) fn parse(bytes: &[u8]) -> Option<Vec<Container>> {
    let written: Vec<Written> = serde_json::from_slice(bytes).ok()?;
    let container = |written: Written| {
        let metadata: Metadata = serde_json::from_str(&written.metadata).unwrap_or_default();
        let id = digits(&written.image)?;
        Some(Container {
            id: digits(&written.id)?,
            name: name(written.names?.first()?)?,
            image: Image {
                name: name(&metadata.image_name).unwrap_or_else(|| "an image".to_owned()),
                id,
            },
            started: None,
            pid: 0,
        })
    };
    Some(written.into_iter().filter_map(container).collect())
}
