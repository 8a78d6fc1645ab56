use std::pin::Pin;

use firstlook_model::Lines;

use super::*;
use crate::{EventSink, Source};

/// Keeps the texts of what is delivered.
#[derive(Default)]
struct Texts(Mutex<Vec<String>>);

impl EventSink for Texts {
    fn offer(&self, _: &'static str, _: Observation) {}

    fn deliver<'a>(&'a self, lines: Lines) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        let texts = lines.lines.into_iter().map(|line| line.text);
        self.0.lock().unwrap().extend(texts);
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn what_was_written_as_the_agent_was_told_to_stop_is_delivered() {
    let file = fixture("zstd-compact-keyed");
    let mut bench = Bench::new();
    bench.write("system.journal", &file, 7);
    assert_eq!(bench.texts().len(), 7);
    bench.write("system.journal", &file, 20);
    let mut config = EventsConfig::for_host(HostId::new("app1").unwrap());
    config.journal_dirs = vec![bench.dir.path().to_owned()];
    let sink = Arc::new(Texts::default());
    let source = Source {
        sink: sink.clone(),
        ..crate::test_source(config, bench.stored.clone(), bench.blind.clone())
    };
    source.stop.cancel();
    run(source).await;
    assert_eq!(sink.0.lock().unwrap().len(), 13);
}
