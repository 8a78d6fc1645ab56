//! Probes: from a page that begins to fail to what the responder is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread::{JoinHandle, spawn};

use firstlook_whole::binaries::program;
use firstlook_whole::house::said;
use firstlook_whole::{Host, House, until};
use serde_json::Value;

const SHOP: &str = "service:h1/shop.service";

/// A page that answers with the status that it is told.
struct Page {
    address: SocketAddr,
    status: Arc<AtomicU16>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Page {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (status, over) = (Arc::new(AtomicU16::new(200)), Arc::default());
        let (told, ends) = (Arc::clone(&status), Arc::clone(&over));
        let thread = spawn(move || serve(&listener, &told, &ends));
        Self {
            address,
            status,
            over,
            thread: Some(thread),
        }
    }

    fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, status: &AtomicU16, over: &AtomicBool) {
    for peer in listener.incoming() {
        if over.load(Ordering::SeqCst) {
            return;
        }
        let Ok(mut peer) = peer else { continue };
        let mut request = [0; 1024];
        // A peer that has gone needs no answer.
        if matches!(peer.read(&mut request), Ok(1..)) {
            let status = status.load(Ordering::SeqCst);
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
            let _ = peer.write_all(answer.as_bytes());
        }
    }
}

fn probe(address: SocketAddr) -> String {
    format!(
        "[[probe]]\nname = \"shop\"\nservice = \"shop.service\"\ninterval_s = 1\n\
         http = {{ address = \"{address}\", path = \"/health\" }}\n"
    )
}

/// The newest values of a series.
fn values(house: &House, signal: &str) -> Vec<f64> {
    let shown = house.ask(&["metrics", SHOP, signal, "--json"]);
    let document: Value = serde_json::from_str(&shown.out).unwrap_or_default();
    let points = document["series"][0]["points"].as_array();
    let values = points.into_iter().flatten();
    values.filter_map(|point| point[1].as_f64()).collect()
}

#[test]
fn a_page_that_begins_to_fail_opens_an_incident_that_says_how() {
    let (house, page) = (House::open(), Page::open());
    let mut host = Host::join(&house, "h1");
    host.configure(&probe(page.address));
    until("a good look", || {
        values(&house, "probe.shop.up").contains(&1.0).then_some(())
    });
    assert_eq!(house.ask(&["status", "--check"]).code, 0);

    page.answers(503);
    let why = until("a verdict", || {
        let said = house.ask(&["why", "--json"]);
        let why: Value = serde_json::from_str(&said.out).unwrap_or_default();
        (said.code == 0 && why["suspects"][0].is_object()).then_some(why)
    });
    let suspect = &why["suspects"][0];
    assert_eq!(suspect["component"]["id"], SHOP, "{suspect}");
    let text = suspect["for"].to_string();
    for words in ["probe shop: status 503 instead of 200", "usual: up"] {
        assert!(text.contains(words), "{suspect}");
    }
    let symptom = &why["symptoms"][0];
    assert_eq!(symptom["kind"], "probe.failed", "{why}");
    assert_eq!(symptom["reference"]["signal"], "probe.shop.up", "{symptom}");
    assert_eq!(house.ask(&["status", "--check"]).code, 6);

    page.answers(200);
    until("good looks", || {
        let seen = values(&house, "probe.shop.up");
        seen.ends_with(&[1.0, 1.0]).then_some(())
    });
}

#[test]
fn check_lists_the_probes_that_are_declared() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("agent.toml");
    std::fs::write(&config, probe("192.0.2.1:80".parse().unwrap())).unwrap();
    let mut command = Command::new(program("firstlook-agent"));
    let said = said(command.arg("check").arg("--config").arg(&config));
    let line = "shop: http 192.0.2.1:80/health, every 1 s, about ";
    assert!(said.out.contains(line), "{} {}", said.out, said.err);
}
