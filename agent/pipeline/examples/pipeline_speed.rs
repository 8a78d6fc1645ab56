//! What each step costs: lines per second on one core, over lines like those of real services.
//!
//! `pipeline_speed [FILE]`: takes the lines of a file, or its own.

#![allow(clippy::print_stdout)]

use std::time::Instant;

use firstlook_model::{ComponentId, HostId, Lines, LogSource, Observation, RawLine, Timestamp};
use firstlook_pipeline::normalise::normalise;
use firstlook_pipeline::severity::recognise;
use firstlook_pipeline::template::{Miner, TemplateLimits};
use firstlook_pipeline::{LineBudget, Pipeline, PipelineConfig, Redactor};

const LINES: usize = 200_000;

fn own_line(n: usize) -> String {
    match n % 8 {
        0 => format!(
            "2024-05-06 07:08:09.{:03} UTC [{}] app@shop ERROR:  duplicate key value violates unique constraint \"orders_pkey\"",
            n % 1000,
            1000 + n % 97
        ),
        1 => format!(
            "192.0.2.{} - - [06/May/2024:07:08:09 +0000] \"GET /api/v1/items?page={} HTTP/1.1\" 200 {} \"-\" \"curl/8.0\"",
            n % 250,
            n % 40,
            n % 9000
        ),
        2 => format!(
            "level=info ts=2024-05-06T07:08:09.{:03}Z caller=server.go:{} msg=\"request served\" duration={}ms path=/api/v1/orders/{}",
            n % 1000,
            n % 300,
            n % 250,
            n
        ),
        3 => format!(
            "INFO  [main-{}] com.example.shop.OrderService - order {:08x} accepted for customer {} in {} ms",
            n % 16,
            n * 7919,
            n % 5000,
            n % 80
        ),
        4 => format!(
            "Failed password for invalid user admin from 198.51.100.{} port {} ssh2",
            n % 250,
            1024 + n % 60000
        ),
        5 => format!(
            "connecting to postgres://app:hunter{n}@db1:5432/shop with token=abc{n}def pool={}",
            n % 10
        ),
        6 => "checkpoint starting: time".to_owned(),
        _ => format!(
            "WARN  [pool-{}] slow query took {}.{} s: SELECT * FROM orders WHERE id = {}",
            n % 4,
            n % 9,
            n % 10,
            n
        ),
    }
}

fn main() {
    let lines: Vec<String> = match std::env::args().nth(1) {
        Some(path) => std::fs::read_to_string(path)
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect(),
        None => (0..LINES).map(own_line).collect(),
    };
    if lines.is_empty() {
        println!("no lines, skipped");
        return;
    }
    let bytes: usize = lines.iter().map(String::len).sum();
    println!("{} lines, {} bytes each", lines.len(), bytes / lines.len());
    let component = ComponentId::host(HostId::new("h").expect("a valid name"));

    measure("normalise", &lines, bytes, |line| {
        normalise(line.to_owned()).len()
    });
    let redactor = Redactor::new(&[]).expect("no rules");
    measure("redact", &lines, bytes, |line| redactor.line(line).len());
    let hostile: Vec<String> = [
        "://",
        " -p",
        "@tcp(",
        "-eyJaaaaaaaa",
        "key=",
        "a=$1$",
        "token [",
        "pass\"",
    ]
    .map(|hit| hit.repeat(8_000 / hit.len()))
    .into();
    for text in &hostile {
        let name = format!("  {}", &text[..3]);
        let texts = vec![text.clone(); 200];
        measure(&name, &texts, 200 * text.len(), |line| {
            redactor.line(line).len()
        });
    }
    measure("severity", &lines, bytes, |line| {
        usize::from(recognise(line).is_some())
    });
    let mut miner = Miner::new(TemplateLimits::default());
    measure("template", &lines, bytes, |line| {
        miner
            .mine(&component, line, Timestamp::default())
            .text
            .len()
    });
    println!("  {} templates", miner.templates());

    let mut pipeline = Pipeline::new(PipelineConfig {
        lines: LineBudget {
            lines_per_second: u32::MAX,
            burst_seconds: 4,
        },
        pending_limit_bytes: usize::MAX,
        ..PipelineConfig::default()
    })
    .expect("no rules");
    let mut second = 0;
    let mut pending = Vec::new();
    measure("pipeline", &lines, bytes, |line| {
        pending.push(RawLine {
            time: Timestamp::from_secs(second),
            component: component.clone(),
            severity: None,
            source: LogSource::File,
            text: line.to_owned(),
        });
        if pending.len() < 10_000 {
            return 0;
        }
        second += 1;
        pipeline.push(Observation::Lines(Lines {
            lines: std::mem::take(&mut pending),
            checkpoints: Vec::new(),
        }));
        pipeline.flush(Timestamp::from_secs(second)).records.len()
    });
}

fn measure(name: &str, lines: &[String], bytes: usize, mut step: impl FnMut(&str) -> usize) {
    let began = Instant::now();
    let mut sum = 0;
    for line in lines {
        sum += step(line);
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{name:<10} {:>10.0} lines/s {:>7.1} MB/s {:>7.2} s per GB (sum {sum})",
        lines.len() as f64 / seconds,
        bytes as f64 / seconds / 1e6,
        seconds / bytes as f64 * 1e9
    );
}
