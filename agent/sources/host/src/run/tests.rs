use std::collections::HashSet;
use std::sync::Mutex;

use firstlook_model::signal::names;
use firstlook_model::{ComponentKind, Frame};
use tokio::sync::Notify;

use super::*;

#[derive(Default)]
struct Kept {
    observations: Mutex<Vec<Observation>>,
    arrived: Notify,
}

impl Sink for Kept {
    fn offer(&self, source: &'static str, observation: Observation) {
        assert_eq!(source, SOURCE);
        self.observations.lock().unwrap().push(observation);
        self.arrived.notify_one();
    }
}

impl Kept {
    fn frames(&self) -> Vec<Frame> {
        let all = self.observations.lock().unwrap();
        let frames = all.iter().filter_map(|observation| match observation {
            Observation::Frame(frame) => Some(frame.clone()),
            _ => None,
        });
        frames.collect()
    }

    fn inventories(&self) -> Vec<Inventory> {
        let all = self.observations.lock().unwrap();
        let inventories = all.iter().filter_map(|observation| match observation {
            Observation::Inventory(inventory) => Some((**inventory).clone()),
            _ => None,
        });
        inventories.collect()
    }
}

fn config(milliseconds: u64) -> HostConfig {
    HostConfig {
        interval: Duration::from_millis(milliseconds),
        ..HostConfig::new(HostId::new("h1").unwrap(), "0.1.0")
    }
}

/// Time spent by all cores in all modes.
fn cpu_total(frame: &Frame) -> f64 {
    let series = frame.schema.series().iter().zip(&frame.values);
    series
        .filter(|(series, _)| series.component.kind() == ComponentKind::Host)
        .filter(|(series, _)| {
            series.signal.starts_with("cpu.") && series.signal.ends_with("_total")
        })
        .map(|(_, value)| value)
        .sum()
}

#[tokio::test]
async fn this_host_is_sampled_until_told_to_stop() {
    let kept = Arc::new(Kept::default());
    let stop = CancellationToken::new();
    let (sink, token) = (Arc::clone(&kept), stop.clone());
    let watch = async {
        loop {
            kept.arrived.notified().await;
            let frames = kept.frames();
            let rose = frames
                .last()
                .is_some_and(|last| cpu_total(last) > cpu_total(&frames[0]));
            if frames.len() >= 3 && rose && !kept.inventories().is_empty() {
                break;
            }
        }
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(run(config(20), sink, token), watch);
    ended.unwrap();

    let frames = kept.frames();
    let first = &frames[0];
    assert!(
        frames
            .iter()
            .all(|f| f.values.len() == f.schema.series().len())
    );
    let unique: HashSet<_> = first.schema.series().iter().collect();
    assert_eq!(unique.len(), first.values.len(), "a series appears twice");
    let has = |kind, signal: &str| {
        let mut series = first.schema.series().iter();
        series.any(|s| s.component.kind() == kind && s.signal == signal)
    };
    assert!(has(ComponentKind::Host, names::MEMORY_AVAILABLE));
    assert!(has(ComponentKind::Host, names::TCP_RETRANSMITS));
    assert!(has(ComponentKind::Filesystem, names::FILESYSTEM_AVAILABLE));
    assert!(has(ComponentKind::Service, names::SERVICE_MEMORY));
    assert!(has(ComponentKind::Agent, names::AGENT_CPU));
    let inventory = &kept.inventories()[0];
    assert!(inventory.cores >= 1 && inventory.memory_bytes > 0);
    assert!(inventory.booted > Timestamp::from_secs(1_600_000_000));
    assert!(inventory.mounts.iter().any(|m| m.component.name() == "/"));
}

#[test]
fn an_unchanged_inventory_is_sent_once_a_minute() {
    let kept = Arc::new(Kept::default());
    let sink: Arc<dyn Sink> = Arc::clone(&kept) as Arc<dyn Sink>;
    let mut sampling = Sampling::new(config(1_000), sink, Arc::default());
    // An empty root has nothing that could change meanwhile.
    let nowhere = tempfile::tempdir().unwrap();
    let roots = HostRoots {
        proc: nowhere.path().to_owned(),
        sys: nowhere.path().to_owned(),
        cgroup: nowhere.path().to_owned(),
        pressure: nowhere.path().to_owned(),
    };
    let limits = Limits {
        listeners: 0,
        ..Limits::default()
    };
    sampling.sampler = HostSampler::new(HostId::new("h1").unwrap(), roots, limits);
    for second in 0..=65 {
        sampling.step(
            Timestamp::from_secs(second),
            Duration::from_secs(second as u64),
        );
    }
    let times: Vec<_> = kept.inventories().iter().map(|i| i.time).collect();
    assert_eq!(times, [Timestamp::from_secs(0), Timestamp::from_secs(60)]);
    let blind = &kept.inventories()[0].blind;
    for file in ["stat", "meminfo", "cpu", "diskstats"] {
        let named = blind.iter().any(|reason| reason.contains(file));
        assert!(named, "{file} is not among the blind spots: {blind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn stopping_before_the_first_tick_ends_at_once() {
    let stop = CancellationToken::new();
    stop.cancel();
    let kept = Arc::new(Kept::default());
    let sink: Arc<dyn Sink> = Arc::clone(&kept) as Arc<dyn Sink>;
    run(config(1_000), sink, stop).await.unwrap();
    assert!(kept.frames().is_empty());
}
