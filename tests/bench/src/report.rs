//! What a measurement prints.

use std::io::{ErrorKind, Write};

use serde::Serialize;

/// What a figure should be.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
}

/// One number.
#[derive(Serialize)]
pub struct Figure {
    pub name: String,
    pub value: f64,
    pub unit: &'static str,
    /// `None` where the number is there for comparison.
    pub target: Option<Target>,
    /// Whether the target is met; `None` without one.
    pub met: Option<bool>,
}

/// The numbers of one measurement.
#[derive(Serialize)]
pub struct Report {
    /// Version of this form.
    pub version: u32,
    pub name: &'static str,
    pub figures: Vec<Figure>,
    /// What one must know to read the numbers.
    pub notes: Vec<String>,
}

impl Report {
    pub fn new(name: &'static str) -> Self {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        Self {
            version: 1,
            name,
            figures: Vec::new(),
            notes: vec![format!("measured with {cores} cores")],
        }
    }

    pub fn figure(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.push(name.into(), value, unit, None);
    }

    pub fn against(
        &mut self,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        target: Target,
    ) {
        self.push(name.into(), value, unit, Some(target));
    }

    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    fn push(&mut self, name: String, value: f64, unit: &'static str, target: Option<Target>) {
        let met = target.map(|target| match target {
            Target::AtLeast(limit) => value >= limit,
            Target::AtMost(limit) => value <= limit,
        });
        self.figures.push(Figure {
            name,
            value,
            unit,
            target,
            met,
        });
    }

    /// Prints for people, or as JSON. A closed pipe is no failure.
    pub fn print(&self, json: bool) -> anyhow::Result<()> {
        let text = if json {
            format!("{}\n", serde_json::to_string_pretty(self)?)
        } else {
            self.human()
        };
        match std::io::stdout().write_all(text.as_bytes()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written?),
        }
    }

    fn human(&self) -> String {
        let mut text = format!("{}\n", self.name);
        for figure in &self.figures {
            let target = match figure.target {
                Some(Target::AtLeast(limit)) => {
                    format!("  (at least {limit}: {})", word(figure.met))
                }
                Some(Target::AtMost(limit)) => format!("  (at most {limit}: {})", word(figure.met)),
                None => String::new(),
            };
            let value = format!("{:.3}", figure.value);
            text.push_str(&format!(
                "  {:<44} {value:>14} {}{target}\n",
                figure.name, figure.unit
            ));
        }
        for note in &self.notes {
            text.push_str(&format!("  - {note}\n"));
        }
        text
    }
}

fn word(met: Option<bool>) -> &'static str {
    if met == Some(true) { "met" } else { "missed" }
}
