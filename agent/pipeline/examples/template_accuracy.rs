//! Grouping accuracy of the template miner on labelled logs, and its speed.
//!
//! `template_accuracy FOLDER`: each sub-folder holds a `truth.csv` with the columns `line, content,
//! event, template`. Prints per system: GA (share of lines whose group equals a true group), FGA (F1
//! over groups), groups found and true, and lines per second; each by the ids that the lines got as they
//! came, and by those that they get once all lines were seen (what papers report).

#![allow(clippy::print_stdout)]

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use firstlook_model::{ComponentId, HostId, TemplateId, Timestamp};
use firstlook_pipeline::template::{Miner, TemplateLimits};

struct Score {
    ga: f64,
    fga: f64,
    groups: usize,
}

fn main() {
    let folder = std::env::args().nth(1).unwrap_or_default();
    let show = std::env::args().nth(2).unwrap_or_default();
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("data not present, skipped");
        return;
    };
    let mut systems: Vec<_> = entries
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.join("truth.csv").is_file())
        .collect();
    systems.sort();
    println!(
        "{:<12} {:>6} {:>6} {:>7} {:>7} {:>6} {:>6} {:>10}",
        "system", "GA", "FGA", "GA@1st", "FGA@1st", "found", "true", "lines/s"
    );
    let mut means = [0.0; 4];
    for system in &systems {
        let name = system.file_name().unwrap_or_default().to_string_lossy();
        let row = evaluate(system, name == show.as_str());
        means
            .iter_mut()
            .zip(row)
            .for_each(|(mean, value)| *mean += value / systems.len() as f64);
    }
    println!(
        "{:<12} {:>6.3} {:>6.3} {:>7.3} {:>7.3}",
        "mean", means[0], means[1], means[2], means[3]
    );
}

fn evaluate(system: &Path, show: bool) -> [f64; 4] {
    let text = std::fs::read_to_string(system.join("truth.csv")).unwrap_or_default();
    let rows = csv(&text);
    let lines: Vec<(&str, &str)> = rows
        .iter()
        .skip(1)
        .filter(|r| r.len() >= 3)
        .map(|r| (r[1].as_str(), r[2].as_str()))
        .collect();
    let component = ComponentId::host(HostId::new("h").expect("a valid name"));
    let mut miner = Miner::new(TemplateLimits::default());
    let mut pass = || -> Vec<TemplateId> {
        lines
            .iter()
            .map(|(line, _)| miner.mine(&component, line, Timestamp::default()).id)
            .collect()
    };
    let (first, last) = (pass(), pass());
    let began = Instant::now();
    let rounds = 50;
    for _ in 0..rounds {
        pass();
    }
    let speed = (rounds * lines.len()) as f64 / began.elapsed().as_secs_f64();
    let truth: Vec<&str> = lines.iter().map(|(_, event)| *event).collect();
    let (a, b) = (score(&last, &truth), score(&first, &truth));
    println!(
        "{:<12} {:>6.3} {:>6.3} {:>7.3} {:>7.3} {:>6} {:>6} {:>10.0}",
        system.file_name().unwrap_or_default().to_string_lossy(),
        a.ga,
        a.fga,
        b.ga,
        b.fga,
        a.groups,
        groups(&truth).len(),
        speed
    );
    if show {
        let mut wrong: HashMap<(&str, TemplateId), (usize, String)> = HashMap::new();
        for (index, (line, event)) in lines.iter().enumerate() {
            let mined = miner.mine(&component, line, Timestamp::default());
            let entry = wrong
                .entry((event, last[index]))
                .or_insert_with(|| (0, format!("{}\n        {line}", mined.text)));
            entry.0 += 1;
        }
        let mut wrong: Vec<_> = wrong.into_iter().collect();
        wrong.sort_by_key(|((event, _), (n, _))| (event.to_string(), usize::MAX - n));
        for ((event, id), (count, text)) in wrong {
            println!("{event:>5} {id} {count:>5} {text}");
        }
    }
    [a.ga, a.fga, b.ga, b.fga]
}

fn groups<K: std::hash::Hash + Eq + Copy>(keys: &[K]) -> HashMap<K, Vec<usize>> {
    let mut groups: HashMap<K, Vec<usize>> = HashMap::new();
    for (line, key) in keys.iter().enumerate() {
        groups.entry(*key).or_default().push(line);
    }
    groups
}

fn score(mined: &[TemplateId], truth: &[&str]) -> Score {
    let (mined, truth) = (groups(mined), groups(truth));
    let true_groups: std::collections::HashSet<&Vec<usize>> = truth.values().collect();
    let right: Vec<&Vec<usize>> = mined.values().filter(|g| true_groups.contains(g)).collect();
    let lines: usize = mined.values().map(Vec::len).sum();
    let precision = right.len() as f64 / mined.len() as f64;
    let recall = right.len() as f64 / truth.len() as f64;
    Score {
        ga: right.iter().map(|g| g.len()).sum::<usize>() as f64 / lines as f64,
        fga: if right.is_empty() {
            0.0
        } else {
            2.0 * precision * recall / (precision + recall)
        },
        groups: mined.len(),
    }
}

/// Rows of RFC 4180 text.
fn csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            '\r' if !quoted => {}
            c => field.push(c),
        }
    }
    if !field.is_empty() || !row.is_empty() {
        row.push(field);
        rows.push(row);
    }
    rows
}
