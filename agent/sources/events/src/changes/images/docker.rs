//! Docker: one folder for each container with its state in `config.v2.json`, written anew whenever it starts or ends
//! (moby: `container/container.go`).

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use firstlook_model::Timestamp;
use serde::Deserialize;

use super::{CONTAINER_LIMIT, Cache, Container, Found, Image, digits, name};

/// Largest description read. It holds the environment too, and is seldom over 10 KiB.
const FILE_LIMIT_BYTES: u64 = 1024 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Written {
    #[serde(rename = "ID")]
    id: String,
    name: String,
    image: String,
    config: Asked,
    state: State,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Asked {
    image: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    running: bool,
    pid: u32,
    started_at: String,
}

/// What was read of each container; the inner `None`: it does not run.
#[derive(Debug, Default)]
pub(super) struct Docker(Cache<Option<Container>>);

impl Docker {
    pub(super) fn look(&mut self, root: &Path, found: &mut Found) {
        let folder = root.join("containers");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => return found.blind(&folder, &error),
        };
        let mut paths = BTreeSet::new();
        for entry in entries.flatten() {
            let is_container = entry.file_name().to_str().and_then(digits).is_some();
            if is_container && paths.len() < CONTAINER_LIMIT {
                paths.insert(entry.path().join("config.v2.json"));
            } else if is_container {
                found.refused += 1;
            }
        }
        self.0.retain(&paths);
        for path in &paths {
            match self.0.read(path, FILE_LIMIT_BYTES, parse) {
                Ok(Some(Some(container))) => found.add("docker", container.clone()),
                Ok(Some(None)) => {}
                Ok(None) => found.refused += 1,
                // Made or removed at this moment.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => found.blind(path, &error),
            }
        }
    }
}

/// The container if it runs, `Some(None)` if it does not; `None` when this is no description of one.
pub(super) fn parse(bytes: &[u8]) -> Option<Option<Container>> {
    let written: Written = serde_json::from_slice(bytes).ok()?;
    if !written.state.running {
        return Some(None);
    }
    let own = written.name.strip_prefix('/').unwrap_or(&written.name);
    Some(Some(Container {
        id: digits(&written.id)?,
        name: name(own)?,
        image: Image {
            name: name(&written.config.image)?,
            id: digits(&written.image)?,
        },
        started: Timestamp::parse(&written.state.started_at).ok(),
        pid: written.state.pid,
    }))
}
