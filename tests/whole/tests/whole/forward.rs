//! Passing telemetry on: what an agent sends arrives at a receiver too.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use firstlook_whole::house::said;
use firstlook_whole::{Host, House};

/// The path and the length of the body of the first request; it is answered.
fn first_request(stream: &TcpStream) -> (String, usize) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let path = line.split(' ').nth(1).unwrap().to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
    (&mut &*stream).write_all(answer).unwrap();
    (path, length)
}

#[test]
fn what_a_host_sends_is_passed_on_and_counted() {
    let receiver = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("forward.toml");
    let port = receiver.local_addr().unwrap().port();
    let text = format!(
        "[[target]]\nprotocol = \"remote-write\"\nurl = \"http://127.0.0.1:{port}/write\"\n"
    );
    std::fs::write(&file, text).unwrap();
    let house = House::with_options(&["--forward", file.to_str().unwrap()]);
    let _host = Host::join(&house, "h1");
    let (stream, _) = receiver.accept().unwrap();
    let (path, length) = first_request(&stream);
    assert_eq!(path, "/write");
    assert!(length > 1_000, "{length} bytes are not a host's samples");
    house.counted("firstlook_forward_sent_total", 100);
}

#[test]
fn a_collector_that_is_told_nonsense_says_what_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("forward.toml");
    std::fs::write(&file, "[[target]]\nprotocol = \"pigeon\"\n").unwrap();
    let mut collector =
        std::process::Command::new(firstlook_whole::binaries::program("firstlook-collector"));
    collector.args([
        "run",
        "--listen",
        "127.0.0.1:0",
        "--query-listen",
        "127.0.0.1:0",
    ]);
    collector.arg("--data-dir").arg(folder.path().join("data"));
    let said = said(collector.arg("--forward").arg(&file));
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("forward.toml") && said.err.contains("pigeon"),
        "{}",
        said.err
    );
}
